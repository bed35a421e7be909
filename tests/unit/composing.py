"""Random targeting rules and contexts of one small world, mostly well typed."""

from __future__ import annotations

import functools
import random
from string import Formatter
from typing import Any

from hypothesis import strategies as st

from ledger.catalog import Catalog, shipped_catalog
from ledger.targeting import Timestamp

Bindings = dict[str, Any]

# Names by the kind of value that contexts mostly give them.
NAMES = {
    "bool": ["f", "g"],
    "int": ["i", "j"],
    "double": ["x", "y"],
    "text": ["s", "t"],
    "list": ["l"],
    "map": ["m"],
}
KINDS = list(NAMES)
ALL_NAMES = [*(name for names in NAMES.values() for name in names), "missing"]
ABSENT = object()
_NEW_YEAR = 1_767_225_600_000_000

_NAN = float("nan")
_VALUES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int": [
        *(-1, 0, 1, 2, 3, 7, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1),
        *(2**62, 2**63 - 1, 2**63 - 512, 2**63 - 513, -(2**63), -(2**63) + 1),
    ],
    "double": [
        *(0.0, -0.0, 0.1, 0.5, 1.0, 2.0, -1.0, 5e-324, 2.2250738585072014e-308, 1e308, -1e308),
        *(2.0**53, 2.0**53 + 2, 2.0**63, -(2.0**63), 2.0**63 - 1024, 2.0**64, -(2.0**63) - 2048),
        *(float("inf"), float("-inf"), _NAN),
    ],
    # Without NUL: the Python binding of Google's runtime ends a text there.
    "text": [
        *("", "k", "kl", "l", "K", "\u212a", "é", "e\u0301", "\ufb01", "😀k", "\x01k", "\uffff"),
        *("\u200dk", "\u202ek", "\u01c5", "ß", "{0.__class__}", "%s", "\U0010ffff"),
        *("x" * 300, "k" * 4096 + "l"),
    ],
    "list": [
        *([], [1], [1.0], [True], ["k"], [0, 0.5], ["l", "k"], [1, "k", None], [[1], ["k"]]),
        *([{"k": "l"}, 2], [_NAN], [2**53 + 1, 2.0**53], [2, 3, 7], [None, [[]], {}]),
        *([[[["k"]], {"k": [1.0]}]], [True, 1, 1.0], [-0.0], [2**63 - 1, 2.0**63], ["é", "😀k"]),
        *([{"k": 1}, {"k": 1.0}, {"k": True}], [[[[[[[[1]]]]]]]], list(range(50))),
        *([1] * 10, [1.0] * 10, [True] * 10, [1] * 9 + [True], [_NAN] * 10, ["k", None] * 5),
    ],
    "map": [
        *({}, {"k": 1}, {"k": 1.0}, {"k": True}, {"k": "kl"}, {"l": None}, {"k": [1, "k"]}),
        *({"k": {"k": 1}, "kl": {"k": 1.0}}, {"kl": {"l": {}}}, {"k": 2**53, "l": _NAN}),
        *({"l": "k", "kl": "l"}, {"k": 7, "l": 7, "kl": 7}, {"k": False, "kl": {"k": "é"}}),
        *({"": 1, "é": 2, "😀k": "k"}, {"__class__": 1, "k": {"__class__": "k"}}),
        *({"k": {"l": [{}]}}, {"l": {"k": [1, [2.0]]}, "kl": {"k": None}}),
        *({"kl": {"k": {"k": {"k": [1.0, None]}}}}, {"k": 2**63 - 1}, {"k": 2.0**63}, {"k": None}),
    ],
}
_LITERALS = {
    "bool": ["true", "false"],
    "int": [str(value) for value in _VALUES["int"][:6] * 2 + _VALUES["int"]],
    "double": ["0.0", "-0.0", "0.5", "1.0", "2e0", "-1.5", "1e400", "9007199254740992.0"],
    "text": ["''", "'k'", '"kl"', "r'l'", "'\\u00e9'", "'''k'''", "'\\U0001F600k'", "'é'"],
    "list": ["[]", "[1, 'k', null]", "['k', 'l']", "[1, 2.0]"],
    "map": ["{}", "{'k': 1}", "{'k': 'l', 'kl': {'k': 1.0}}"],
}
_INSTANT = "timestamp('2026-01-01T00:00:00Z')"
_INSTANTS = [Timestamp(_NEW_YEAR + micros) for micros in (-1, 0, 1)]
_ODD = [ABSENT, None, *(value for values in _VALUES.values() for value in values)]


def mostly(likely: list[Any], rarely: list[Any]) -> st.SearchStrategy[Any]:
    """Draw about one in twenty from elsewhere."""
    return st.sampled_from(likely * (19 * len(rarely) // len(likely)) + rarely)


_PLAIN = {kind: values[:6] for kind, values in _VALUES.items()}
_KIND_OF = {name: kind for kind, names in NAMES.items() for name in names}


def context(seed: int) -> Bindings:
    """Make a context; from a number, because Hypothesis would take longer than all else."""
    luck = random.Random(seed)
    chosen = {
        name: luck.choice(luck.choices((_PLAIN[kind], _VALUES[kind], _ODD), (10, 9, 1))[0])
        for name, kind in _KIND_OF.items()
    }
    if luck.random() < 0.3 and ABSENT not in (chosen["i"], chosen["s"]):
        chosen |= _near(luck, chosen["i"], chosen["s"])
    chosen["at"] = luck.choice([*_INSTANTS * 3, ABSENT])
    bindings = {name: value for name, value in chosen.items() if value is not ABSENT}
    return bindings if luck.random() < 0.5 else _declared(bindings)


def _near(luck: random.Random, number: Any, text: Any) -> Bindings:
    """Make values that nearly or wholly equal one another: chance seldom does."""
    as_double = float(number) if type(number) is int else number
    return {
        "x": as_double,
        "j": luck.choice([number, as_double]),
        "t": text,
        "l": luck.choice([[text, as_double], [number], [True, None, number], [[as_double]]]),
        "m": {"k": luck.choice([number, as_double, text]), "kl": {"k": number}, "l": [as_double]},
    }


# What a game declares, it may write as it likes: the catalog reads it before a rule does.
_CATALOG = Catalog.from_json(
    shipped_catalog().to_json()
    | {"attributes": {"x": "double", "y": "double", "i": "int", "j": "int", "f": "bool"}}
)


def _declared(bindings: Bindings) -> Bindings:
    return dict(_CATALOG.read_attributes({n: _careless(v) for n, v in bindings.items()}))


def _careless(value: object) -> object:
    """Write a number in JSON's other way, where that loses nothing."""
    if type(value) is float and value.is_integer() and abs(value) <= 2.0**53 and value:
        return int(value)
    return float(value) if type(value) is int and abs(value) <= 2**53 else value


contexts = st.integers(0, 2**32).map(context)

_SHAPES = {
    "bool": [
        *("{bool} && {bool}", "{bool} || {bool}", "!{bool}", "!!{bool}"),
        *("({bool} ? {bool} : {bool})", "{bool} && {bool} || {bool} && {bool}"),
        *("{int} == {int}", "{double} != {int}", "{int} < {double}", "{double} >= {double}"),
        *("{text} == {text}", "{text} < {text}", "{list} == {list}", "{map} != {map}"),
        *("{bool} == {bool}", "{bool} <= {bool}", "{any} == {any}", "{any} != null", "{int} == 1"),
        *("{int} in {list}", "{text} in {list}", "{text} in {map}", "{any} in {list}"),
        *("{int} in [1, 2.0, 'k']", "{text} in ['k', 'l']", "{any} in ['k', 1, null]"),
        *("{text}.startsWith({text})", "{text}.endsWith('k')", "{text}.contains({text})"),
        *("has({map}.k)", "has(m.kl.k)", "{map}.k", "{list}[0]", "{int} > 1", "1.5 > {double}"),
        *(f"at >= {_INSTANT}", f"{_INSTANT} == at", f"at in [{_INSTANT}]", "at != {any}"),
        *("at > timestamp('2026-01-01T01:00:00.000001+01:00')", "at == at", "at <= {any}"),
    ],
    "int": [
        *("{int} + {int}", "{int} - {int}", "{int} * {int}", "{int} / {int}", "{int} % {int}"),
        *("-{int}", "--{int}", "size({text})", "{list}.size()", "size({map})", "{list}[0]"),
        *("({bool} ? {int} : {int})", "{map}.k", "{list}[{int}]"),
    ],
    "double": [
        *("{double} + {double}", "{double} - {double}", "{double} * {double}"),
        *("{double} / {double}", "-{double}", "({bool} ? {double} : {double})", "{list}[1.0]"),
    ],
    "text": ["{text} + {text}", "({bool} ? s : {text})", "{map}.k", "{map}['kl']", "{list}[0]"],
    "list": ["{list} + {list}", "[{any}]", "[{any}, {any}]", "{map}.k", "({bool} ? {list} : l)"],
    "map": ["{{'k': {any}}}", "{{'k': {any}, 'l': {int}}}", "{map}.k", "{list}[0]", "{map}['l']"],
}


@functools.cache
def _leaf(kind: str) -> st.SearchStrategy[str]:
    fitting = NAMES[kind] * len(_LITERALS[kind]) + _LITERALS[kind] * len(NAMES[kind])
    return mostly(fitting, rarely=["missing", "null", *ALL_NAMES])


@st.composite
def expressions(draw: st.DrawFn, kind: str = "bool", depth: int = 3) -> str:
    """A rule, or a part of one, that is mostly of the kind."""
    if kind == "any" or draw(st.integers(0, 29)) == 0:
        kind = draw(st.sampled_from(KINDS))
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(_leaf(kind))
    text = ""
    for plain, part in _pieces(draw(st.sampled_from(_SHAPES[kind]))):
        text += plain + (draw(expressions(part, depth - 1)) if part else "")
    return f"({text})" if draw(st.booleans()) else text


@functools.cache
def _pieces(shape: str) -> list[tuple[str, str | None]]:
    return [(plain, part) for plain, part, _, _ in Formatter().parse(shape)]
