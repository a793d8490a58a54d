"""What an upstream may ask of a client: work of its model, answers of its user, its directories.

The first means is that the upstream is not told of a capability that it may not use. Whatever it
asks all the same is judged when it asks, recorded, and passed on only if it is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from policies.model import Reason, Verdict
from policies.pdp import UndecidedError
from proxy.call import Call
from proxy.judgement import Judge
from proxy.opening import RELATED_TASK
from proxy.question import ASKS, rights_to_ask
from proxy.recording import Recording, denial
from proxy.wire.jsonrpc import Request
from proxy.wire.methods import INPUT_REQUESTS, Method

_ACTIONS: Final = {"sampling": "sample", "elicitation": "elicit", "roots": "list_roots"}
_CAPABILITIES: Final = {action: name for name, action in _ACTIONS.items()}

# A task that a client runs comes from one of these, named by their method's first part.
_TASK_REQUESTS: Final = {"sampling": "sample", "elicitation": "elicit"}


class InputRefusedError(Exception):
    """An upstream asks for something that it may not ask of this client.

    `reason` is that of the decision, which the record has under `decision_id`.
    """

    def __init__(self, reason: str, decision_id: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.decision_id = decision_id


@dataclass(frozen=True, slots=True)
class Asking:
    """Judges what upstreams ask of clients, and records it."""

    judge: Judge
    recording: Recording

    async def kept(self, call: Call, capabilities: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an upstream is told of a client's *capabilities*, and note what it is not."""
        refused = {
            name
            for name, action in _ACTIONS.items()
            if name in capabilities and not await self._may(call, action)
        }
        kept = {name: value for name, value in capabilities.items() if name not in refused}
        if "tasks" in kept:
            tasks = await self._tasks(call, kept.pop("tasks"))
            if tasks is None:
                refused.add("tasks")
            else:
                kept["tasks"] = tasks
        call.withheld = tuple(sorted(refused))
        return kept

    async def allows(self, call: Call, row: Method, request: Request) -> str | None:
        """Return the id of the record that allows *request* of an upstream; None if nothing does.

        Raises `UnrecordedError`.
        """
        if not is_proper(request.method, request.params or {}):
            await self.recording.decided(call, denial(call, Reason.MALFORMED), request.method)
            return None
        judgement = await self.judge.on_server(call, *rights_to_ask(row.judgment))
        decision_id = await self.recording.decided(call, judgement, request.method)
        return decision_id if judgement.allowed else None

    async def allows_input(
        self, call: Call, requests: Mapping[str, Any], declared: Mapping[str, Any]
    ) -> list[str]:
        """Return the records that allow all *requests* for input.

        *declared* are the capabilities of the client: nobody is asked for what he cannot do. Raises
        `InputRefusedError` for the first that is not allowed, `UndecidedError` for the first that
        could not be judged, and `UnrecordedError`.
        """
        allowed = []
        for request in requests.values():
            method = request["method"]
            action = ASKS[INPUT_REQUESTS[method]]
            judgement = await self.judge.on_server(call, action)
            is_wanted = _CAPABILITIES[action] in declared
            if not is_wanted or not is_proper(method, request.get("params") or {}):
                judgement = denial(call, Reason.MALFORMED)
            decision_id = await self.recording.decided(call, judgement, method)
            if judgement.decision.verdict is Verdict.UNDECIDED:
                raise UndecidedError(method)
            if not judgement.allowed:
                raise InputRefusedError(judgement.decision.reason.value, decision_id)
            allowed.append(decision_id)
        return allowed

    async def _may(self, call: Call, action: str) -> bool:
        return (await self.judge.on_server(call, action)).allowed

    async def _tasks(self, call: Call, tasks: Any) -> dict[str, Any] | None:  # noqa: ANN401  JSON
        """Return what may be told of the tasks that a client runs; None if that is nothing."""
        requests = tasks.get("requests") if type(tasks) is dict else None
        if type(requests) is not dict:
            return None
        kept = {
            name: value
            for name, value in requests.items()
            if name in _TASK_REQUESTS and await self._may(call, _TASK_REQUESTS[name])
        }
        return {**tasks, "requests": kept} if kept else None


def is_proper(method: str, params: Mapping[str, Any]) -> bool:
    """Tell whether what an upstream asks is something that a client should be shown at all.

    Other servers' context is not this one's to have, and a page to visit is of the web, encrypted.
    """
    if method == "sampling/createMessage":
        return bool(params.get("includeContext", "none") == "none")
    if method == "elicitation/create" and params.get("mode", "form") != "form":
        return params["mode"] == "url" and _is_web_page(params.get("url"))
    return True


def _is_web_page(url: object) -> bool:
    if type(url) is not str or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc


def unrelated(params: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return *params* of an upstream's message without the task that it says it relates to."""
    meta = (params or {}).get("_meta")
    if params is None or type(meta) is not dict or RELATED_TASK not in meta:
        return params
    kept = {name: value for name, value in meta.items() if name != RELATED_TASK}
    return {**params, "_meta": kept}
