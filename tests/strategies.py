"""Hypothesis strategies: the one place that says what random input looks like."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ledger.catalog import Catalog, Field, Lever, LeverType
from ledger.rollout import Rollout, Step
from ledger.schedule import Interval, Window

Json = Any

# A machine that is busy with something else must not fail a test.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# --- Time ---

FIRST_INSTANT = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""

instants = st.integers(FIRST_INSTANT, FIRST_INSTANT + 86_400_000_000)
ticks = st.integers(0, 40)
"""A tiny timeline, in which random instants often meet."""


@st.composite
def windows(draw: st.DrawFn, of: st.SearchStrategy[int] = instants) -> Window:
    """A window that is open on either side, both or none, and never empty."""
    valid_from, valid_to = draw(st.none() | of), draw(st.none() | of)
    if valid_from is not None and valid_to is not None:
        valid_from, valid_to = sorted((valid_from, valid_to))
        valid_to += valid_from == valid_to
    return Window(valid_from, valid_to)


@st.composite
def freezes(draw: st.DrawFn, of: st.SearchStrategy[int] = ticks) -> Interval:
    """One freeze, ended or still in force."""
    begin = draw(of)
    return begin, draw(st.none() | st.integers(1, 20).map(lambda length: begin + length))


# --- JSON ---

odd_floats = st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1e308])
texts = st.text(st.characters(), max_size=20)
"""Any text, lone surrogates too: JSON can carry them."""

json_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**53, 2**64, -(10**400)])
    | st.floats()
    | odd_floats
    | texts
)
json_values = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)

# --- Levers ---

lever_names = st.from_regex(r"[A-Za-z][A-Za-z0-9_.-]{0,12}", fullmatch=True)
numbers = st.integers(-1000, 1000) | st.floats(-1000, 1000)
choices = st.lists(
    st.text("abcXYZ-. é", min_size=1, max_size=6).filter(lambda text: text == text.strip()),
    min_size=1,
    max_size=4,
    unique_by=str.casefold,
)


def normal_values(shape: Lever | Field) -> st.SearchStrategy[Json]:
    """Values in a lever's normal form; numbers reach beyond its bounds."""
    if isinstance(shape, Lever) and shape.fields is not None:
        parts = {name: normal_values(field) for name, field in shape.fields.items()}
        return st.fixed_dictionaries({}, optional=parts).filter(bool)
    if shape.type is LeverType.BOOLEAN:
        return st.booleans()
    if shape.values is not None:
        one = st.sampled_from(shape.values)
        many = st.lists(one, min_size=1, unique=True)
        return one if shape.type is LeverType.ENUM else many
    return _numbers(shape)


def _numbers(shape: Lever | Field) -> st.SearchStrategy[Json]:
    assert shape.min is not None
    assert shape.max is not None
    low, high = shape.min, shape.max
    reach = (high - low) * 2 + 1
    if shape.type is LeverType.INTEGER:
        return st.integers(int(low - reach), int(high + reach))
    floats = st.floats(low - reach, high + reach).map(lambda number: number + 0.0)
    if shape.type is LeverType.FLOAT:
        return floats
    return floats.map(lambda number: int(number) if number.is_integer() else number)


@st.composite
def payloads(draw: st.DrawFn, catalog: Catalog) -> dict[str, Json]:
    """Some levers of a catalog, each with a value in normal form."""
    names = draw(st.lists(st.sampled_from(catalog.names), unique=True, max_size=6))
    return {name: draw(normal_values(catalog.levers[name])) for name in names}


# --- Catalog files ---


@st.composite
def shape_files(draw: st.DrawFn, kinds: st.SearchStrategy[LeverType]) -> dict[str, Json]:
    """The type and limits of a lever or field, with a default, as a catalog file has them."""
    kind = draw(kinds)
    written: dict[str, Json] = {"type": kind.value}
    if kind is LeverType.BOOLEAN:
        return written | {"default": draw(st.booleans())}
    if kind is LeverType.OBJECT:
        single = st.sampled_from([kind for kind in LeverType if kind not in _COMPOUND])
        fields = draw(st.dictionaries(lever_names, shape_files(single), min_size=1, max_size=3))
        whole = {name: field.pop("default") for name, field in fields.items()}
        return written | {"fields": fields, "default": whole}
    if kind in {LeverType.ENUM, LeverType.ENUM_LIST}:
        values = draw(choices)
        one_or_all = values[0] if kind is LeverType.ENUM else values
        return written | {"values": values, "default": one_or_all}
    of = st.integers(-1000, 1000) if kind is LeverType.INTEGER else numbers
    low, default, high = sorted(draw(st.tuples(of, of, of)))
    return written | {"min": low, "max": high, "default": default}


_COMPOUND = (LeverType.OBJECT, LeverType.ENUM_LIST)


client_rules = st.fixed_dictionaries(
    {},
    optional={
        "apply_at": st.sampled_from(["immediate", "turn", "session"]),
        "when_stale": st.fixed_dictionaries(
            {
                "do": st.sampled_from(["keep", "default"]),
                "after": st.sampled_from([1, 0.5, "90s", "1h30m"]),
            }
        ),
    },
)
"""What a lever asks of clients: when they take its value over, and how long they trust it."""


@st.composite
def catalog_files(draw: st.DrawFn) -> dict[str, Json]:
    """A catalog file that is right."""
    names = draw(st.lists(lever_names, min_size=1, max_size=5, unique=True))
    levers = []
    for name in names:
        about = {"name": name, "group": draw(st.sampled_from(["gates", "economy"]))}
        critical = {"critical": draw(st.booleans())}
        shape = draw(shape_files(st.sampled_from(LeverType)))
        levers.append(about | shape | critical | draw(client_rules))
    return {"levers": levers}


catalogs = catalog_files().map(Catalog.from_json)

# --- Rollouts ---

unit_values = st.text(max_size=12)
salts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
thousandths = st.integers(0, 100_000)


@st.composite
def ramps(draw: st.DrawFn, of: st.SearchStrategy[int] = instants) -> tuple[Step, ...]:
    """The steps of a ramp, in order."""
    begins = sorted(draw(st.sets(of, min_size=1, max_size=5)))
    return tuple(Step(at, draw(thousandths)) for at in begins)


@st.composite
def rollouts(draw: st.DrawFn, of: st.SearchStrategy[int] = instants) -> Rollout:
    """A rollout with a fixed percentage or a ramp."""
    unit = draw(st.sampled_from(["session_id", "world_id", "adventure_id", "tier"]))
    salt = draw(st.none() | salts)
    if draw(st.booleans()):
        return Rollout(draw(thousandths), unit, salt)
    return Rollout(None, unit, salt, draw(ramps(of)))
