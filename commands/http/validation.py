"""Checking a content without storing it."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Response

from commands.http.answers import RuleCheck, Validated, respond
from commands.http.orders import AtLedger
from commands.http.problems import fault
from commands.http.requests import LedgerRoute
from commands.models import ValidateBody
from ledger.content import Targeting
from ledger.targeting.review import review
from ledger.validation import validate

router = APIRouter(tags=["resolution"], route_class=LedgerRoute)


@router.post("/validate", response_model=Validated, summary="Validate")
def validate_content(desk: AtLedger, body: ValidateBody) -> Response:
    """Tell what the ledger would say of a content, or of some of it; nothing is stored."""
    with desk.ledger.current() as state:
        catalog, position = state.live.catalog, state.live.position
    checked = validate(catalog, body.payload, strict=desk.settings.bounds_strict)
    rules = _checked_rules(body.rules(), catalog.attributes)
    faults = [fault("body", each["pointer"], each["detail"]) for each in body.faults()]
    valid = not (checked.refuses_draft or faults or any(not rule.valid for rule in rules.values()))
    answer = Validated.model_validate(
        {
            "valid": valid,
            "activatable": valid and not checked.refuses_activation,
            "payload": checked.payload,
            "violations": [violation.to_json() for violation in checked.violations],
            "errors": faults,
            "targeting": rules,
        }
    )
    return respond(answer, position=position)


def _checked_rules(
    targeting: Targeting | None, declared: Mapping[str, str] | None
) -> dict[str, RuleCheck]:
    texts = {} if targeting is None else targeting.to_json()
    return {
        member: RuleCheck.model_validate(review(text, declared).to_json())
        for member, text in texts.items()
    }
