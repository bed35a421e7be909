"""What the API's routes work with, put together once for an app."""

from __future__ import annotations

from dataclasses import dataclass

from commands.http.auth import Authority
from commands.http.views import Views
from commands.ledger import Ledger
from commands.questions import Questions
from commands.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """The ledger, the questions to it, and how this process is set."""

    ledger: Ledger
    questions: Questions
    settings: Settings
    authority: Authority
    views: Views
