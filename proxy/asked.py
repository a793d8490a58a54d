"""A request that was forwarded, and what must be known of it to understand the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxy.call import Call
from proxy.listening import Listening
from proxy.opening import request_digest
from proxy.question import Origin, Question
from proxy.rounds import Continuing
from proxy.wire.headers import CAPABILITIES_KEY, Judged
from proxy.wire.jsonrpc import Id, Request
from proxy.wire.methods import Judgment


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a client as its upstream has it.

    `decision_id` is the record that allows it, and `params` are the client's, with its own handles
    in them; of a request whose stream was cut and is taken up again, only what the handle of its
    last event says is known.
    """

    call: Call
    judged: Judged
    question: Question
    id: Id
    decision_id: str
    params: Mapping[str, Any]
    origin: Origin | None = None
    listening: Listening | None = None

    @property
    def method(self) -> str:
        """The method of the request; that of the call is another one where a stream goes on."""
        row = self.judged.method
        return self.call.method if row is None else row.name

    @property
    def meta(self) -> Mapping[str, Any]:
        meta = self.params.get("_meta")
        return meta if type(meta) is dict else {}

    @property
    def token(self) -> Any:  # noqa: ANN401  whatever the client chose
        """What news of the progress of this request are marked with; None if it wants none."""
        return self.meta.get("progressToken")

    @property
    def capabilities(self) -> dict[str, Any]:
        """What the client says it can do; empty in a legacy version, which says so once."""
        found = self.meta.get(CAPABILITIES_KEY)
        return found if type(found) is dict else {}

    @property
    def continuing(self) -> Continuing:
        """What a result that asks for more is bound to."""
        return Continuing(request_digest(self.method, self.params), self.capabilities)

    @property
    def is_of_task(self) -> bool:
        row = self.judged.method
        return row is not None and row.judgment is Judgment.TASK

    @classmethod
    def of(
        cls,
        call: Call,
        judged: Judged,
        question: Question,
        request: Request,
        decision_id: str,
        origin: Origin | None,
        listening: Listening | None = None,
    ) -> Asked:
        return cls(
            call, judged, question, request.id, decision_id, request.params or {}, origin, listening
        )
