"""The naive model's experiments: who takes part, which buckets a group gives out, who clashes.

An experiment is a mapping of `experiment_id`, `variations` (pairs of name and weight), `unit`,
`percentage`, `group` and `holdout` (a pair of name and percentage, or None), and once it runs
`buckets`: all those of its group that it has, in the order in which it got them.
"""

from collections.abc import Iterable, Mapping

from tests.model_levers import Json, bucket_of, exact, murmur3

Experiment = Mapping[str, Json]
Place = tuple[str, str]

WHOLE = 100_000


def named_in(context: Mapping[str, Json]) -> dict[str, str | None]:
    """Return the experiments that a context names, each with the variation it names, if any."""
    named = dict(context.get("experiments") or {})
    if context.get("experiment_id") is not None:
        named[context["experiment_id"]] = context.get("variation")
    return named


def variations_of(context: Mapping[str, Json], running: Iterable[Experiment]) -> dict[str, str]:
    """Return the variation of each experiment that the context is in with one."""
    found = {name: it for name, it in named_in(context).items() if it is not None}
    for experiment in running:
        value = unit_of(context, experiment["unit"])
        named = experiment["experiment_id"] in found
        if not named and value is not None and takes_part(experiment, str(value)):
            found[experiment["experiment_id"]] = drawn(experiment, str(value))
    return found


def unit_of(context: Mapping[str, Json], unit: str) -> Json:
    if unit in ("session_id", "world_id", "adventure_id"):
        return context.get(unit)
    return (context.get("attributes") or {}).get(unit)


def takes_part(experiment: Experiment, unit: str) -> bool:
    if experiment["holdout"] is not None:
        name, percentage = experiment["holdout"]
        if bucket_of(f"{name}:holdout", unit) < exact(percentage) * 1000:
            return False
    if experiment["group"] is not None:
        return bucket_of(f"{experiment['group']}:group", unit) in experiment["buckets"]
    return bucket_of(experiment["experiment_id"], unit) < exact(experiment["percentage"]) * 1000


def drawn(experiment: Experiment, unit: str) -> str:
    """Return the first variation whose cumulative weight exceeds (h * total) >> 32."""
    total = sum(weight for _, weight in experiment["variations"])
    h = murmur3(f"{experiment['experiment_id']}:variation:{unit}".encode())
    reached = 0
    for name, weight in experiment["variations"]:
        reached += weight
        if reached > (h * total) >> 32:
            return str(name)
    raise AssertionError(experiment)


def places(experiment: Experiment) -> list[Place]:
    name = experiment["experiment_id"]
    refs = [name, *(f"{name}:{variation}" for variation, _ in experiment["variations"])]
    return [("experiment", ref) for ref in refs]


def clashes(one: Experiment, other: Experiment) -> bool:
    """Tell whether two experiments may not run at the same time."""
    if one["holdout"] is not None and other["holdout"] is not None:
        (name, share), (other_name, other_share) = one["holdout"], other["holdout"]
        if name == other_name and (share, one["unit"]) != (other_share, other["unit"]):
            return True
    return _one_group(one, other) and (one["unit"] != other["unit"] or share_buckets(one, other))


def _one_group(one: Experiment, other: Experiment) -> bool:
    return one["group"] is not None and one["group"] == other["group"]


def share_buckets(one: Experiment, other: Experiment) -> bool:
    return _one_group(one, other) and not set(one["buckets"]).isdisjoint(other["buckets"])


def widened(experiment: Experiment, percentage: float, others: Iterable[Experiment]) -> Json:
    """Return the experiment with another percentage, or None where its group has no room.

    It takes the lowest free buckets, and gives back those it got last.
    """
    if experiment["group"] is None:
        return {**experiment, "percentage": percentage}
    taken = set(experiment["buckets"])
    for other in others:
        taken |= set(other["buckets"]) if _one_group(experiment, other) else set()
    free = [bucket for bucket in range(WHOLE) if bucket not in taken]
    wanted = int(exact(percentage) * 1000)
    if wanted > len(experiment["buckets"]) + len(free):
        return None
    buckets = [*experiment["buckets"], *free][:wanted]
    return {**experiment, "percentage": percentage, "buckets": buckets}
