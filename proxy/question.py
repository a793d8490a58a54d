"""From a message to what the policy is asked about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.model import Entity, Fact
from proxy.wire import names, uris
from proxy.wire.jsonrpc import Message
from proxy.wire.methods import Judgment, Method
from proxy.wire.names import UnnameableError
from proxy.wire.refusals import Fault, WireError

CONNECT: Final = "connect"
SET_LOG_LEVEL: Final = "set_log_level"

# The action that makes an item useful to a caller: what may be done with it, if it may be seen.
USES: Final = {"Tool": "call", "Prompt": "get", "Document": "read"}

KINDS: Final = {"Tool": "tool", "Prompt": "prompt", "Document": "resource"}

SUBSCRIBE: Final = "subscribe"

# What an upstream may ask of a client, and what its clients answer or tell about that.
ASKS: Final = {
    Judgment.SAMPLE: "sample",
    Judgment.ELICIT: "elicit",
    Judgment.LIST_ROOTS: "list_roots",
}

# What a client does in a task of its own is one of these.
TASKS_OF_CLIENTS: Final = ("sample", "elicit")

# These are about the server as a whole.
_ON_SERVER: Final = {
    Judgment.NONE: CONNECT,
    Judgment.CONNECT: CONNECT,
    Judgment.FILTER_LIST: CONNECT,
    Judgment.IN_FLIGHT: CONNECT,
    Judgment.LISTEN: CONNECT,
    Judgment.TASK_LIST: CONNECT,
    Judgment.LOG_LEVEL: SET_LOG_LEVEL,
    Judgment.OWN_TASK: "sample",
    **ASKS,
}

_NO_ARGUMENTS: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Question:
    """What a message asks to do, and with what.

    `subject` is the name or URI as the client wrote it, empty where the server itself is meant.
    `nameable` is false for what no policy can speak of: it is unknown to everybody. `facts` are
    what held of the arguments of an earlier call that this one goes on with.
    """

    action: str
    resource: Entity
    subject: str = ""
    arguments: Mapping[str, Any] | None = None
    nameable: bool = True
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """The call that began a task: its tool, and the facts of its arguments that rules asked for."""

    tool: str
    facts: tuple[Fact, ...] = ()


def question_of(
    row: Method,
    message: Message,
    server: str,
    verbatim: frozenset[str] = frozenset(),
    origin: Origin | None = None,
) -> Question:
    """Return the question that *message*, of the kind *row*, puts.

    *verbatim* are irregular names that the operator accepts; *origin* is that of the task that the
    message is about. Raises `WireError` for a method that nothing here can judge, as for one that
    does not exist.
    """
    params = getattr(message, "params", None) or {}
    action = _ON_SERVER.get(row.judgment)
    if action is not None:
        return Question(action, Entity("Server", server))
    match row.judgment:
        case Judgment.CALL_TOOL:
            return _item("Tool", "call", server, params["name"], params, verbatim)
        case Judgment.GET_PROMPT:
            return _item("Prompt", "get", server, params["name"], params, verbatim)
        case Judgment.READ_DOCUMENT:
            return document_question("read", server, params["uri"])
        case Judgment.SUBSCRIBE:
            return document_question(SUBSCRIBE, server, params["uri"])
        case Judgment.TASK if origin is not None:
            return going_on(server, origin, verbatim)
        case Judgment.COMPLETE:
            return _completed(message, server, params["ref"], verbatim)
    raise WireError(Fault.UNKNOWN_METHOD, id=message.id)


def rights_to_ask(judgment: Judgment) -> tuple[str, ...]:
    """Return the actions of which an upstream needs one, to ask a client what is judged so."""
    return (ASKS[judgment],) if judgment in ASKS else TASKS_OF_CLIENTS


def document_id(server: str, uri: str) -> Entity:
    """Return the document *uri* of *server*. Raises `UnnameableError`."""
    return uris.document(server, uri)


def template_id(server: str, template: str) -> Entity:
    """Return the resource that stands for a URI template. Raises `UnnameableError`."""
    return names.identified("Document", f"{server}|{template}")


def _item(
    type_: str,
    action: str,
    server: str,
    name: str,
    params: Mapping[str, Any],
    verbatim: frozenset[str],
) -> Question:
    make = names.tool if type_ == "Tool" else names.prompt
    arguments = params.get("arguments", _NO_ARGUMENTS)
    try:
        resource = make(server, name, verbatim=verbatim)
    except UnnameableError:
        return _unnameable(type_, action, server, name)
    return Question(action, resource, name, arguments)


def document_question(action: str, server: str, uri: str) -> Question:
    """Return the question whether *action* may be done on the document *uri* of *server*."""
    try:
        return Question(action, uris.document(server, uri), uri)
    except UnnameableError:
        return _unnameable("Document", action, server, uri)


def going_on(server: str, origin: Origin, verbatim: frozenset[str] = frozenset()) -> Question:
    """Return the question whether the call that began a task would be allowed now."""
    question = _item("Tool", "call", server, origin.tool, _NO_ARGUMENTS, verbatim)
    return replace(question, arguments=None, facts=origin.facts)


def _completed(
    message: Message, server: str, ref: Mapping[str, Any], verbatim: frozenset[str]
) -> Question:
    match ref:
        case {"type": "ref/prompt", "name": str(name)}:
            return _item("Prompt", "complete", server, name, _NO_ARGUMENTS, verbatim)
        case {"type": "ref/resource", "uri": str(uri)}:
            try:
                return Question("complete", template_id(server, uri), uri)
            except UnnameableError:
                return _unnameable("Document", "complete", server, uri)
    raise WireError(Fault.BAD_SUBJECT, id=message.id, detail="ref")


def _unnameable(type_: str, action: str, server: str, name: str) -> Question:
    # The record shows what was asked for, cut and escaped: no policy ever sees this id.
    return Question(action, Entity(type_, f"{server} {ascii(name)[:200]}"), name, nameable=False)
