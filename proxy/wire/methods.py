"""The closed table of methods, per protocol version: what each is, and what it is judged on.

A method that is not in the table is refused. Rows follow the schemas of 2025-06-18, 2025-11-25 and
2026-07-28, and of the tasks extension (`io.modelcontextprotocol/tasks`) for the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from proxy.wire.jsonrpc import Id, Notification, Params, Request
from proxy.wire.refusals import Fault, WireError

LEGACY_VERSIONS: Final = ("2025-06-18", "2025-11-25")
"""Versions that begin with `initialize` and keep a session, oldest first."""

MODERN_VERSIONS: Final = ("2026-07-28",)
"""Versions in which every request carries its own envelope, oldest first."""

VERSIONS: Final = LEGACY_VERSIONS + MODERN_VERSIONS


class Party(Enum):
    """Who sends a message."""

    CLIENT = auto()
    SERVER = auto()


class Kind(Enum):
    """Whether a message must have an id, or must have none."""

    REQUEST = auto()
    NOTIFICATION = auto()


class Judgment(Enum):
    """What must be decided before a message goes on."""

    NONE = auto()
    """Nothing beyond belonging to a session or request of this principal."""
    CONNECT = auto()
    """May the principal connect to this server at all?"""
    FILTER_LIST = auto()
    """The answer is filtered, item by item."""
    CALL_TOOL = auto()
    GET_PROMPT = auto()
    READ_DOCUMENT = auto()
    SUBSCRIBE = auto()
    """The document that is to be watched, or no longer."""
    LISTEN = auto()
    """May the principal connect? And each document and task that is to be watched."""
    COMPLETE = auto()
    """The prompt or template in `ref`."""
    LOG_LEVEL = auto()
    TASK = auto()
    """The tool that began the task, now, and that the task is this principal's."""
    OWN_TASK = auto()
    """A task that the client runs for the server: may the server ask for such work at all?"""
    TASK_LIST = auto()
    """The answer is filtered: tasks of this principal whose tools it may still call."""
    IN_FLIGHT = auto()
    """Must name a request or token in flight in this session, else it is dropped."""
    SAMPLE = auto()
    ELICIT = auto()
    LIST_ROOTS = auto()
    SUBSCRIBED = auto()
    """Goes on only if this client asked to hear of it and may still read it."""


@dataclass(frozen=True, slots=True)
class Method:
    """One row: who sends *name*, in which versions, and what is judged.

    `about` is the member of `params` that must be there, because it names what is judged or because
    nothing can be done without it; `shape` is its type. `listed` is the member of the result that
    holds the items of a list.
    """

    name: str
    sender: Party
    kind: Kind
    versions: tuple[str, ...]
    judgment: Judgment
    about: str | None = None
    shape: type = str
    listed: str | None = None


_FIRST, _SECOND = (("2025-06-18",), ("2025-11-25",))
_LEGACY, _MODERN, _BOTH = LEGACY_VERSIONS, MODERN_VERSIONS, VERSIONS
_TASKS = (*_SECOND, *_MODERN)
_C, _S = Party.CLIENT, Party.SERVER
_ASK, _TELL = Kind.REQUEST, Kind.NOTIFICATION
_J = Judgment

TABLE: Final = (
    # What a client asks.
    Method("initialize", _C, _ASK, _LEGACY, _J.CONNECT, "protocolVersion"),
    Method("server/discover", _C, _ASK, _MODERN, _J.CONNECT),
    Method("ping", _C, _ASK, _LEGACY, _J.NONE),
    Method("tools/list", _C, _ASK, _BOTH, _J.FILTER_LIST, listed="tools"),
    Method("tools/call", _C, _ASK, _BOTH, _J.CALL_TOOL, "name"),
    Method("prompts/list", _C, _ASK, _BOTH, _J.FILTER_LIST, listed="prompts"),
    Method("prompts/get", _C, _ASK, _BOTH, _J.GET_PROMPT, "name"),
    Method("resources/list", _C, _ASK, _BOTH, _J.FILTER_LIST, listed="resources"),
    Method("resources/templates/list", _C, _ASK, _BOTH, _J.FILTER_LIST, listed="resourceTemplates"),
    Method("resources/read", _C, _ASK, _BOTH, _J.READ_DOCUMENT, "uri"),
    Method("resources/subscribe", _C, _ASK, _LEGACY, _J.SUBSCRIBE, "uri"),
    Method("resources/unsubscribe", _C, _ASK, _LEGACY, _J.SUBSCRIBE, "uri"),
    Method("subscriptions/listen", _C, _ASK, _MODERN, _J.LISTEN, "notifications", dict),
    Method("completion/complete", _C, _ASK, _BOTH, _J.COMPLETE, "ref", dict),
    Method("logging/setLevel", _C, _ASK, _LEGACY, _J.LOG_LEVEL, "level"),
    Method("tasks/get", _C, _ASK, _TASKS, _J.TASK, "taskId"),
    Method("tasks/result", _C, _ASK, _SECOND, _J.TASK, "taskId"),
    Method("tasks/cancel", _C, _ASK, _TASKS, _J.TASK, "taskId"),
    Method("tasks/update", _C, _ASK, _MODERN, _J.TASK, "taskId"),
    Method("tasks/list", _C, _ASK, _SECOND, _J.TASK_LIST, listed="tasks"),
    # What a client tells.
    Method("notifications/initialized", _C, _TELL, _LEGACY, _J.NONE),
    Method("notifications/cancelled", _C, _TELL, _BOTH, _J.IN_FLIGHT),
    Method("notifications/progress", _C, _TELL, _LEGACY, _J.IN_FLIGHT),
    Method("notifications/roots/list_changed", _C, _TELL, _LEGACY, _J.LIST_ROOTS),
    Method("notifications/tasks/status", _C, _TELL, _SECOND, _J.OWN_TASK, "taskId"),
    # What a server asks: never on a modern stream, where it asks inside a result.
    Method("ping", _S, _ASK, _LEGACY, _J.NONE),
    Method("sampling/createMessage", _S, _ASK, _LEGACY, _J.SAMPLE, "messages", list),
    Method("elicitation/create", _S, _ASK, _LEGACY, _J.ELICIT, "message"),
    Method("roots/list", _S, _ASK, _LEGACY, _J.LIST_ROOTS),
    Method("tasks/get", _S, _ASK, _SECOND, _J.OWN_TASK, "taskId"),
    Method("tasks/result", _S, _ASK, _SECOND, _J.OWN_TASK, "taskId"),
    Method("tasks/cancel", _S, _ASK, _SECOND, _J.OWN_TASK, "taskId"),
    Method("tasks/list", _S, _ASK, _SECOND, _J.OWN_TASK),
    # What a server tells.
    Method("notifications/cancelled", _S, _TELL, _BOTH, _J.IN_FLIGHT),
    Method("notifications/progress", _S, _TELL, _BOTH, _J.IN_FLIGHT),
    Method("notifications/message", _S, _TELL, _BOTH, _J.LOG_LEVEL),
    Method("notifications/tools/list_changed", _S, _TELL, _BOTH, _J.SUBSCRIBED),
    Method("notifications/prompts/list_changed", _S, _TELL, _BOTH, _J.SUBSCRIBED),
    Method("notifications/resources/list_changed", _S, _TELL, _BOTH, _J.SUBSCRIBED),
    Method("notifications/resources/updated", _S, _TELL, _BOTH, _J.SUBSCRIBED, "uri"),
    Method("notifications/subscriptions/acknowledged", _S, _TELL, _MODERN, _J.SUBSCRIBED),
    Method("notifications/elicitation/complete", _S, _TELL, _SECOND, _J.ELICIT, "elicitationId"),
    Method("notifications/tasks/status", _S, _TELL, _SECOND, _J.TASK, "taskId"),
    Method("notifications/tasks", _S, _TELL, _MODERN, _J.TASK, "taskId"),
)

INPUT_REQUESTS: Final = MappingProxyType(
    {
        "sampling/createMessage": Judgment.SAMPLE,
        "elicitation/create": Judgment.ELICIT,
        "roots/list": Judgment.LIST_ROOTS,
    }
)
"""What a modern server may ask for inside an `input_required` result, and how it is judged."""

_ROWS: Final = {(row.sender, row.name, version): row for row in TABLE for version in row.versions}


def find(sender: Party, name: str, version: str) -> Method | None:
    """Return the row of *name*, spelled exactly, as *sender* may send it in *version*."""
    return _ROWS.get((sender, name, version))


def classify(message: Request | Notification, version: str) -> Method:
    """Return the row of what a client sent, having checked that the message has its shape.

    Raises `WireError`: the method is not in the table (404; in a legacy version 200, or 400 for a
    notification); it lacks
    an id or must not have one; `params`, the member it is about, or `arguments` has a wrong shape.
    """
    row = find(Party.CLIENT, message.method, version)
    id_ = message.id
    if row is None:
        raise WireError(Fault.UNKNOWN_METHOD, id=id_, status=_unknown_status(version, id_))
    if type(message) is Request:
        if row.kind is not Kind.REQUEST:
            raise WireError(Fault.TAKES_NO_ID, id=id_)
    elif row.kind is not Kind.NOTIFICATION:
        raise WireError(Fault.NEEDS_ID)
    if row.about is not None:
        _check_shape(row, row.about, message.params, id_)
    return row


def _unknown_status(version: str, id_: Id | None) -> int:
    if version in MODERN_VERSIONS:
        return 404
    # To a legacy client 404 means that its session is over, and no answer can go to a notification.
    return 400 if id_ is None else 200


def _check_shape(row: Method, about: str, params: Params | None, id_: Id | None) -> None:
    if params is None:
        raise WireError(Fault.BAD_PARAMS, id=id_)
    if type(params.get(about)) is not row.shape:
        raise WireError(Fault.BAD_SUBJECT, id=id_, detail=about)
    # Null is not "no arguments": peers differ on it, and so would policies.
    if "arguments" in params and type(params["arguments"]) is not dict:
        raise WireError(Fault.BAD_ARGUMENTS, id=id_)
