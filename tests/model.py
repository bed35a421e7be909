"""A naive model of the SPEC: the oracle for the product's pure core.

Slow and obvious on purpose, and written from the SPEC alone: it shares nothing with the product,
keeps one list of facts and nothing else, and answers every question by reading that list again.
Instants are µs since the epoch; a place is a (scope, scope_ref) pair.
"""

from collections.abc import Callable, Iterable, Mapping

from tests import model_experiments
from tests.model_experiments import Experiment, named_in, share_buckets, variations_of, widened
from tests.model_facts import Fact, Span, activations, freezes, kills, running, shadows, trials
from tests.model_levers import MARGINS, Json, accepts, bucket_of, exact, normalised, severities

Content = Mapping[str, Json]
Context = Mapping[str, Json]
Matches = Callable[[str, Mapping[str, Json]], Json]
Outcome = str | int
Place = tuple[str, str]

OK = "ok"
SCOPES = ("global", "world", "adventure", "experiment", "session")
EVERYWHERE: Place = ("global", "global")
NO_WINDOW: tuple[None, None] = (None, None)


class Model:
    """The whole history as a plain list of facts; nothing cached, nothing clever.

    `matches` answers for one rule text under its bindings, or raises; `is_rule` says whether a
    text may be stored as a rule. A command takes the instant of its first fact, answers "ok" or
    the status it is refused with, and must come later than every fact before it.
    """

    def __init__(
        self,
        catalog: Mapping[str, Json],
        strict: bool = True,
        *,
        now: int = 0,
        matches: Matches | None = None,
        is_rule: Callable[[str], bool] = bool,
    ) -> None:
        self.strict = strict
        self.matches = matches or (lambda rule, bindings: bindings[rule])
        self.is_rule = is_rule
        self.facts: list[Fact] = []
        self.adopt(catalog, now)

    def _add(self, now: int, kind: str, of: Json, **data: Json) -> None:
        stamp = max(now, self.facts[-1].recorded_at + 1) if self.facts else now
        self.facts.append(Fact(len(self.facts) + 1, stamp, kind, of, data))

    # --- what is so now ---

    @property
    def head(self) -> int:
        return len(self.facts)

    def adopt(self, catalog: Mapping[str, Json], now: int) -> Outcome:
        if self.facts and catalog == self._catalog():
            return 409
        self._add(now, "adopted", None, catalog=catalog)
        return OK

    def _catalog(self) -> Mapping[str, Json]:
        return dict([fact for fact in self.facts if fact.kind == "adopted"][-1].data["catalog"])

    def _revisions(self, config_id: str) -> list[dict[str, Json]]:
        written = {"created", "revised"}
        return [f.data["content"] for f in self.facts if f.kind in written and f.of == config_id]

    def _past(self, config_id: str) -> list[Span]:
        return [span for span in activations(self.facts) if span.of == config_id]

    def _live(self, config_id: str, facts: list[Fact] | None = None) -> dict[str, Json] | None:
        for span in activations(self.facts if facts is None else facts):
            if span.of == config_id and not span.ended:
                return span.data
        return None

    def _archived(self, config_id: str) -> bool:
        turns = {"archived", "rolled_back"}
        last = [fact.kind for fact in self.facts if fact.kind in turns and fact.of == config_id]
        return last[-1:] == ["archived"]

    def _place(self, config_id: str) -> Place:
        content = self._revisions(config_id)[0]
        return content["scope"], content["scope_ref"]

    def _frozen_places(self) -> list[Place]:
        return [span.of for span in freezes(self.facts) if not span.ended]

    def _frozen(self, config_id: str) -> bool:
        places = self._frozen_places()
        return EVERYWHERE in places or self._place(config_id) in places

    # --- commands on a config (SPEC §4; checks in the order 404, 412, 409, 423, 422) ---

    def _missed(self, config_id: str, expected_revision: int | None) -> int | None:
        revisions = self._revisions(config_id)
        if not revisions:
            return 404
        return 412 if expected_revision not in (None, len(revisions)) else None

    def create(self, config_id: str, content: Content, now: int) -> Outcome:
        if self._revisions(config_id):
            return 409
        stored = self._stored(content)
        if stored is None:
            return 422
        self._add(now, "created", config_id, content=stored)
        return OK

    def revise(
        self, config_id: str, content: Content, expected_revision: int | None, now: int
    ) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        if self._archived(config_id):
            return 409
        stored = self._stored(content)
        if stored is None or (stored["scope"], stored["scope_ref"]) != self._place(config_id):
            return 422
        self._add(now, "revised", config_id, content=stored)
        return OK

    def _stored(self, content: Content) -> dict[str, Json] | None:
        """Return the content with every member, its payload normalised; None if it is refused."""
        whole: dict[str, Json] = dict.fromkeys(("valid_from", "valid_to", "targeting", "rollout"))
        whole |= {"priority": 0, **content}
        if whole["scope"] not in SCOPES or not whole["scope_ref"]:
            return None
        if whole["scope"] == "global" and whole["scope_ref"] != "global":
            return None
        if "error" in severities(self._catalog(), whole["payload"]):
            return None
        if _never_open(whole["valid_from"], whole["valid_to"]):
            return None
        rules = [rule for rule in (whole["targeting"] or {}).values() if rule is not None]
        if not all(self.is_rule(rule) for rule in rules) or not _is_rollout(whole["rollout"]):
            return None
        return whole | {"payload": self._normalised(whole["payload"])}

    def _normalised(self, payload: Mapping[str, Json]) -> dict[str, Json]:
        """Return the payload as the catalog in force writes it."""
        levers = {entry["name"]: entry for entry in self._catalog()["levers"]}
        return {name: normalised(levers[name], value) for name, value in payload.items()}

    def activate(
        self,
        config_id: str,
        now: int,
        *,
        revision: int | None = None,
        immediate: bool = False,
        valid_from: int | None = None,
        valid_to: int | None = None,
        window_given: bool | None = None,
        expected_revision: int | None = None,
    ) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        revisions = self._revisions(config_id)
        number = len(revisions) if revision is None else revision
        if not 1 <= number <= len(revisions):
            return 404  # after 412: who holds an old state may well name what it has not
        if self._archived(config_id):
            return 409
        if self._frozen(config_id):
            return 423
        content = revisions[number - 1]
        if window_given is None:
            window_given = (valid_from, valid_to) != NO_WINDOW
        if not window_given:
            valid_from, valid_to = content["valid_from"], content["valid_to"]
        if immediate:
            valid_from = None
        refused = {"error", "critical"} | ({"range"} if self.strict else set())
        if severities(self._catalog(), content["payload"]) & refused:
            return 422
        if _never_open(valid_from, valid_to):
            return 422
        window = {"valid_from": valid_from, "valid_to": valid_to}
        pinned = content | window | {"payload": self._normalised(content["payload"])}
        self._add(now, "activated", config_id, **pinned, revision=number, rank=self.head + 1)
        return OK

    def deactivate(
        self, config_id: str, now: int, *, expected_revision: int | None = None
    ) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        if self._live(config_id) is None:
            return 409
        if self._frozen(config_id):
            return 423
        self._add(now, "deactivated", config_id)
        return OK

    def archive(self, config_id: str, now: int, *, expected_revision: int | None = None) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        if self._archived(config_id):
            return 409
        if self._live(config_id) is not None and self._frozen(config_id):
            return 423
        self._add(now, "archived", config_id)
        return OK

    def roll_back_config(
        self,
        config_id: str,
        now: int,
        *,
        revision: int | None = None,
        break_glass: bool = False,
        reason: str = "",
        expected_revision: int | None = None,
    ) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        earlier = [span for span in self._past(config_id) if span.ended]
        if revision is not None:
            earlier = [span for span in earlier if span.data["revision"] == revision]
        if not earlier:
            return 409
        if self._frozen(config_id) and not break_glass:
            return 423
        if break_glass and not reason:
            return 422
        self._add(now, "rolled_back", config_id, **earlier[-1].data)
        return OK

    def change_rollout(
        self,
        config_id: str,
        now: int,
        *,
        percentage: Json = None,
        ramp: Json = None,
        expected_revision: int | None = None,
    ) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        live = self._live(config_id)
        if live is None:
            return 409
        if self._frozen(config_id):
            return 423
        before = live["rollout"] or {"unit": "session_id"}
        rollout = {name: before[name] for name in ("unit", "salt") if name in before}
        rollout |= {"percentage": percentage} if ramp is None else {"ramp": ramp}
        if not _is_rollout(rollout):
            return 422
        self._add(
            now, "rollout_changed", config_id, **live | {"rollout": rollout, "rank": self.head + 1}
        )
        return OK

    # --- shadows: they change nothing, so no freeze and no bounds refuse them ---

    def start_shadow(
        self,
        config_id: str,
        now: int,
        *,
        revision: int | None = None,
        expected_revision: int | None = None,
    ) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        revisions = self._revisions(config_id)
        number = len(revisions) if revision is None else revision
        if not 1 <= number <= len(revisions):
            return 404
        before = self._shadow(config_id)
        if self._archived(config_id) or (before is not None and before["revision"] == number):
            return 409
        content = revisions[number - 1]
        if "error" in severities(self._catalog(), content["payload"]):
            return 422
        pinned = content | {"payload": self._normalised(content["payload"])}
        self._add(now, "shadow_started", config_id, **pinned, revision=number, rank=self.head + 1)
        return OK

    def stop_shadow(
        self, config_id: str, now: int, *, expected_revision: int | None = None
    ) -> Outcome:
        if missed := self._missed(config_id, expected_revision):
            return missed
        if self._shadow(config_id) is None:
            return 409
        self._add(now, "shadow_stopped", config_id)
        return OK

    def _shadow(self, config_id: str) -> dict[str, Json] | None:
        for span in shadows(self.facts):
            if span.of == config_id and not span.ended:
                return span.data
        return None

    # --- experiments ---

    def start_experiment(self, experiment: Experiment, now: int) -> Outcome:
        others = running(self.facts)
        name = experiment["experiment_id"]
        fresh = {**experiment, "buckets": []}
        if name in others or any(
            model_experiments.clashes(fresh, other) for other in others.values()
        ):
            return 409
        started = widened(fresh, experiment["percentage"], others.values())
        if started is None:
            return 409
        if self._any_frozen(model_experiments.places(experiment)):
            return 423
        self._add(now, "experiment_started", name, **started)
        return OK

    def change_experiment(self, name: str, percentage: float, now: int) -> Outcome:
        others = running(self.facts)
        if not any(span.of == name for span in trials(self.facts)):
            return 404
        experiment = others.pop(name, None)
        if experiment is None or experiment["percentage"] == percentage:
            return 409
        changed = widened(experiment, percentage, others.values())
        if changed is None:
            return 409
        if self._any_frozen(model_experiments.places(experiment)):
            return 423
        self._add(now, "experiment_changed", name, **changed)
        return OK

    def stop_experiment(self, name: str, now: int) -> Outcome:
        if not any(span.of == name for span in trials(self.facts)):
            return 404
        experiment = running(self.facts).get(name)
        if experiment is None:
            return 409
        if self._any_frozen(model_experiments.places(experiment)):
            return 423
        self._add(now, "experiment_stopped", name)
        return OK

    def _any_frozen(self, places: Iterable[Place]) -> bool:
        frozen = self._frozen_places()
        return EVERYWHERE in frozen or any(place in frozen for place in places)

    # --- commands on a place, a lever or everything ---

    def freeze(self, scope: str, ref: str, now: int) -> Outcome:
        if (scope, ref) in self._frozen_places():
            return 409
        if scope == "global" and ref != "global":
            return 422
        self._add(now, "frozen", (scope, ref))
        return OK

    def unfreeze(self, scope: str, ref: str, now: int) -> Outcome:
        if (scope, ref) not in self._frozen_places():
            return 409
        self._add(now, "unfrozen", (scope, ref))
        return OK

    def kill(self, lever: str, now: int, *, break_glass: bool = False, reason: str = "") -> Outcome:
        return self._switch("killed", lever, now, break_glass, reason)

    def restore(
        self, lever: str, now: int, *, break_glass: bool = False, reason: str = ""
    ) -> Outcome:
        return self._switch("restored", lever, now, break_glass, reason)

    def _switch(self, kind: str, lever: str, now: int, break_glass: bool, reason: str) -> Outcome:
        killed = lever in [span.of for span in kills(self.facts) if not span.ended]
        known = any(entry["name"] == lever for entry in self._catalog()["levers"])
        if not known and not (killed and kind == "restored"):
            return 404  # a killed lever that a later catalog dropped can still be restored
        if killed is (kind == "killed"):
            return 409
        if self._frozen_places() and not break_glass:
            return 423
        if break_glass and not reason:
            return 422
        self._add(now, kind, lever)
        return OK

    def roll_back(
        self,
        to_position: int,
        now: int,
        *,
        scope: str | None = None,
        ref: str | None = None,
        break_glass: bool = False,
        reason: str = "",
    ) -> Outcome:
        if scope == "global" and ref is None:
            ref = "global"
        if (scope is None) != (ref is None) or not 1 <= to_position <= self.head:
            return 422
        place = None if scope is None else (scope, ref or "")
        changes = self._changes(to_position, place)
        turns = self._turns(to_position, place)
        if place is not None and any(self._displaced(name, then) for name, _, then in turns):
            return 409
        places = [self._place(config_id) for config_id, _ in changes]
        for _, *sides in turns:
            for side in sides:
                places += [] if side is None else model_experiments.places(side)
        if places and self._any_frozen(places) and not break_glass:
            return 423
        if break_glass and not reason:
            return 422
        for config_id, then in changes:
            if then is None:
                self._add(now, "deactivated", config_id)
            else:
                self._add(now, "rolled_back", config_id, **then)
        self._turn_back(turns, now)
        return OK

    def _turns(
        self, to_position: int, place: Place | None
    ) -> list[tuple[str, Experiment | None, Experiment | None]]:
        """Return each experiment that differs from the target, as it is and as it was."""
        now, then = running(self.facts), running(self.facts[:to_position])
        return [
            (name, now.get(name), then.get(name))
            for name in sorted({*now, *then})
            if now.get(name) != then.get(name) and place in (None, ("experiment", name))
        ]

    def _displaced(self, name: str, then: Experiment | None) -> bool:
        others = [other for one, other in running(self.facts).items() if one != name]
        return then is not None and any(model_experiments.clashes(then, it) for it in others)

    def _turn_back(
        self, turns: list[tuple[str, Experiment | None, Experiment | None]], now: int
    ) -> None:
        """First what stops, then what only gets other buckets, free ones, then what starts."""
        standing = running(self.facts)
        moved = [
            (name, then)
            for name, before, then in turns
            if before is not None
            and then is not None
            and _but_for_its_size(before) == _but_for_its_size(then)
            and not any(share_buckets(then, it) for one, it in standing.items() if one != name)
        ]
        kept = [name for name, _ in moved]
        for name, before, _ in turns:
            if before is not None and name not in kept:
                self._add(now, "experiment_stopped", name)
        for name, changed in moved:
            self._add(now, "experiment_changed", name, **changed)
        for name, _, then in turns:
            if then is not None and name not in kept:
                self._add(now, "experiment_started", name, **then)

    def _changes(
        self, to_position: int, place: Place | None
    ) -> list[tuple[str, dict[str, Json] | None]]:
        """Return what each config that differs from the target is to become, oldest first."""
        changes = []
        for config_id in [fact.of for fact in self.facts if fact.kind == "created"]:
            live = self._live(config_id)
            then = self._live(config_id, self.facts[:to_position])
            same = (live is None and then is None) or (
                live is not None and then is not None and _what_counts(live) == _what_counts(then)
            )
            if not same and place in (None, self._place(config_id)):
                changes.append((config_id, then))
        return changes

    # --- questions (SPEC §4 and §5) ---

    def clock(self, position: int, place: Place, at: int) -> int:
        """Return where the window clock of a place stands at an instant."""
        over = [s for s in freezes(self.facts[:position]) if s.of in (EVERYWHERE, place)]
        while any(span.begin < at < span.end for span in over):
            at = next(span.begin for span in over if span.begin < at < span.end)
        return at

    def status(self, position: int, config_id: str, at: int) -> str:
        facts = [f for f in self.facts[:position] if f.of == config_id and f.recorded_at <= at]
        turns = [fact.kind for fact in facts if fact.kind in {"archived", "rolled_back"}]
        begun = activations(facts)
        if not facts:
            return "unknown"
        if turns[-1:] == ["archived"]:
            return "archived"
        if not begun:
            return "draft"
        if begun[-1].ended:
            return "inactive"
        clock = self.clock(position, self._place(config_id), at)
        valid_from, valid_to = begun[-1].data["valid_from"], begun[-1].data["valid_to"]
        if valid_from is not None and clock < valid_from:
            return "scheduled"
        if valid_to is not None and clock >= valid_to:
            return "expired"
        return "active"

    def variations(self, position: int, context: Context, at: int) -> dict[str, str]:
        """Return the variation of each experiment that a context is in with one."""
        begun = trials(self.facts[:position])
        return variations_of(context, [span.data for span in begun if span.holds(at)])

    def resolve(
        self, position: int, context: Context, at: int, *, shadow: bool = False
    ) -> dict[str, Json]:
        """Return every lever's effective value, for the prefix up to a position.

        `shadow` asks what the values would be if each shadow stood for its config.
        """
        facts = self.facts[:position]
        adopted = [
            f for f in facts if f.kind == "adopted" and (f.recorded_at <= at or f.position == 1)
        ]
        levers = {entry["name"]: entry for entry in adopted[-1].data["catalog"]["levers"]}
        values = {name: entry["default"] for name, entry in levers.items()}
        held = {name: values[name] for name in MARGINS if name in values}
        set_there = activations(facts)
        if shadow:
            beside = [span for span in shadows(facts) if span.holds(at)]
            shadowed = [span.of for span in beside]
            set_there = [span for span in set_there if span.of not in shadowed] + beside
        reached = places_of(context, self.variations(position, context, at))
        there = [span for span in set_there if _place_of(span) in reached]
        for scope in SCOPES:
            taken = [
                span
                for span in there
                if span.data["scope"] == scope and self._applies(position, span, context, at)
            ]
            for span in sorted(taken, key=lambda one: (one.data["priority"], one.data["rank"])):
                for name, value in span.data["payload"].items():
                    if name in levers and accepts(levers[name], value):
                        now = normalised(levers[name], value)
                        partial = levers[name]["type"] == "object"
                        values[name] = {**values[name], **now} if partial else now
                if not _margins_crossed(values):
                    held = {name: values[name] for name in held}
        if _margins_crossed(values):
            values |= held
        for name in [span.of for span in kills(facts) if span.holds(at) and span.of in levers]:
            values[name] = _kill_value(levers[name])
        return values

    def _applies(self, position: int, span: Span, context: Context, at: int) -> bool:
        activation = span.data
        clock = self.clock(position, _place_of(span), at)
        return (
            span.holds(at)
            and (activation["valid_from"] is None or activation["valid_from"] <= clock)
            and (activation["valid_to"] is None or clock < activation["valid_to"])
            and self._targets(activation["targeting"], context, at)
            and _includes(activation["rollout"], span.of, context, clock)
        )

    def _targets(self, targeting: Json, context: Context, at: int) -> bool:
        bindings = {name: context[name] for name in context if context[name] is not None}
        attributes = bindings.pop("attributes", {})
        bindings.pop("experiments", None)
        bindings |= {"at": at, **attributes}
        include = (targeting or {}).get("include")
        exclude = (targeting or {}).get("exclude")
        try:
            included = include is None or self.matches(include, bindings)
            excluded = exclude is not None and self.matches(exclude, bindings)
        except Exception:  # whatever goes wrong in a rule: the config does not apply
            return False
        return included is True and excluded is False


def _place_of(span: Span) -> Place:
    return span.data["scope"], span.data["scope_ref"]


def places_of(context: Context, variations: Mapping[str, str]) -> list[Place]:
    """Return every place that the context names or is given, with its variations."""
    places = [EVERYWHERE]
    for scope, name in (
        ("world", "world_id"),
        ("adventure", "adventure_id"),
        ("session", "session_id"),
    ):
        if context.get(name) is not None:
            places.append((scope, context[name]))
    places += [("experiment", experiment) for experiment in {**named_in(context), **variations}]
    places += [("experiment", f"{name}:{variation}") for name, variation in variations.items()]
    return places


def _includes(rollout: Json, config_id: str, context: Context, clock: int) -> bool:
    if rollout is None:
        return True
    value = model_experiments.unit_of(context, rollout["unit"])
    if value is None:
        return False
    bucket = bucket_of(rollout.get("salt") or config_id, str(value))
    return bucket < exact(_percentage(rollout, clock)) * 1000


def _percentage(rollout: Mapping[str, Json], clock: int) -> float:
    if rollout.get("ramp") is None:
        return float(rollout["percentage"])
    reached = [0.0]
    reached += [float(step["percentage"]) for step in rollout["ramp"] if step["at"] <= clock]
    return reached[-1]


def _is_rollout(rollout: Json) -> bool:
    if rollout is None:
        return True
    ramp = rollout.get("ramp")
    if (ramp is None) == (rollout.get("percentage") is None) or ramp == []:
        return False
    percentages = [rollout["percentage"]] if ramp is None else [s["percentage"] for s in ramp]
    instants = [] if ramp is None else [step["at"] for step in ramp]
    steps = [exact(percentage) * 1000 for percentage in percentages]
    return (
        instants == sorted(set(instants))
        and all(step.denominator == 1 for step in steps)
        and all(0 <= step <= 100_000 for step in steps)
    )


def _never_open(valid_from: int | None, valid_to: int | None) -> bool:
    return valid_from is not None and valid_to is not None and valid_from >= valid_to


def _what_counts(activation: Mapping[str, Json]) -> list[Json]:
    return [activation[name] for name in ("rank", "revision", "valid_from", "valid_to", "rollout")]


def _but_for_its_size(experiment: Experiment) -> dict[str, Json]:
    return {**experiment, "percentage": 0, "buckets": []}


def _margins_crossed(values: Mapping[str, Json]) -> bool:
    low, high = (values.get(name) for name in MARGINS)
    return low is not None and high is not None and bool(low > high)


def _kill_value(entry: Mapping[str, Json]) -> Json:
    if entry["group"] == "gates":
        return next((v for v in entry["values"] if v.lower() == "off"), entry["default"])
    return entry["default"]
