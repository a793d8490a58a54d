"""What upstreams tell without having been asked: which of it is for this client, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from policies.pdp import UndecidedError
from proxy.asking import InputRefusedError
from proxy.audit import UnrecordedError
from proxy.call import Call
from proxy.introduction import UnusableResultError
from proxy.judgement import Judge
from proxy.listening import ACKNOWLEDGED, CHANGES, UPDATED, Listening
from proxy.question import SET_LOG_LEVEL, SUBSCRIBE, document_question, going_on
from proxy.rounds import Rounds
from proxy.tasks import OwnTask, Tasks
from proxy.upstream.server import Server
from proxy.way import Way
from proxy.wire.jsonrpc import Notification
from proxy.wire.methods import Judgment, Party, find
from storage.errors import StateError

_CHANGED: Final = frozenset(CHANGES.values())
_HEARD: Final = (SUBSCRIBE, "read")


@dataclass(frozen=True, slots=True)
class News:
    """Passes on what a client may hear. *on_changed* is told of a server whose lists changed."""

    judge: Judge
    tasks: Tasks
    rounds: Rounds
    verbatim: frozenset[str]
    on_changed: Callable[[Server], None]

    async def passed(self, way: Way, call: Call, message: Notification) -> Notification | None:
        """Return *message* as the client of *way* may have it; None if it is not for it.

        *call* is the client's, on the grounds of this moment.
        """
        if message.method in _CHANGED and call.server is not None:
            self.on_changed(call.server)
        row = find(Party.SERVER, message.method, way.judged.version)
        if row is None:
            return None
        try:
            return await self._passed(way, call, message, row.judgment)
        except (UndecidedError, UnrecordedError, StateError, InputRefusedError):
            return None
        except UnusableResultError:
            return None

    async def _passed(
        self, way: Way, call: Call, message: Notification, judgment: Judgment
    ) -> Notification | None:
        listening = None if way.asked is None else way.asked.listening
        if way.outlet.is_held is not (message.method == ACKNOWLEDGED):
            return None  # what is heard is acknowledged first, and once
        match judgment:
            case Judgment.IN_FLIGHT:
                found = _in_flight(way, message)
            case Judgment.LOG_LEVEL:
                found = await self._if(call, SET_LOG_LEVEL, message)
            case Judgment.ELICIT:
                found = await self._if(call, "elicit", message)
            case Judgment.SUBSCRIBED if way.judged.is_modern:
                found = await self._listened(way, call, listening, message)
            case Judgment.SUBSCRIBED:
                found = message if await self._is_heard(call, message) else None
            case Judgment.TASK if way.judged.is_modern:
                found = await self._task_news(way, call, listening, message)
            case Judgment.TASK:
                found = await self._task_status(call, message)
            case _:
                found = None
        return None if found is None else await self._related(call, found)

    async def _if(self, call: Call, action: str, message: Notification) -> Notification | None:
        judgement = await self.judge.on_server(call, action)
        return message if judgement.allowed else None

    async def _listened(
        self, way: Way, call: Call, listening: Listening | None, message: Notification
    ) -> Notification | None:
        """Return *message* if the client asked to hear of it, and still may."""
        if listening is None:
            return None
        if message.method == ACKNOWLEDGED:
            way.outlet.release()
            return listening.acknowledged(message)
        if message.method == UPDATED:
            is_asked = (message.params or {}).get("uri") in listening.uris
            is_heard = is_asked and await self._is_heard(call, message)
        else:
            is_heard = message.method in listening.changes
        return listening.marked(message) if is_heard else None

    async def _is_heard(self, call: Call, message: Notification) -> bool:
        """Tell whether *message* is of a document that may be read, or of none at all."""
        if message.method != UPDATED:
            return True
        uri = (message.params or {}).get("uri")
        if type(uri) is not str:
            return False
        for action in _HEARD:
            if not await self.judge.may(call, document_question(action, call.server_name, uri)):
                return False
        return True

    async def _task_status(self, call: Call, message: Notification) -> Notification | None:
        params = message.params or {}
        task_id = params.get("taskId")
        if type(task_id) is not str:
            return None
        own = (await self.tasks.owned(call, [task_id])).get(task_id)
        if own is None or not await self._is_callable(call, own):
            return None
        return message.with_params({**params, "taskId": own.handle})

    async def _task_news(
        self, way: Way, call: Call, listening: Listening | None, message: Notification
    ) -> Notification | None:
        params = dict(message.params or {})
        task_id = params.get("taskId")
        if listening is None or way.asked is None or type(task_id) is not str:
            return None
        handle = listening.tasks.get(task_id)
        own = None if handle is None else self.tasks.opened(call, handle)
        if own is None or not await self._is_callable(call, own):
            return None
        if "inputRequests" in params:
            params["inputRequests"] = await self.rounds.inputs(
                call, way.asked.capabilities, params["inputRequests"]
            )
        params["taskId"] = own.handle
        return listening.marked(message.with_params(params))

    async def _is_callable(self, call: Call, own: OwnTask) -> bool:
        """Tell whether the call that began a task would be allowed now."""
        question = going_on(call.server_name, own.origin, self.verbatim)
        return await self.judge.may(call, question)

    async def _related(self, call: Call, message: Notification) -> Notification:
        params = message.params
        if params is None or "_meta" not in params:
            return message
        meta = await self.tasks.related(call, params["_meta"])
        return message.with_params({**params, "_meta": meta})


def _in_flight(way: Way, message: Notification) -> Notification | None:
    """Return *message* if it is about something that is under way for this client."""
    params = message.params or {}
    if message.method == "notifications/progress":
        asked = way.asked
        # Of a stream that no request opened, or that of a task, nobody knows all the tokens.
        is_known = (
            asked is None or asked.is_of_task or _is(params.get("progressToken"), asked.token)
        )
        return message if is_known else None
    handle = way.passed(params.get("requestId"))
    return None if handle is None else message.with_params({**params, "requestId": handle})


def _is(value: object, other: object) -> bool:
    # To Python 1 is True, and to a client it is not.
    return value is not None and type(value) is type(other) and value == other
