"""Going on with a stream that was cut, at the event that a client saw last."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.asked import Asked
from proxy.call import Call
from proxy.identity.handles import Kind, UnknownHandleError
from proxy.judgement import Judge
from proxy.opening import Opening, Resumption
from proxy.question import CONNECT, Question, document_question
from proxy.wire.headers import Judged
from proxy.wire.methods import Judgment, Party, find


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stream goes on: after the upstream's event `after`, if it does not begin anew.

    `asked` is the request whose answer comes there, as far as it is known.
    """

    after: str | None = None
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Resuming:
    """Finds the places that clients show."""

    opening: Opening
    judge: Judge

    async def found(self, call: Call, judged: Judged, shown: str | None) -> Place:
        """Return the place that a client shows, or the beginning.

        Raises `UnknownHandleError` for one that is not its own, or no longer.
        """
        if shown is None:
            return Place()
        after, content = self.opening.event(call, shown)
        if content is None:
            return Place(after)
        asked = _asked(call, judged, content)
        if not await self._may_have(call, asked):
            raise UnknownHandleError(Kind.EVENT)
        return Place(after, asked)

    async def _may_have(self, call: Call, asked: Asked) -> bool:
        """Tell whether the answer may be had now: what was done is done, what is read is not."""
        row = asked.judged.method
        if row is None or row.judgment is not Judgment.READ_DOCUMENT:
            return True
        question = document_question("read", call.server_name, asked.question.subject)
        return await self.judge.may(call, question)


def _asked(call: Call, judged: Judged, content: Resumption) -> Asked:
    row = find(Party.CLIENT, content.method, judged.version)
    if row is None:
        raise UnknownHandleError(Kind.EVENT)
    question = Question(CONNECT, call.entity, content.subject)
    params = {"_meta": {"progressToken": content.token}}
    own = Judged(judged.version, row)
    return Asked(call, own, question, content.id, content.decision_id, params)
