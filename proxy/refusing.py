"""What a caller is told whose question was not answered with yes."""

from __future__ import annotations

from policies.model import Reason, Verdict
from proxy import errors
from proxy.call import Call
from proxy.errors import Refusal
from proxy.identity.handles import Kind
from proxy.judgement import Judgement
from proxy.question import CONNECT, KINDS
from proxy.wire.methods import MODERN_VERSIONS, Judgment, Method


def refusal_of(
    call: Call,
    judgement: Judgement,
    decision_id: str,
    row: Method | None,
    support_contact: str | None,
) -> Refusal:
    """Return the answer to a message of the kind *row*; what is hidden is as if it were not there.

    *decision_id* is the record of *judgement*, by which *support_contact* can say more.
    """
    question, decision = judgement.question, judgement.decision
    if decision.verdict is Verdict.UNDECIDED:
        return errors.CANNOT_DECIDE
    if question.resource.type == "Server" and question.action == CONNECT:
        return errors.UNKNOWN_SERVER
    if decision.reason is not Reason.NOT_VISIBLE:
        return errors.denied(decision.reason.value, decision_id, support_contact)
    if row is not None and row.judgment is Judgment.TASK:
        return errors.unknown_handle(Kind.TASK)
    kind = KINDS[question.resource.type]
    if kind == "resource":
        return errors.unknown_document(question.subject, modern=call.version in MODERN_VERSIONS)
    return errors.unknown_item(kind, question.subject)
