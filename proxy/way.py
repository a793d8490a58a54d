"""One event stream on its way from an upstream to a client."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.asked import Asked
from proxy.call import Call
from proxy.identity.handles import Handles, Kind
from proxy.opening import session_bytes
from proxy.outlets import Outlet
from proxy.wire.headers import Judged
from proxy.wire.jsonrpc import MAX_ID_BYTES, Id
from proxy.wire.methods import Judgment
from proxy.wire.sse import MAX_EVENT_ID

LONGEST_EVENT_ID: Final = 1024
"""Characters of an upstream's id of an event."""

MOST_ASKED: Final = 256
"""Requests of one stream that are remembered, in case the upstream takes one back."""


_NEEDS_REQUEST: Final = frozenset({Judgment.CONNECT, Judgment.COMPLETE, Judgment.TASK})


@dataclass(slots=True)
class Way:
    """A stream, what is expected on it, and what was passed on.

    `asked` is the request whose answer comes here; a stream that *is_own* was opened by it and ends
    with that answer. `is_resumable` once the client knows where to go on, if the stream is cut;
    one that *is_left* has nobody who could learn it.
    """

    call: Call
    judged: Judged
    outlet: Outlet
    handles: Handles
    asked: Asked | None = None
    is_own: bool = False
    is_resumable: bool = False
    is_left: bool = False
    _passed: OrderedDict[Id, str] = field(default_factory=OrderedDict)

    def event_id(self, id_: str | None) -> str | None:
        """Return the handle of the upstream's event *id_*; None where there can be none.

        It says what the stream was to answer, so that whoever goes on there knows.
        """
        if self.judged.is_modern or not id_ or len(id_) > LONGEST_EVENT_ID:
            return None
        if self.asked is not None and not _is_known_by_handle(self.asked):
            return None
        content = [id_, _content(self.asked)]
        about = session_bytes(self.call.session)
        handle = self.handles.seal(Kind.EVENT, self.call.holder, content, about)
        if len(handle) > MAX_EVENT_ID:
            return None
        self.is_resumable |= not self.is_left
        return handle

    def leave(self) -> bool:
        """Note that the client is gone, and tell whether it can have the rest otherwise."""
        self.is_left = True
        return self.is_resumable

    def asked_id(self, id_: Id, method: str) -> str | None:
        """Return the handle of the upstream's request *id_*; None if it is too long for one."""
        about = session_bytes(self.call.session)
        handle = self.handles.seal(Kind.ASKED, self.call.holder, [id_, method], about)
        if len(handle) > MAX_ID_BYTES:
            return None
        self._passed[id_] = handle
        if len(self._passed) > MOST_ASKED:
            self._passed.popitem(last=False)
        return handle

    def passed(self, id_: object) -> str | None:
        """Return the handle of a request that was passed on in this stream."""
        # To Python 1 is True, and to an upstream it is not.
        if isinstance(id_, bool) or not isinstance(id_, str | int):
            return None
        return self._passed.get(id_)


def _is_known_by_handle(asked: Asked) -> bool:
    """Tell whether what a handle says of *asked* is enough to understand the answer."""
    row = asked.judged.method
    return row is not None and row.judgment not in _NEEDS_REQUEST


def _content(asked: Asked | None) -> list[Any] | None:
    if asked is None:
        return None
    return [asked.id, asked.method, asked.question.subject, asked.token, asked.decision_id]
