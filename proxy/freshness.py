"""How old what is known of the state may be, and that nothing is allowed on what is older."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity, Reason, Verdict
from policies.pdp import DecisionPoint, UndecidedError

Age = Callable[[], float]
"""Tells for how many seconds something may have changed unseen."""


class Freshness:
    """Whether the state was seen in the last *longest* seconds; until it is followed, it was."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._ages: tuple[Age, ...] = ()

    def follow(self, *ages: Age) -> None:
        """Go by *ages* from now on: the oldest counts."""
        self._ages = ages

    @property
    def age(self) -> float:
        """The seconds since all of the state was known."""
        return max((age() for age in self._ages), default=0.0)

    @property
    def is_over(self) -> bool:
        return self.age > self._longest


class FreshPoint:
    """Asks *point* while what is known is fresh enough; else no question has an answer.

    *on_failure* is told of each that has none for that reason.
    """

    def __init__(
        self, point: DecisionPoint, freshness: Freshness, on_failure: Callable[[Exception], None]
    ) -> None:
        self._point = point
        self._freshness = freshness
        self._on_failure = on_failure

    async def decide(self, request: AccessRequest, grounds: Grounds) -> Decision:
        if self._freshness.is_over:
            self._on_failure(self._stale())
            version = grounds.facts.version
            return Decision(Verdict.UNDECIDED, Reason.UNDECIDED, grounds.bundle.version, version)
        return await self._point.decide(request, grounds)

    async def visible(
        self, request: AccessRequest, resources: Sequence[Entity], grounds: Grounds
    ) -> Collection[Entity]:
        if self._freshness.is_over:
            stale = self._stale()
            self._on_failure(stale)
            raise stale
        return await self._point.visible(request, resources, grounds)

    def _stale(self) -> UndecidedError:
        return UndecidedError(f"the state was last seen {self._freshness.age:.0f} s ago")
