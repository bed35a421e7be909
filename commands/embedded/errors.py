"""What can go wrong with a server that the program itself runs."""

from __future__ import annotations

from ledger.errors import LedgerError


class EmbeddedServerError(LedgerError):
    """An embedded server cannot be run here; the message says why and what to do instead."""

    slug = "embedded-server"
