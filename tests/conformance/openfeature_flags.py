"""The flags of OpenFeature's scenarios, said as a catalog of ours, configs, rules and kills.

A flag's default variant is a global config of that name, over a catalog default that is another
variant: a lever whose value nobody set has the reason DEFAULT, and these flags are STATIC. Where a
flag is targeted, its default variant is the catalog's default and the target a config with a rule:
that is what they expect of a context that is not met. A disabled flag's lever is killed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ledger.catalog import Catalog
from ledger.intents import AdoptCatalog, KillLever
from tests.unit.publishing import Chronicle

Json = Any

_TARGETED = re.compile(r"(?P<rule>.+) \? '(?P<variant>[^']+)' : ''")


class NotALever(Exception):
    """The flag has no counterpart in a catalog of ours; says why."""


def chronicle_of(flags: Mapping[str, Json]) -> Chronicle:
    """Write a ledger that says what the flags say, as far as they can be levers."""
    levers = {key: lever for key, flag in flags.items() if (lever := _possible(key, flag))}
    chronicle = Chronicle()
    chronicle.do(AdoptCatalog(Catalog.from_json({"levers": list(levers.values())})))
    for number, key in enumerate(levers, start=1):
        variant, rules = _supplied(flags[key])
        payload = {key: flags[key]["variants"][variant]}
        where = ("global", "global")
        chronicle.config(number, *where, name=variant, payload=payload, targeting=rules)
        if flags[key].get("disabled"):
            chronicle.do(KillLever(key))
    return chronicle


def _possible(key: str, flag: Json) -> Json:
    try:
        return lever_of(key, flag)
    except NotALever:
        return None


def lever_of(key: str, flag: Json) -> Json:
    """Say a flag as a lever of a catalog file; raises NotALever."""
    if not flag.get("defaultVariant"):
        raise NotALever("a lever always has a value: its catalog's default, if no other")
    variants = flag["variants"]
    supplied, rules = _supplied(flag)
    others = [name for name in variants if name != supplied and variants[name] != {}]
    default = flag["defaultVariant"] if rules else next(iter(others), supplied)
    head = {"name": key, "group": "flags", "default": variants[default]}
    return {**head, **_type_of(list(variants.values()), variants[default], variants[supplied])}


def _supplied(flag: Json) -> tuple[str, Json]:
    """Name the variant that a config supplies, and for whom."""
    if "contextEvaluator" not in flag:
        return flag["defaultVariant"], None
    found = _TARGETED.fullmatch(flag["contextEvaluator"])
    assert found, f"this targeting is of a kind not seen before: {flag['contextEvaluator']}"
    return found["variant"], {"include": found["rule"]}


def _type_of(values: Sequence[Json], *used: Json) -> Json:
    match values[0]:
        case bool():
            return {"type": "boolean"}
        case str():
            if "" in values:
                raise NotALever("an enum lever has no empty text among its values")
            return {"type": "enum", "values": values}
        case int() | float():
            kind = "float" if any(isinstance(value, float) for value in values) else "integer"
            return {"type": kind, "min": min(values), "max": max(values)}
    if {} in used:
        raise NotALever("an object lever has all of its fields, always")
    return {"type": "object", "fields": dict(_fields(values))}


def _fields(values: Sequence[Mapping[str, Json]]) -> Iterator[tuple[str, Json]]:
    for name in {name: None for value in values for name in value}:
        yield name, _type_of([value[name] for value in values if name in value])
