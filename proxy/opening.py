"""What a client comes back with: its handles opened, before anything is asked about a message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson

from policies.model import Entity, Fact
from proxy.call import Call
from proxy.identity.handles import Handles, Kind, UnknownHandleError
from proxy.question import Origin
from proxy.session import Session
from proxy.wire.headers import Judged
from proxy.wire.jsonrpc import Notification, Request, Response
from proxy.wire.methods import Judgment
from proxy.wire.refusals import Fault, WireError

TASKS_EXTENSION: Final = "io.modelcontextprotocol/tasks"
RELATED_TASK: Final = "io.modelcontextprotocol/related-task"

MOST_WATCHED: Final = 256
"""Documents, or tasks, that one subscription may name."""

_PRESENT: Final = "argument_present"

_PAGED: Final = frozenset({Judgment.FILTER_LIST, Judgment.TASK_LIST})
_CONTINUED: Final = frozenset({Judgment.CALL_TOOL, Judgment.GET_PROMPT, Judgment.READ_DOCUMENT})


@dataclass(frozen=True, slots=True)
class Opened:
    """A message with the upstream's own handles in it, and the origin of the task it is about."""

    message: Request | Notification
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of an upstream that a client answers: its own id there, and its method."""

    id: str | int
    method: str


@dataclass(frozen=True, slots=True)
class Resumption:
    """What the answer in a stream that is taken up again answers.

    `subject` is the name or URI that the request was about, `token` marks news of its progress, and
    `decision_id` is the record that allowed it.
    """

    id: str | int
    method: str
    subject: str
    token: Any
    decision_id: str


class Opening:
    """Opens handles. Every way in raises `UnknownHandleError` for one that is not the caller's."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles

    def session(self, call: Call, shown: str | None) -> Session | None:
        """Return the session that a client shows; None if it shows none."""
        if shown is None:
            return None
        id_, version = self._handles.open(Kind.SESSION, call.holder, shown)
        return Session(id_, version)

    def message(self, call: Call, judged: Judged, message: Request | Notification) -> Opened:
        """Return *message* as the upstream is to get it, as far as handles go.

        Raises `WireError` for a member that should hold a handle and does not.
        """
        row, params = judged.method, message.params
        if row is None or params is None:
            return Opened(message)
        origin = None
        opened = dict(params)
        if row.judgment in _PAGED and "cursor" in params:
            opened["cursor"] = self._open(call, Kind.CURSOR, message, "cursor", row.name.encode())
        elif row.judgment is Judgment.TASK:
            _check_declared(judged, message)
            opened["taskId"], origin = self.task(call, params["taskId"])
        elif row.judgment is Judgment.LISTEN:
            opened["notifications"] = _wanted(message, params["notifications"])
            if params["notifications"].get("taskIds"):
                _check_declared(judged, message)
        if row.judgment in _CONTINUED and judged.is_modern and "requestState" in params:
            about = request_digest(row.name, params)
            opened["requestState"] = self._open(call, Kind.STATE, message, "requestState", about)
        if "_meta" in opened:
            opened["_meta"] = self.related(call, opened["_meta"])
        return Opened(message.with_params(opened), origin)

    def asked(self, call: Call, response: Response) -> Ask:
        """Return the request of the upstream that *response* answers."""
        if not isinstance(response.id, str):
            raise UnknownHandleError(Kind.ASKED)
        about = session_bytes(call.session)
        id_, method = self._handles.open(Kind.ASKED, call.holder, response.id, about)
        return Ask(id_, method)

    def event(self, call: Call, shown: str) -> tuple[str, Resumption | None]:
        """Return the upstream's own id of an event, and what its stream was to answer, if any."""
        about = session_bytes(call.session)
        id_, content = self._handles.open(Kind.EVENT, call.holder, shown, about)
        return id_, None if content is None else Resumption(*content)

    def task(self, call: Call, handle: str) -> tuple[str, Origin]:
        """Return the upstream's own id of a task, and where the task came from."""
        task_id, content = self._handles.open(Kind.TASK, call.holder, handle)
        origin = origin_of(call, content)
        if origin is None:
            raise UnknownHandleError(Kind.TASK)
        return task_id, origin

    def related(self, call: Call, meta: Any) -> Any:  # noqa: ANN401  JSON
        """Return *meta* with the upstream's own id of the task that it relates to.

        What relates to a task that is none of the caller's relates to nothing.
        """
        if type(meta) is not dict or RELATED_TASK not in meta:
            return meta
        kept = {name: value for name, value in meta.items() if name != RELATED_TASK}
        match meta[RELATED_TASK]:
            case {"taskId": str(handle)}:
                try:
                    task_id, _ = self.task(call, handle)
                except UnknownHandleError:
                    return kept
                return kept | {RELATED_TASK: {"taskId": task_id}}
        return kept

    def _open(
        self, call: Call, kind: Kind, message: Request | Notification, member: str, about: bytes
    ) -> Any:  # noqa: ANN401  JSON
        handle = (message.params or {})[member]
        if type(handle) is not str:
            raise WireError(Fault.BAD_SUBJECT, id=message.id, detail=member)
        return self._handles.open(kind, call.holder, handle, about)


def session_bytes(session: Session | None) -> bytes:
    """Return what binds a handle to *session*."""
    return b"" if session is None else session.id.encode()


def request_digest(method: str, params: Mapping[str, Any]) -> bytes:
    """Return what tells one request from another that goes on with it under changed arguments."""
    asked = [method, params.get("name"), params.get("uri"), params.get("arguments")]
    return blake2b(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def origin_content(call: Call, tool: str, origin: Origin | None) -> list[Any]:
    """Return as JSON what is known of the *call* of *tool* that began a task.

    All its facts are about the tool, which is not repeated. Beside them stand the arguments that
    rules asked after and that were not there.
    """
    if origin is None:
        return [tool, [], []]
    absent = _asked_after(call, tool) - _present(origin)
    return [tool, [[fact.predicate, *fact.args[1:]] for fact in origin.facts], sorted(absent)]


def origin_of(call: Call, content: Any) -> Origin | None:  # noqa: ANN401  JSON
    """Return the origin of a task of which *content* is known.

    None if rules ask by now after an argument that nobody looked for when the task began: one may
    allow what lacks it, and whether it was there cannot be found out any more.
    """
    name, facts, absent = content
    tool = _tool(call, name)
    origin = Origin(name, tuple(Fact(one[0], (tool, *one[1:])) for one in facts))
    is_known = _asked_after(call, name) <= _present(origin).union(absent)
    return origin if is_known else None


def _tool(call: Call, name: str) -> Entity:
    return Entity("Tool", f"{call.server_name}__{name}")


def _asked_after(call: Call, tool: str) -> set[str]:
    """Return the arguments of which rules ask whether they are there."""
    asked = call.grounds.call_tests(_tool(call, tool)).asked
    return {key for predicate, key, _ in asked if predicate == _PRESENT}


def _present(origin: Origin) -> set[str]:
    return {str(fact.args[1]) for fact in origin.facts if fact.predicate == _PRESENT}


def _check_declared(judged: Judged, message: Request | Notification) -> None:
    """Raise `WireError` for a method of an extension whose client does not say that it has it."""
    if judged.is_modern and not has_tasks(message.params or {}):
        data: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}}
        raise WireError(Fault.MISSING_CAPABILITY, id=message.id, data=data)


def has_tasks(params: Mapping[str, Any]) -> bool:
    """Tell whether a modern client says, with a request, that it knows tasks."""
    match params.get("_meta"):
        case {"io.modelcontextprotocol/clientCapabilities": {"extensions": dict(extensions)}}:
            return TASKS_EXTENSION in extensions
    return False


def _wanted(message: Request | Notification, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what a client wants to hear of. Raises `WireError` if that cannot be read."""
    for member in ("resourceSubscriptions", "taskIds"):
        named = wanted.get(member, [])
        if type(named) is not list or not all(type(one) is str for one in named):
            raise WireError(Fault.BAD_SUBJECT, id=message.id, detail=member)
        if len(named) > MOST_WATCHED:
            raise WireError(Fault.BAD_SUBJECT, id=message.id, detail=f"too many {member}")
    return wanted
