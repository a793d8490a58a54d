"""The record of what was decided on a call, told to whoever measures as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from policies.model import Decision, Reason, Verdict
from proxy.audit import Audit, Subject
from proxy.call import Call
from proxy.judgement import Judgement
from proxy.observer import Observer
from proxy.question import CONNECT, Question


@dataclass(frozen=True, slots=True)
class Recording:
    """Writes decisions and outcomes of calls. *monotonic* tells seconds.

    `beside` is shown what was decided, once that is recorded; it must neither fail nor take long.
    """

    audit: Audit
    observer: Observer
    monotonic: Callable[[], float]
    beside: Callable[[str, Call, Judgement], None] = lambda *_: None

    async def decided(self, call: Call, judgement: Judgement, method: str | None = None) -> str:
        """Return the id of the record of *judgement* once it is durable.

        *method* is that of the message it is on, if that is not the call's own. Raises
        `UnrecordedError`.
        """
        question, decision = judgement.question, judgement.decision
        subject = Subject(
            principal=call.principal,
            server=call.server_name,
            method=call.method if method is None else method,
            action=question.action,
            resource=question.resource,
            now=call.now,
            facts=call.facts + judgement.facts,
            tests=judgement.tests,
            outcomes=judgement.outcomes,
            arguments=question.arguments,
            withheld=call.withheld if method is None else (),
            enforced=judgement.enforced,
        )
        words = call.grounds.bundle.program.words
        decision_id = await self.audit.decided(subject, decision, words)
        if call.span is not None and method is None:
            call.span.decided(decision_id, decision.verdict.value)
            if judgement.allowed and question.resource.type in ("Tool", "Prompt"):
                call.span.about(question.subject)
        seconds = self.monotonic() - call.started
        self.observer.decided(
            decision_id, call.actor, question.action, question.resource, decision, seconds
        )
        if not judgement.enforced:
            self.observer.observed(call.server_name, decision.reason, question.action)
        self.beside(decision_id, call, judgement)
        return decision_id

    def ended(
        self, call: Call, decision_id: str, status: int | str, *, size: int = 0, error: str = ""
    ) -> None:
        """Record how the call that *decision_id* allowed went, and measure it."""
        self.outcome(call, decision_id, status, size=size, error=error)
        self.measured(call, error)

    def outcome(
        self, call: Call, decision_id: str, status: int | str, *, size: int = 0, error: str = ""
    ) -> None:
        """Record how what *decision_id* allowed went."""
        seconds = self.monotonic() - call.started
        self.audit.ended(decision_id, status, is_error=bool(error), size=size, seconds=seconds)

    def measured(self, call: Call, error: str = "") -> None:
        """Tell how long the call took, and what it failed with."""
        seconds = self.monotonic() - call.started
        self.observer.ended(call.server_name, call.method, call.version, seconds, error)


def denial(call: Call, reason: Reason) -> Judgement:
    """Return the judgement on a call that never came to a question, because of *reason*."""
    bundle, facts = call.grounds.bundle, call.grounds.facts
    decision = Decision(Verdict.DENY, reason, bundle.version, facts.version)
    return Judgement(Question(CONNECT, call.entity), decision)
