"""Drafting configs: what their content must be like, whatever is in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from ledger.content import Content, Targeting
from ledger.decisions.decision import Decision, expected_config
from ledger.errors import Conflict, Invalid, RuleError, escaped
from ledger.events import CATALOG_STREAM, ConfigCreated, ConfigRevised
from ledger.intents import CreateConfig, ReviseConfig, Terms
from ledger.schedule import Window
from ledger.state import State
from ledger.targeting import check_rule
from ledger.validation import Checked, validate

Json = Any


def create(state: State, intent: CreateConfig, terms: Terms) -> Decision:
    """Draft a config as revision 1."""
    if intent.config_id in state.configs:
        raise Conflict(f"there is a config {intent.config_id} already")
    content, violations = _checked(state, intent.content, terms)
    event = ConfigCreated(intent.config_id, 1, content, violations)
    return Decision((event,), frozenset({CATALOG_STREAM}))


def revise(state: State, intent: ReviseConfig, terms: Terms) -> Decision:
    """Draft a further revision."""
    config = expected_config(state, intent.config_id, intent.expected_revision)
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
    check_window(content.window)
    _check_targeting(content.targeting, state.live.catalog.attributes)
    checked = validate(state.live.catalog, content.payload, strict=terms.strict)
    if checked.refuses_draft:
        refuse(checked)
    return content._replace(payload=checked.payload), listed(checked)


def check_window(window: Window) -> None:
    """Refuse a window that never opens; raises Invalid."""
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


def refuse(checked: Checked) -> NoReturn:
    """Refuse a payload with all that is wrong with it; raises Invalid."""
    raise Invalid(
        "the payload breaks the lever catalog's rules",
        errors=[
            {"pointer": f"/payload/{escaped(violation.lever)}", "detail": violation.message}
            for violation in checked.violations
        ],
        violations=checked.violations,
    )


def listed(checked: Checked) -> tuple[Mapping[str, Json], ...]:
    """Write the violations as events store them."""
    return tuple(violation.to_json() for violation in checked.violations)
