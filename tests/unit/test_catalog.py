"""Catalogs of other games: read whole, or refused whole."""

from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.catalog import ApplyAt, Catalog, Fallback, Rule, WhenStale
from ledger.errors import CatalogError, NotFound
from ledger.handbook import levers_page
from tests.strategies import catalog_files, catalogs, json_values

Json = Any


def lever(name: str, kind: str, default: Json, **more: Json) -> dict[str, Json]:
    return {"name": name, "group": "economy", "type": kind, "default": default, **more}


def game() -> dict[str, Json]:
    """A small file with one lever of every type."""
    return {
        "levers": [
            lever("coins", "integer", 5, min=0, max=10),
            lever("rate", "float", 1, min=0, max="150%", unit="ratio", critical=True),
            lever("night", "boolean", False),
            lever("module", "enum", " FULL", values=["off", "full"]) | {"group": "gates"},
            lever("tiers", "enum_list", ["a"], values=["a", "b"]),
            lever("mix", "object", {"x": 1, "y": "A"}, fields=MIX),
            lever("pause", "duration", "90s", min=0, max="1h30m"),
        ]
    }


MIX = {"x": {"type": "float", "min": 0, "max": 1}, "y": {"type": "enum", "values": ["a"]}}


def test_bounds_and_defaults_are_read_in_normal_form() -> None:
    catalog = Catalog.from_json(game())
    assert repr(list(catalog.defaults.values())) == repr(
        [5, 1.0, False, "full", ["a"], {"x": 1.0, "y": "a"}, 90]
    )
    assert (catalog.levers["rate"].max, catalog.levers["pause"].max) == (1.5, 5400)


def test_a_duration_is_in_seconds_and_nothing_else() -> None:
    assert Catalog.from_json(game()).levers["pause"].unit == "seconds"
    minutes = lever("pause", "duration", 5, min=0, max=9, unit="minutes")
    assert pointers({"levers": [minutes]}) == ["/levers/0/unit"]


@given(catalogs)
def test_a_catalog_reads_back_from_its_json(catalog: Catalog) -> None:
    written = orjson.dumps(catalog.to_json())
    again = Catalog.from_json(orjson.loads(written))
    assert again == catalog
    assert orjson.dumps(again.to_json()) == written


@given(catalogs)
def test_a_catalog_reads_its_own_defaults_and_kill_values_as_they_are(catalog: Catalog) -> None:
    for name, default in catalog.defaults.items():
        killed = catalog.kill_value(name)
        assert repr(catalog.read(name, default)) == repr(default)
        assert repr(catalog.read(name, killed)) == repr(killed)


@given(catalogs)
def test_every_catalog_has_a_page(catalog: Catalog) -> None:
    page = levers_page(catalog)
    assert all(f"| `{name}`" in page for name in catalog.names)


def test_catalogs_that_order_their_levers_otherwise_are_not_equal() -> None:
    turned = {"levers": game()["levers"][::-1]}
    assert Catalog.from_json(turned) != Catalog.from_json(game())
    assert Catalog.from_json(game()) == Catalog.from_json(deepcopy(game()))


# --- What it answers ---


def test_a_killed_gate_is_off_as_the_catalog_spells_it() -> None:
    gate = lever("module", "enum", "Full", values=["Off", "Full"]) | {"group": "gates"}
    assert Catalog.from_json({"levers": [gate]}).kill_value("module") == "Off"


@pytest.mark.parametrize("kind", [{"type": "enum", "values": ["on"], "default": "on"}, None])
def test_a_gate_that_cannot_be_off_is_killed_to_its_default(kind: Json) -> None:
    entry = lever("module", "boolean", True) | {"group": "gates"} | (kind or {})
    assert Catalog.from_json({"levers": [entry]}).kill_value("module") == entry["default"]


def test_a_lever_of_another_group_is_killed_to_its_default() -> None:
    entry = lever("weather", "enum", "on", values=["off", "on"])
    assert Catalog.from_json({"levers": [entry]}).kill_value("weather") == "on"


def test_an_unknown_lever_has_no_kill_value() -> None:
    with pytest.raises(NotFound, match="nothing"):
        Catalog.from_json(game()).kill_value("nothing")


@pytest.mark.parametrize(
    ("name", "stored", "read"),
    [
        ("coins", [5, -(10**9), 5.0], [5, -(10**9), 5]),
        ("coins", [True, "5", None, 2**60], [None] * 4),
        ("rate", [1.0, 1, "50%", -0.0], [1.0, 1.0, 0.5, 0.0]),
        ("rate", [True, float("nan"), "1"], [None] * 3),
        ("night", [True, 0, "true"], [True, None, None]),
        ("module", ["off", "OFF", "on", 0], ["off", "off", None, None]),
        ("tiers", [["b", "a"], ["A"], [], ["a", "a"]], [["b", "a"], ["a"], None, None]),
        ("mix", [{"x": 2}, {"y": "A"}, {}, {"z": 1.0}], [{"x": 2.0}, {"y": "a"}, None, None]),
        ("mix", [{"x": 1.0, "z": 1.0}, []], [None, None]),
        ("pause", [90, "90s", True], [90, 90, None]),
        ("unknown", [5], [None]),
    ],
)
def test_a_stored_value_is_read_as_this_catalog_writes_it(
    name: str, stored: list[Json], read: list[Json]
) -> None:
    catalog = Catalog.from_json(game())
    assert repr([catalog.read(name, value) for value in stored]) == repr(read)


# --- When a client takes a value over, and how long it trusts one ---


def test_a_lever_that_says_nothing_more_applies_at_the_turn_and_is_kept() -> None:
    plain = Catalog.from_json(game()).levers["coins"]
    assert (plain.apply_at, plain.when_stale) == (ApplyAt.TURN, None)
    assert plain.to_json().keys().isdisjoint({"apply_at", "when_stale"})


@pytest.mark.parametrize("when", ["immediate", "turn", "session"])
def test_a_lever_says_when_players_get_its_new_value(when: str) -> None:
    catalog = Catalog.from_json({"levers": [lever("night", "boolean", True, apply_at=when)]})
    assert catalog.levers["night"].apply_at.value == when
    assert Catalog.from_json(catalog.to_json()) == catalog


@pytest.mark.parametrize(("after", "seconds"), [("1m30s", 90), (300, 300), ("250ms", 0.25)])
@pytest.mark.parametrize("do", list(Fallback))
def test_a_lever_says_what_a_client_does_without_fresh_data(
    do: Fallback, after: Json, seconds: float
) -> None:
    data = game()
    data["levers"][3]["when_stale"] = {"do": do.value, "after": after}
    catalog = Catalog.from_json(data)
    assert catalog.levers["module"].when_stale == WhenStale(do, seconds)
    assert Catalog.from_json(orjson.loads(orjson.dumps(catalog.to_json()))) == catalog


# --- What is refused ---


def pointers(data: Json) -> list[str]:
    with pytest.raises(CatalogError) as refused:
        Catalog.from_json(data)
    return [error["pointer"] for error in refused.value.errors]


@pytest.mark.parametrize(
    ("index", "change", "pointer"),
    [
        (0, {"name": None}, ""),
        (0, {"name": "two words"}, "/name"),
        (0, {"name": "x" * 129}, "/name"),
        (0, {"name": 5}, "/name"),
        (0, {"name": "rate"}, None),
        (0, {"group": ""}, "/group"),
        (0, {"group": "\ud800"}, "/group"),
        (0, {"type": "number"}, "/type"),
        (0, {"type": ["integer"]}, "/type"),
        (0, {"type": None}, "/type"),
        (0, {"applies_at": "turn"}, ""),
        (0, {"apply_at": "Turn"}, "/apply_at"),
        (0, {"apply_at": ["turn"]}, "/apply_at"),
        (0, {"when_stale": "keep"}, "/when_stale"),
        (0, {"when_stale": {"do": "keep"}}, "/when_stale"),
        (0, {"when_stale": {"after": 5}}, "/when_stale"),
        (0, {"when_stale": {"do": "keep", "after": 5, "for": 5}}, "/when_stale"),
        (0, {"when_stale": {"do": "hide", "after": 5}}, "/when_stale/do"),
        (0, {"when_stale": {"do": ["keep"], "after": 5}}, "/when_stale/do"),
        (0, {"when_stale": {"do": "keep", "after": 0}}, "/when_stale/after"),
        (0, {"when_stale": {"do": "keep", "after": "-5s"}}, "/when_stale/after"),
        (0, {"when_stale": {"do": "keep", "after": True}}, "/when_stale/after"),
        (0, {"when_stale": {"do": "close", "after": 5}}, "/when_stale/do"),
        (2, {"group": "gates", "when_stale": {"do": "close", "after": 5}}, "/when_stale/do"),
        (3, {"group": "doors", "when_stale": {"do": "close", "after": 5}}, "/when_stale/do"),
        (3, {"values": ["full"], "when_stale": {"do": "close", "after": 5}}, "/when_stale/do"),
        (0, {"values": ["a"]}, ""),
        (0, {"max": None}, ""),
        (0, {"min": 11}, "/min"),
        (0, {"min": 0.5}, "/min"),
        (0, {"max": float("inf")}, "/max"),
        (0, {"max": 10**400}, "/max"),
        (0, {"default": None}, ""),
        (0, {"default": "5"}, "/default"),
        (0, {"default": 11}, "/default"),
        (0, {"critical": 1}, "/critical"),
        (0, {"unit": 5}, "/unit"),
        (0, {"description": []}, "/description"),
        (1, {"default": float("nan")}, "/default"),
        (2, {"default": "false"}, "/default"),
        (2, {"min": 0}, ""),
        (3, {"default": "half"}, "/default"),
        (3, {"values": []}, "/values"),
        (3, {"values": "off"}, "/values"),
        (3, {"values": ["off", 5]}, "/values/1"),
        (3, {"values": ["off "]}, "/values/0"),
        (3, {"values": ["off", "OFF", "full"]}, "/values"),
        (4, {"default": []}, "/default"),
        (4, {"default": ["a", "a"]}, "/default"),
        (5, {"default": {"x": 1}}, "/default"),
        (5, {"default": {"x": 2, "y": "a"}}, "/default"),
        (5, {"default": {"x": 1, "y": "a", "a/b~": 1}}, "/default/a~1b~0"),
        (5, {"fields": {}}, "/fields"),
        (5, {"fields": {"x y": {"type": "boolean"}}}, "/fields"),
        (5, {"fields": {"x": {"type": "object"}}}, "/fields/x/type"),
        (5, {"fields": {"x": {"type": "float", "min": 0}}}, "/fields/x"),
        (5, {"fields": {"x": 5}}, "/fields/x"),
        (6, {"default": "2h"}, "/default"),
        (6, {"max": "2 h"}, "/max"),
    ],
)
def test_a_wrong_lever_is_refused_with_what_is_wrong(
    index: int, change: dict[str, Json], pointer: str | None
) -> None:
    data = game()
    data["levers"][index] |= change
    taken = ["/levers/1/name"]  # the name is the next one's, which is then the one too many
    assert pointers(data) == (taken if pointer is None else [f"/levers/{index}{pointer}"])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"levers": []}, "/levers"),
        ({"levers": {}}, "/levers"),
        ({"levers": [5]}, "/levers/0"),
        ({"levers": None}, ""),
        ({"levels": []}, ""),
        ({"catalog_version": 0}, "/catalog_version"),
        ({"catalog_version": True}, "/catalog_version"),
        ({"source": 5}, "/source"),
        ({"rules": {}}, "/rules"),
        ({"rules": [{"at_most": ["coins"]}]}, "/rules/0/at_most"),
        ({"rules": [{"at_most": ["coins", "cash"]}]}, "/rules/0/at_most"),
        ({"rules": [{"at_most": ["coins", "night"]}]}, "/rules/0/at_most"),
        ({"rules": [{"at_most": ["coins", ["rate"]]}]}, "/rules/0/at_most"),
        ({"rules": [{"at_most": ["coins", "rate"]}]}, "/rules/0/at_most"),
        ({"rules": [{"at_most": ["rate", "rate"]}]}, "/rules"),
        ({"rules": [{"at_most": ["rate", "coins"]}, {"at_most": ["coins", "pause"]}]}, "/rules"),
        ({"rules": [{"at_least": ["coins", "rate"]}]}, "/rules/0"),
        ({"attributes": []}, "/attributes"),
        ({"attributes": {"a b": "int"}}, "/attributes"),
        ({"attributes": {"session_id": "string"}}, "/attributes"),
        ({"attributes": {"level": "number"}}, "/attributes/level"),
        ({"attributes": {"level": ["int"]}}, "/attributes/level"),
        ({"attributes": {"level": "list(number)"}}, "/attributes/level"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(change: dict[str, Json], pointer: str) -> None:
    assert pointers(game() | change) == [pointer]


def test_all_wrong_levers_are_named_at_once() -> None:
    data = game()
    data["levers"][0]["min"] = 11
    data["levers"][3]["default"] = "half"
    with pytest.raises(CatalogError, match=r"coins: .* above max.*and 1 more") as refused:
        Catalog.from_json(data)
    assert [error["detail"].split(":")[0] for error in refused.value.errors] == ["coins", "module"]


@given(json_values)
def test_whatever_is_adopted_is_a_catalog_or_refused(data: Json) -> None:
    with pytest.raises(CatalogError) as refused:
        Catalog.from_json(data)
    orjson.dumps(refused.value.errors)


@given(catalog_files(), st.data())
def test_a_catalog_with_something_odd_in_it_is_read_or_refused(
    file: dict[str, Json], data: st.DataObject
) -> None:
    lever = data.draw(st.sampled_from(file["levers"]))
    lever[data.draw(st.sampled_from(sorted(lever)))] = data.draw(json_values)
    try:
        catalog = Catalog.from_json(file)
    except CatalogError as refused:
        orjson.dumps(refused.errors)
    else:
        assert Catalog.from_json(catalog.to_json()) == catalog


# --- Rules and attributes ---


def margins(low: Json, high: Json, **more: Json) -> dict[str, Json]:
    levers = [
        lever("VENDOR_MARGIN_MIN", "float", low, min=0, max=1),
        lever("VENDOR_MARGIN_MAX", "float", high, min=0, max=1),
    ]
    return {"levers": levers, **more}


def test_a_file_that_says_nothing_of_rules_keeps_the_vendors_margins_in_order() -> None:
    assert Catalog.from_json(margins(0.1, 0.3)).rules == (
        Rule("VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX"),
    )
    assert pointers(margins(0.3, 0.1)) == ["/rules/0/at_most"]


def test_a_file_can_do_without_rules() -> None:
    catalog = Catalog.from_json(margins(0.3, 0.1, rules=[]))
    assert catalog.rules == ()
    assert Catalog.from_json(catalog.to_json()) == catalog
    assert Catalog.from_json(game()).rules == ()


def test_margins_that_are_no_numbers_have_no_rule() -> None:
    levers = [lever(name, "boolean", True) for name in ("VENDOR_MARGIN_MIN", "VENDOR_MARGIN_MAX")]
    assert Catalog.from_json({"levers": levers}).rules == ()


@pytest.mark.parametrize(
    ("values", "holds"),
    [({"a": 1, "b": 1.0}, True), ({"a": 2, "b": 1}, False), ({"a": 2}, True), ({}, True)],
)
def test_a_rule_holds_unless_both_levers_break_it(values: dict[str, Json], *, holds: bool) -> None:
    assert Rule("a", "b").holds(values) is holds


def test_declared_attributes_are_kept() -> None:
    declared = Catalog.from_json(game() | {"attributes": {"level": "int", "tags": "list(string)"}})
    assert declared.attributes == {"level": "int", "tags": "list(string)"}
    assert Catalog.from_json(declared.to_json()) == declared
    assert Catalog.from_json(game()).attributes is None
