"""The provider: flags of five types over a replica, and what becomes of its feed as events."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    OpenFeatureError,
    ProviderFatalError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.immutable_dict.mapping_proxy_type import MappingProxyType
from openfeature.provider import AbstractProvider, Metadata
from openfeature.track import TrackingEventDetails

from consumers.openfeature.context import read_context
from consumers.openfeature.moment import Moments
from consumers.openfeature.tracking import Tracked, Tracking
from consumers.openfeature.watch import Health, Watch
from consumers.replica import Change, NotReady, Replica
from ledger.errors import NotFound
from ledger.flags import Flag, FlagType, TypeMismatch, flag
from ledger.scopes import Context

_log = logging.getLogger(__name__)

_Object = Sequence[FlagValueType] | Mapping[str, FlagValueType]


class LedgerProvider(AbstractProvider):
    """Answers OpenFeature's questions from a replica, which is started but never closed here.

    While the feed is away the provider is STALE and goes on serving, with STALE as the reason of
    what it serves. `tracking` takes what the program tracks.
    """

    def __init__(
        self, replica: Replica, *, timeout: float = 30.0, tracking: Tracking | None = None
    ) -> None:
        super().__init__()
        self._replica = replica
        self._moments = Moments(replica)
        self._timeout = timeout
        self._tracking = tracking
        self._watch: Watch | None = None

    def get_metadata(self) -> Metadata:
        """Name the provider."""
        return Metadata("liveops-ledger")

    # --- Its life ---

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002
        """Wait up to `timeout` seconds until there is something to serve.

        Raises ProviderNotReadyError when there is nothing yet; it becomes ready as soon as there
        is. Raises ProviderFatalError when there never will be, for the replica was closed.
        """
        watch = self._watch = Watch(self._replica, self._announce, self._announce_change)
        self._replica.start()
        began = monotonic()
        ready = self._replica.wait_ready(self._timeout)
        if not ready and monotonic() - began < self._timeout:
            raise ProviderFatalError("the replica was closed before it had data: make a new one")
        watch.start(Health.FRESH if ready else Health.EMPTY)
        if not ready:
            why = self._replica.problem or "the feed has brought no data"
            raise ProviderNotReadyError(f"nothing to serve after {self._timeout:g} s: {why}")

    def shutdown(self) -> None:
        """Stop; it can be initialised again."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()

    def _announce(self, health: Health) -> None:
        details = ProviderEventDetails(message=self._replica.problem, metadata=self._position())
        if health is Health.STALE:
            self.emit_provider_stale(details)
        else:
            self.emit_provider_ready(details)

    def _announce_change(self, change: Change) -> None:
        if change.levers:
            self.emit_provider_configuration_changed(
                ProviderEventDetails(sorted(change.levers), metadata=self._position())
            )

    def _position(self) -> dict[str, bool | str | int | float]:
        return {"ledger_position": self._replica.position}

    # --- Flags ---

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: ARG002
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Resolve a boolean lever."""
        return self._resolve(flag_key, FlagType.BOOLEAN, evaluation_context)

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,  # noqa: ARG002
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        """Resolve an enum lever."""
        return self._resolve(flag_key, FlagType.STRING, evaluation_context)

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,  # noqa: ARG002
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        """Resolve an integer lever, or a duration without parts of a second."""
        return self._resolve(flag_key, FlagType.INTEGER, evaluation_context)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,  # noqa: ARG002
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        """Resolve a float lever, a duration in seconds, or an integer lever as a float."""
        return self._resolve(flag_key, FlagType.FLOAT, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: _Object,  # noqa: ARG002
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[_Object]:
        """Resolve an object lever, or the list of an enum list."""
        return self._resolve(flag_key, FlagType.OBJECT, evaluation_context)

    def _resolve(
        self, key: str, wanted: FlagType, asked: EvaluationContext | None
    ) -> FlagResolutionDetails[Any]:
        found = self._flag(key, read_context(asked))
        try:
            value = found.as_type(wanted)
        except TypeMismatch as error:
            raise TypeMismatchError(str(error)) from None
        return self._details(found, _own(value))

    def _flag(self, key: str, context: Context) -> Flag:
        if self._watch is None:
            raise ProviderNotReadyError("the provider was not initialised, or was shut down")
        try:
            return flag(self._moments.answer(context), context, key)
        except NotReady as error:
            raise ProviderNotReadyError(str(error)) from None
        except NotFound as error:
            raise FlagNotFoundError(error.message) from None

    def _details(self, found: Flag, value: Any) -> FlagResolutionDetails[Any]:
        reason, metadata = Reason(found.reason), found.metadata
        stale = found.fell_back or self._replica.problem is not None
        # LIVEOPS_ENABLED=false is not of the ledger: it holds, however old the ledger's data is.
        if stale and not found.switched_off:
            reason, metadata = Reason.STALE, {**metadata, "reason": found.reason.value}
        return FlagResolutionDetails(
            value, reason=reason, variant=found.variant, flag_metadata=MappingProxyType(metadata)
        )

    # --- Tracking ---

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Hand an event to the listener; without a session, or when it fails, it is logged."""
        if self._tracking is None:
            return
        told = tracking_event_details or TrackingEventDetails()
        try:
            context = read_context(evaluation_context)
            position = self._replica.position
            self._tracking(
                Tracked(tracking_event_name, context, position, told.value, dict(told.attributes))
            )
        except OpenFeatureError as error:
            _log.warning("%r was not tracked: %s", tracking_event_name, error.error_message)
        except Exception:
            _log.exception("the listener failed on %r", tracking_event_name)


def _own(value: Any) -> Any:
    """Copy what could be changed: the replica's other answers share it."""
    match value:
        case dict():
            return dict(value)
        case list():
            return list(value)
    return value
