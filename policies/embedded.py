"""The decision point in this process: our own engine, without a network, in microseconds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity, Reason, Verdict
from policies.pdp import UndecidedError
from policies.polar.runtime import Overlay

LIST = "list"
_ORIGIN = "this call"


class EmbeddedPoint:
    """Decides with the engine of the grounds it is given. *on_failure* is told of what failed."""

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self._on_failure = on_failure
        self._grounds: Grounds | None = None
        self._second = 0
        self._decided: dict[tuple[AccessRequest, tuple[type, ...]], Decision] = {}

    async def decide(self, request: AccessRequest, grounds: Grounds) -> Decision:
        """Return the decision, with the rules of an allow."""
        try:
            # Whether a caller may connect is asked anew with each of his calls.
            if request.resource.type == "Server":
                return self._repeated(request, grounds)
            return _decision(request, grounds)
        # Whatever the engine failed of, the caller must see a question without an answer.
        except Exception as error:  # noqa: BLE001
            self._on_failure(error)
            return Decision(
                Verdict.UNDECIDED, Reason.UNDECIDED, grounds.bundle.version, grounds.facts.version
            )

    def _repeated(self, request: AccessRequest, grounds: Grounds) -> Decision:
        """Return the decision on what was asked before, of these grounds and in this second.

        Other grounds, or another second, may answer otherwise: then all of it is forgotten.
        """
        if self._grounds is not grounds or self._second != request.now:
            self._grounds, self._second, self._decided = grounds, request.now, {}
        # To a dictionary True is 1, and to a policy it is not.
        types = tuple(value.__class__ for fact in request.facts for value in fact.args)
        decision = self._decided.get((request, types))
        if decision is None:
            decision = self._decided[request, types] = _decision(request, grounds)
        return decision

    async def visible(
        self, request: AccessRequest, resources: Sequence[Entity], grounds: Grounds
    ) -> Collection[Entity]:
        """Return what may be listed and what may be used for some arguments, of *resources*."""
        engine, actor, now = grounds.engine, request.actor, request.now
        try:
            own = _overlay(request, grounds)
            listed = engine.select(actor, LIST, resources, own, now)
            seen = set(listed)
            rest = [one for one in resources if one not in seen]
            if rest:
                seen.update(engine.select(actor, request.action, rest, own, now, possibly=True))
        except Exception as error:
            self._on_failure(error)
            raise UndecidedError(type(error).__name__) from error
        return seen


def _decision(request: AccessRequest, grounds: Grounds) -> Decision:
    own = _overlay(request, grounds)
    engine = grounds.engine
    ruling = engine.decide(request.actor, request.action, request.resource, own, request.now)
    policy, version = grounds.bundle.version, grounds.facts.version
    if ruling.allowed:
        return Decision(Verdict.ALLOW, Reason.GRANTED, policy, version, ruling.rules)
    suspended = engine.holds("is_suspended", (request.actor,), own, request.now)
    reason = Reason.SUSPENDED if suspended else Reason.NO_RULE
    return Decision(Verdict.DENY, reason, policy, version)


def _overlay(request: AccessRequest, grounds: Grounds) -> Overlay:
    """Return the facts of *request* that the policy has a use for, each with its origin."""
    facts = [(fact, _ORIGIN) for fact in request.facts]
    return grounds.engine.overlay(facts, only_useful=True)
