"""The decision point, as whoever has to enforce its answers sees it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity


class UndecidedError(Exception):
    """A question has no answer. That is never a yes. The text is for the log alone."""


class DecisionPoint(Protocol):
    """Answers questions of access. *grounds* are the policy and facts that the asker saw."""

    async def decide(self, request: AccessRequest, grounds: Grounds) -> Decision:
        """Return the decision in bounded time.

        Whatever goes wrong is `Verdict.UNDECIDED`, and never an exception and never an allow.
        """

    async def visible(
        self, request: AccessRequest, resources: Sequence[Entity], grounds: Grounds
    ) -> Collection[Entity]:
        """Return those of *resources* whose existence the actor may learn of.

        Visible is what the actor may `list`, and what he may use by the action of *request* for
        some arguments. The resource of *request* is not looked at. Raises `UndecidedError`.
        """
