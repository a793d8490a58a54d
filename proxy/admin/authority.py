"""Who may do what on the control plane: one token, one question to the policy, one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import AccessRequest, Decision, Entity, Fact, Reason, Verdict
from policies.pdp import DecisionPoint
from policies.supplied import Caller, caller_facts
from proxy.admin.errors import NotAllowedError, TooFastError, UndecidedError
from proxy.admin.routes import Visit
from proxy.audit import Audit, Subject
from proxy.identity.bearer import bearer
from proxy.identity.keyring import Plane
from proxy.identity.opaque import OpaqueTokens
from proxy.identity.principal import Principal
from proxy.identity.refusal import KeyUnknownError, RefusedError
from proxy.identity.verify import Verifier
from proxy.limits import Admission, Admissions
from proxy.listener.incoming import Incoming
from proxy.observer import Observer
from proxy.pipeline import Clocks
from proxy.standing import Standing

GATEWAY: Final = Entity("Gateway", "northgate")

Beside = Callable[[str, Principal, str, AccessRequest, Decision, FactSet], None]
"""What is shown each decision, once that is recorded: its id, who asks from where, what, and over
which facts."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Identifies callers by their tokens for `audience` alone, and asks the policy about them."""

    point: DecisionPoint
    standing: Standing
    audit: Audit
    verifier: Verifier
    admissions: Admissions
    observer: Observer
    clocks: Clocks
    audience: str
    opaque: OpaqueTokens
    beside: Beside = lambda *_: None

    async def identify(self, incoming: Incoming) -> Principal:
        """Return who sent *incoming*. Raises `RefusedError`, which is counted."""
        audiences = frozenset({self.audience})
        try:
            token = bearer(incoming.headers, incoming.query)
            known = self.opaque.known(token, Plane.CONTROL, audiences)
            return known or await self._verified(token, audiences)
        except RefusedError as refused:
            self.observer.refused(refused.reason.value, incoming.remote)
            raise

    async def _verified(self, token: str, audiences: frozenset[str]) -> Principal:
        try:
            return self.verifier.verify(token, audiences)
        except KeyUnknownError:
            await self.verifier.look_again()
            return self.verifier.verify(token, audiences)

    async def admit(self, visit: Visit, action: str | None) -> None:
        """Raise `TooFastError` for a caller who asks too often, or `UnrecordedError`."""
        admission = self.admissions.call(visit.principal.actor)
        if admission is Admission.ADMITTED:
            return
        # One record a second tells of all refusals in it: a caller must not fill the disk.
        if admission is Admission.REFUSED and action is not None:
            grounds = self.standing.grounds
            policy, version = grounds.bundle.version, grounds.facts.version
            decision = Decision(Verdict.DENY, Reason.RATE_LIMITED, policy, version)
            question = self._question(visit, action, grounds)
            await self._record(visit, question, decision, grounds)
        raise TooFastError(((b"Retry-After", b"1"),))

    async def require(self, visit: Visit, action: str) -> None:
        """Return if the policy allows the caller *action* on the gateway, and that is recorded.

        Raises `NotAllowedError` or `UndecidedError`, recorded too, and else `UnrecordedError`.
        """
        grounds = self.standing.grounds
        question = self._question(visit, action, grounds)
        decision = await self.point.decide(question, grounds)
        decision_id = await self._record(visit, question, decision, grounds)
        if decision.verdict is Verdict.UNDECIDED:
            raise UndecidedError(decision_id=decision_id)
        if not decision.allowed:
            raise NotAllowedError(
                action=action, reason=decision.reason.value, decision_id=decision_id
            )
        visit.decisions.append(decision_id)

    def _question(self, visit: Visit, action: str, grounds: Grounds) -> AccessRequest:
        principal, now = visit.principal, int(self.clocks.now())
        caller = Caller(principal.actor, principal.acts_for, principal.claims, visit.address)
        facts: tuple[Fact, ...] = tuple(caller_facts(grounds.demands.named, caller, now))
        return AccessRequest(principal.actor, action, GATEWAY, facts, now)

    async def _record(
        self, visit: Visit, question: AccessRequest, decision: Decision, grounds: Grounds
    ) -> str:
        subject = Subject(
            principal=visit.principal,
            server="",
            method=visit.route,
            action=question.action,
            resource=question.resource,
            now=question.now,
            facts=question.facts,
        )
        decision_id = await self.audit.decided(subject, decision, grounds.bundle.program.words)
        about = (visit.principal, visit.address, question, decision, grounds.facts)
        self.beside(decision_id, *about)
        seconds = self.clocks.monotonic() - visit.started
        self.observer.decided(
            decision_id, question.actor, question.action, question.resource, decision, seconds
        )
        return decision_id
