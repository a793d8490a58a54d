"""What the way of a call tells whoever measures it. Nothing here may wait, or fail."""

from __future__ import annotations

from typing import Protocol

from policies.model import Decision, Entity
from proxy.upstream.failures import UpstreamError


class Observer(Protocol):
    """Counts and logs. Names of servers are as the caller wrote them."""

    def refused(self, reason: str, address: str) -> None:
        """Count a request whose caller was not identified, or that was no request at all."""

    def decided(
        self,
        decision_id: str,
        actor: Entity,
        action: str,
        resource: Entity,
        decision: Decision,
        seconds: float,
    ) -> None:
        """Count one decision that is in the record, *seconds* after its call arrived."""

    def observed(self, server: str, reason: str, action: str) -> None:
        """Count a denial that was not enforced, beside the decision that it is."""

    def ended(self, server: str, method: str, version: str, seconds: float, error: str) -> None:
        """Measure one call from its arrival to the end of its answer.

        *method* is as the caller wrote it; *error* is "" if the call went well.
        """

    def upstream_failed(self, server: str, error: UpstreamError) -> None:
        """Count an upstream that gave no answer, or none that could be passed on."""

    def dropped(self, server: str, what: str) -> None:
        """Count a message of an upstream that nobody asked for."""

    def unrecorded(self, code: str) -> None:
        """Count a record that could not be made durable."""

    def undecided(self, error: Exception) -> None:
        """Tell of a question that found no answer."""

    def stream(self, change: int) -> None:
        """Count an event stream that was opened (1) or ended (-1)."""
