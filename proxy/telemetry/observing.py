"""What is told of calls, turned into metrics and events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from policies.model import Decision, Entity
from proxy.telemetry.events import Events
from proxy.telemetry.labels import CLIENT_LEFT
from proxy.telemetry.metrics import Metrics
from proxy.upstream.failures import Code, UpstreamError

_PIPELINE: Final = "decision point"


class Observing:
    """The observer of one process. *monotonic* tells seconds."""

    def __init__(self, metrics: Metrics, events: Events, monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self._events = events
        self._monotonic = monotonic
        self._failing_since: float | None = None

    def refused(self, reason: str, address: str) -> None:
        self._metrics.refusal(reason)
        self._events.refused(reason=reason, address=address)

    def decided(
        self,
        decision_id: str,
        actor: Entity,
        action: str,
        resource: Entity,
        decision: Decision,
        seconds: float,
    ) -> None:
        self._metrics.decision(decision, action)
        if self._failing_since is not None:
            self._events.journal_recovered(seconds=self._monotonic() - self._failing_since)
            self._failing_since = None
        if self._events.debugging:
            self._events.decision_made(
                decision_id=decision_id,
                actor=actor,
                action=action,
                resource=resource,
                decision=decision,
                seconds=seconds,
            )

    def observed(self, server: str, reason: str, action: str) -> None:
        self._metrics.decision_observed(server, reason, action)

    def ended(self, server: str, method: str, version: str, seconds: float, error: str) -> None:
        self._metrics.operation(method, version, server, seconds, error)
        if error == CLIENT_LEFT:
            self._events.client_left(server=server, method=method, seconds=seconds)

    def upstream_failed(self, server: str, error: UpstreamError) -> None:
        self._metrics.upstream_error(server, error.kind)
        if error.code is Code.HOSTILE:
            self._events.upstream_hostile(server=server, kind=error.kind, detail=error.detail)
        else:
            self._events.upstream_failed(
                server=server, code=error.code, kind=error.kind, detail=error.detail
            )

    def dropped(self, server: str, what: str) -> None:
        self._metrics.upstream_dropped(server, what)

    def unrecorded(self, code: str) -> None:
        # One event when it begins and one when it is over: calls go on being refused meanwhile.
        if self._failing_since is None:
            self._failing_since = self._monotonic()
            self._events.journal_failed(code=code, detail="")

    def undecided(self, error: Exception) -> None:
        self._events.internal_error(where=_PIPELINE, error=error)

    def stream(self, change: int) -> None:
        if change > 0:
            self._metrics.stream_opened()
        else:
            self._metrics.stream_closed()
