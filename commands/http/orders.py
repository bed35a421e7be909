"""From a request to an order on the ledger: whose it is, and how it is known if it comes again."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from commands.http.desk import Desk
from commands.http.headers import IdempotencyKey, MinPosition
from commands.http.problems import NOT_REACHED, Problem
from commands.ledger import Ledger, Order, Outcome, Plan
from ledger.store import Request as Known


async def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]


@dataclass(frozen=True, slots=True)
class Commander:
    """The caller of a request that changes the ledger."""

    ledger: Ledger
    actor: UUID
    known: Known | None

    def execute(self, plan: Plan, reason: str) -> Outcome:
        """Give the order; one that was given before under the same key is not carried out again."""
        return self.ledger.execute(Order(self.actor, reason, self.known), plan)


async def _commander(request: Request, desk: AtDesk, key: IdempotencyKey) -> Commander:
    actor: UUID = request.state.actor
    known = None
    if key is not None:
        # The parts of a request line hold no line break, so no two requests read the same.
        said = f"{request.method}\n{request.url.path}\n".encode()
        known = Known(actor, key, sha256(said + await request.body()).digest())
    return Commander(desk.ledger, actor, known)


Caller = Annotated[Commander, Depends(_commander)]


def _reader(desk: AtDesk, wanted: MinPosition) -> Desk:
    """Give the desk once the ledger has the position that the request demands."""
    if wanted > desk.ledger.position():
        with desk.ledger.current() as state:
            head = state.live.position
        if wanted > head:
            raise Problem.at(
                NOT_REACHED,
                "header",
                "/Ledger-Min-Position",
                f"the ledger's head is {head}: it has no position {wanted}",
            )
    return desk


AtLedger = Annotated[Desk, Depends(_reader)]
"""For questions to the ledger itself, which always sees its own head."""
