"""What can go wrong, and what the caller should do about it.

LedgerError
├── Refused                  the ledger understood the request and says no; nothing was appended
│   ├── NotFound             404  no such config, lever, revision or position
│   ├── Moved                412  the config is not at the revision the caller named
│   ├── Conflict             409  the state does not allow it
│   ├── FrozenPlace          423  a freeze is in force there
│   └── Invalid              422  the content breaks a rule; lists every problem
│       ├── RuleError        a targeting rule that cannot be used
│       ├── InvalidRollout   a rollout or ramp that cannot be used
│       └── CatalogError     a lever catalog that cannot be used
├── StreamMoved              what the change was decided on no longer holds: decide again
├── RequestReused            422  the idempotency key belongs to another request
├── FutureInstant            422  an as-of instant that has not happened yet
├── ClockBehind              503  the database's clock is behind the ledger
└── LedgerUnavailable        503  the database is away: retry later
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

if TYPE_CHECKING:
    from ledger.validation import Violation


class LedgerError(Exception):
    """Something went wrong in the ledger."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "ledger-error"

    def __init__(self, message: str = "", **details: Any) -> None:
        doc = (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(message or doc)
        self.message = message or doc
        self.details = details


class Refused(LedgerError):
    """The request was understood and refused; nothing was appended."""

    status = 409
    slug = "refused"


class NotFound(Refused):
    """There is no such thing in the ledger."""

    status = 404
    slug = "not-found"


class Moved(Refused):
    """What is to be changed has moved on from what was named: read it again."""

    status = 412
    slug = "moved"

    def __init__(self, message: str = "", *, expected: int, actual: int) -> None:
        super().__init__(message, expected=expected, actual=actual)


class Conflict(Refused):
    """The state of the ledger does not allow this."""

    status = 409
    slug = "conflict"


class FrozenPlace(Refused):
    """A freeze is in force there: unfreeze first, or break the glass with a reason."""

    status = 423
    slug = "frozen"

    def __init__(
        self, message: str = "", *, actor: str, reason: str, since: str, place: str
    ) -> None:
        super().__init__(message, actor=actor, reason=reason, since=since, place=place)


def escaped(name: str) -> str:
    """Write a member's name as one step of a JSON pointer (RFC 6901), cut where it is long."""
    plain = name[:128].encode(errors="backslashreplace").decode()
    return plain.replace("~", "~0").replace("/", "~1")


class Invalid(Refused):
    """The content breaks a rule."""

    status = 422
    slug = "invalid"

    def __init__(
        self,
        message: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(message)
        self.errors = tuple(errors)
        self.violations = tuple(violations)

    @classmethod
    def at(cls, pointer: str, detail: str) -> Invalid:
        """Refuse one member of the request, named by its JSON pointer."""
        return cls(detail, errors=[{"pointer": pointer, "detail": detail}])


class RuleError(Invalid):
    """The targeting rule cannot be used."""

    slug = "bad-rule"

    def __init__(self, message: str, *, position: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.position = position
        self.reason = reason or message


class InvalidRollout(Invalid):
    """The rollout cannot be used."""

    slug = "bad-rollout"

    def __init__(self, message: str, *, pointer: str = "/rollout") -> None:
        super().__init__(message, errors=[{"pointer": pointer, "detail": message}])
        self.pointer = pointer


class CatalogError(Invalid):
    """The lever catalog cannot be used."""

    slug = "bad-catalog"


class StreamMoved(LedgerError):
    """What the change was decided on no longer holds."""

    status = 409
    slug = "conflict"

    def __init__(self, message: str = "", *, streams: frozenset[UUID] = frozenset()) -> None:
        super().__init__(message)
        self.streams = streams


class RequestReused(LedgerError):
    """This idempotency key was used for a different request: use a new key."""

    status = 422
    slug = "idempotency-key-reused"


class FutureInstant(LedgerError):
    """That instant has not happened yet: ask for now, or name `at` for what is planned."""

    status = 422
    slug = "future-instant"


class ClockBehind(LedgerError):
    """The database's clock is minutes behind the ledger: set the clock right, then retry."""

    status = 503
    slug = "clock-behind"


class LedgerUnavailable(LedgerError):
    """The database cannot be reached: retry in a moment."""

    status = 503
    slug = "unavailable"
