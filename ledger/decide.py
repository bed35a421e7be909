"""From a state and an intent to the events that follow, or a refusal. Pure.

Refusals are looked for in one order: what is not there (404), what has moved (412), what the
state does not allow (409), what is frozen (423), what is invalid (422).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn, assert_never
from uuid import UUID

from ledger.clock import format_instant
from ledger.content import Content, Pinned, Targeting
from ledger.errors import (
    Conflict,
    FrozenPlace,
    Invalid,
    Moved,
    NotFound,
    RuleError,
    escaped,
)
from ledger.events import (
    CATALOG_STREAM,
    FREEZES_STREAM,
    CatalogAdopted,
    ConfigActivated,
    ConfigArchived,
    ConfigCreated,
    ConfigDeactivated,
    ConfigRevised,
    ConfigRolledBack,
    Event,
    Frozen,
    LeverKilled,
    LeverRestored,
    RolloutChanged,
    Unfrozen,
)
from ledger.intents import (
    ActivateConfig,
    AdoptCatalog,
    ArchiveConfig,
    ChangeRollout,
    CreateConfig,
    DeactivateConfig,
    Freeze,
    Intent,
    KillLever,
    RestoreLever,
    ReviseConfig,
    RollBack,
    RollBackConfig,
    Terms,
    Unfreeze,
)
from ledger.live import Activation, Live
from ledger.live import Freeze as StandingFreeze
from ledger.schedule import Window
from ledger.scopes import EVERYWHERE, Place
from ledger.state import Config, State
from ledger.targeting import check_rule
from ledger.validation import Checked, validate

Json = Any


@dataclass(frozen=True, slots=True)
class Decision:
    """The events that follow, and the streams whose state they rest on.

    `whole` is true where they rest on everything: then nothing at all may have come between.
    """

    events: tuple[Event, ...]
    reads: frozenset[UUID] = frozenset()
    whole: bool = False


def decide(state: State, intent: Intent, terms: Terms) -> Decision:
    """Work out what an intent leads to; raises a Refused that says why it leads to nothing."""
    match intent:
        case CreateConfig():
            return _create(state, intent, terms)
        case ReviseConfig():
            return _revise(state, intent, terms)
        case ActivateConfig():
            return _activate(state, intent, terms)
        case DeactivateConfig():
            return _deactivate(state, intent, terms)
        case ArchiveConfig():
            return _archive(state, intent, terms)
        case RollBackConfig():
            return _roll_back_config(state, intent, terms)
        case ChangeRollout():
            return _change_rollout(state, intent, terms)
        case RollBack():
            return _roll_back(state, intent, terms)
        case Freeze():
            return _freeze(state, intent)
        case Unfreeze():
            return _unfreeze(state, intent)
        case KillLever():
            return _kill(state, intent, terms)
        case RestoreLever():
            return _restore(state, intent, terms)
        case AdoptCatalog():
            return _adopt(state, intent)
    assert_never(intent)


# --- Drafting ---


def _create(state: State, intent: CreateConfig, terms: Terms) -> Decision:
    if intent.config_id in state.configs:
        raise Conflict(f"there is a config {intent.config_id} already")
    content, violations = _checked(state, intent.content, terms)
    event = ConfigCreated(intent.config_id, 1, content, violations)
    return Decision((event,), frozenset({CATALOG_STREAM}))


def _revise(state: State, intent: ReviseConfig, terms: Terms) -> Decision:
    config = _expected(state, intent.config_id, intent.expected_revision)
    if config.archived:
        raise Conflict("an archived config cannot be revised: roll it back to life first")
    if intent.content.place != config.place:
        raise Invalid.at("/scope", f"a config keeps its place ({config.place}): create another")
    content, violations = _checked(state, intent.content, terms)
    event = ConfigRevised(config.config_id, config.latest.number + 1, content, violations)
    return Decision((event,), frozenset({CATALOG_STREAM}))


def _checked(
    state: State, content: Content, terms: Terms
) -> tuple[Content, tuple[Mapping[str, Json], ...]]:
    _check_window(content.window)
    _check_targeting(content.targeting, state.live.catalog.attributes)
    checked = validate(state.live.catalog, content.payload, strict=terms.strict)
    if checked.refuses_draft:
        _refuse(checked)
    return replace(content, payload=checked.payload), _listed(checked)


def _check_window(window: Window) -> None:
    begin, end = window.valid_from, window.valid_to
    if begin is not None and end is not None and begin >= end:
        raise Invalid.at("/valid_to", "the window must end after it begins")


def _check_targeting(targeting: Targeting | None, declared: Mapping[str, str] | None) -> None:
    for member, text in targeting.to_json().items() if targeting else ():
        try:
            check_rule(text, declared)
        except RuleError as error:
            pointer = f"/targeting/{member}"
            detail = f"at character {error.position}: {error.reason}"
            raise Invalid(
                f"targeting.{member} cannot be used, {detail}",
                errors=[{"pointer": pointer, "detail": detail}],
            ) from error


def _refuse(checked: Checked) -> NoReturn:
    raise Invalid(
        "the payload breaks the lever catalog's rules",
        errors=[
            {"pointer": f"/payload/{escaped(violation.lever)}", "detail": violation.message}
            for violation in checked.violations
        ],
        violations=checked.violations,
    )


def _listed(checked: Checked) -> tuple[Mapping[str, Json], ...]:
    return tuple(violation.to_json() for violation in checked.violations)


# --- Putting in force ---


def _activate(state: State, intent: ActivateConfig, terms: Terms) -> Decision:
    config = _expected(state, intent.config_id, intent.expected_revision)
    revision = config.revision(intent.revision)
    if config.archived:
        raise Conflict("an archived config cannot be activated: roll it back to life first")
    _refuse_frozen(state, terms, [config.place])
    window = _activation_window(revision.content.window, intent)
    checked = validate(state.live.catalog, revision.content.payload, strict=terms.strict)
    if checked.refuses_activation:
        _refuse(checked)
    content = replace(revision.content, payload=checked.payload)
    pinned = Pinned.of(revision.number, content, window)
    event = ConfigActivated(config.config_id, pinned, _listed(checked))
    return Decision((event,), frozenset({FREEZES_STREAM, CATALOG_STREAM}))


def _activation_window(own: Window, intent: ActivateConfig) -> Window:
    window = own if intent.window is None else intent.window
    if intent.immediate:
        window = Window(None, window.valid_to)
    _check_window(window)
    return window


def _deactivate(state: State, intent: DeactivateConfig, terms: Terms) -> Decision:
    config = _expected(state, intent.config_id, intent.expected_revision)
    _live_activation(state, config)
    _refuse_frozen(state, terms, [config.place])
    return Decision((ConfigDeactivated(config.config_id),), frozenset({FREEZES_STREAM}))


def _archive(state: State, intent: ArchiveConfig, terms: Terms) -> Decision:
    config = _expected(state, intent.config_id, intent.expected_revision)
    if config.archived:
        raise Conflict("the config is archived already")
    event = ConfigArchived(config.config_id)
    if state.activation(config) is None:
        return Decision((event,))
    _refuse_frozen(state, terms, [config.place])
    return Decision((event,), frozenset({FREEZES_STREAM}))


def _change_rollout(state: State, intent: ChangeRollout, terms: Terms) -> Decision:
    config = _expected(state, intent.config_id, intent.expected_revision)
    activation = _live_activation(state, config)
    _refuse_frozen(state, terms, [config.place])
    pinned = activation.pinned.rolled_out(intent.rollout)
    return Decision((RolloutChanged(config.config_id, pinned),), frozenset({FREEZES_STREAM}))


def _live_activation(state: State, config: Config) -> Activation:
    activation = state.activation(config)
    if activation is None:
        raise Conflict(f"config {config.config_id} has no activation to change or end")
    return activation


# --- Rolling back ---


def _roll_back_config(state: State, intent: RollBackConfig, terms: Terms) -> Decision:
    config = _expected(state, intent.config_id, intent.expected_revision)
    restored = _earlier(state, config, intent.revision)
    _refuse_frozen(state, terms, [config.place], break_glass=intent.break_glass)
    event = _restoring(restored, break_glass=intent.break_glass)
    return Decision((event,), frozenset({FREEZES_STREAM}))


def _earlier(state: State, config: Config, revision: int | None) -> Activation:
    live = state.activation(config)
    ended = config.history if live is None else config.history[:-1]
    for activation in reversed(ended):
        if revision in (None, activation.pinned.revision):
            return activation
    which = "activation" if revision is None else f"activation of revision {revision}"
    raise Conflict(f"config {config.config_id} has no earlier {which} to restore")


def _restoring(activation: Activation, *, break_glass: bool) -> ConfigRolledBack:
    pinned = activation.pinned.ranked(activation.rank)
    return ConfigRolledBack(activation.config_id, pinned, activation.origin.position, break_glass)


@dataclass(frozen=True, slots=True)
class Change:
    """What a rollback does to one config: from the activation `now` to the one `then`."""

    config: Config
    now: Activation | None
    then: Activation | None


def plan_rollback(state: State, target: Live, place: Place | None) -> tuple[Change, ...]:
    """List what must change so that the activations in force equal those of `target`.

    In the order in which the configs were created; configs that agree are left out.
    """
    concerned = state.live.activations.keys() | target.activations.keys()
    configs = sorted(
        (state.configs[config_id] for config_id in concerned),
        key=lambda config: config.created.position,
    )
    changes = (
        Change(config, state.activation(config), target.activations.get(config.config_id))
        for config in configs
        if place is None or config.place == place
    )
    return tuple(change for change in changes if not _agrees(change))


def _agrees(change: Change) -> bool:
    if change.now is None:
        return change.then is None
    return change.now.same_effect(change.then)


def _roll_back(state: State, intent: RollBack, terms: Terms) -> Decision:
    changes = plan_rollback(state, intent.target, intent.place)
    places = [change.config.place for change in changes]
    _refuse_frozen(state, terms, places, break_glass=intent.break_glass)
    return Decision(
        tuple(_back(change, break_glass=intent.break_glass) for change in changes), whole=True
    )


def _back(change: Change, *, break_glass: bool) -> Event:
    if change.then is None:
        return ConfigDeactivated(change.config.config_id, break_glass)
    return _restoring(change.then, break_glass=break_glass)


# --- Freezing and killing ---


def _freeze(state: State, intent: Freeze) -> Decision:
    standing = _freeze_of(state, intent.place)
    if standing is not None:
        since = format_instant(standing.begin)
        raise Conflict(f"{_named(intent.place)} has been frozen since {since}")
    return Decision((Frozen(intent.place),))


def _unfreeze(state: State, intent: Unfreeze) -> Decision:
    if _freeze_of(state, intent.place) is None:
        raise Conflict(f"{_named(intent.place)} is not frozen")
    return Decision((Unfrozen(intent.place),))


def _freeze_of(state: State, place: Place) -> StandingFreeze | None:
    freezes = state.live.freezes.get(place, ())
    return next((freeze for freeze in freezes if freeze.end is None), None)


def _kill(state: State, intent: KillLever, terms: Terms) -> Decision:
    _known_lever(state, intent.lever)
    if intent.lever in state.live.kills:
        raise Conflict(f"{intent.lever} is killed already")
    _refuse_frozen_anywhere(state, terms, break_glass=intent.break_glass)
    event = LeverKilled(intent.lever, intent.break_glass)
    return Decision((event,), frozenset({FREEZES_STREAM, CATALOG_STREAM}))


def _restore(state: State, intent: RestoreLever, terms: Terms) -> Decision:
    if intent.lever not in state.live.kills:
        _known_lever(state, intent.lever)
        raise Conflict(f"{intent.lever} is not killed")
    _refuse_frozen_anywhere(state, terms, break_glass=intent.break_glass)
    event = LeverRestored(intent.lever, intent.break_glass)
    return Decision((event,), frozenset({FREEZES_STREAM}))


def _known_lever(state: State, lever: str) -> None:
    if lever not in state.live.catalog.levers:
        raise NotFound(f"the catalog has no lever {lever}")


def _adopt(state: State, intent: AdoptCatalog) -> Decision:
    if state.live.catalog_origin and state.live.catalog == intent.catalog:
        raise Conflict("this catalog is in force already")
    return Decision((CatalogAdopted(intent.catalog),))


# --- What the rules above share ---


def _expected(state: State, config_id: UUID, revision: int | None) -> Config:
    config = state.config(config_id)
    actual = config.latest.number
    if revision is not None and revision != actual:
        message = f"the config is at revision {actual}, not {revision}: read it again"
        raise Moved(message, expected=revision, actual=actual)
    return config


def _refuse_frozen(
    state: State, terms: Terms, places: Iterable[Place], *, break_glass: bool = False
) -> None:
    wanted = list(places)
    if break_glass or not wanted:
        return _reasoned(terms, break_glass=break_glass)
    if terms.frozen_here:
        _refuse_by_environment()
    for place in wanted:
        found = state.live.frozen(place)
        if found is not None:
            _refuse_by_freeze(*found)
    return None


def _refuse_frozen_anywhere(state: State, terms: Terms, *, break_glass: bool) -> None:
    if break_glass:
        return _reasoned(terms, break_glass=break_glass)
    if terms.frozen_here:
        _refuse_by_environment()
    found = state.live.any_freeze()
    if found is not None:
        _refuse_by_freeze(*found)
    return None


def _reasoned(terms: Terms, *, break_glass: bool) -> None:
    if break_glass and not terms.reason.strip():
        raise Invalid.at("/reason", "breaking the glass needs a reason")


def _refuse_by_environment() -> NoReturn:
    raise FrozenPlace(
        "this process was started frozen (LIVEOPS_GLOBAL_FREEZE=true)",
        actor="environment",
        reason="LIVEOPS_GLOBAL_FREEZE=true",
        since="",
        place="global",
    )


def _refuse_by_freeze(place: Place, freeze: StandingFreeze) -> NoReturn:
    origin = freeze.origin
    since = format_instant(freeze.begin)
    raise FrozenPlace(
        f"{_named(place)} has been frozen since {since} by {origin.actor}: "
        f"{origin.reason or 'no reason given'}",
        actor=str(origin.actor),
        reason=origin.reason,
        since=since,
        place=str(place),
    )


def _named(place: Place) -> str:
    return "everything" if place == EVERYWHERE else str(place)
