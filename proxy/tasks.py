"""Tasks that upstreams run for clients: whose each one is, and what its id is to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from proxy.call import Call
from proxy.identity.handles import Handles, Kind, UnknownHandleError
from proxy.opening import RELATED_TASK, origin_content, origin_of
from proxy.question import Origin
from proxy.wire.headers import MAX_HEADER
from storage.errors import StateError
from storage.tasks import OwnedTask, TaskLedger

LONGEST_ID: Final = 1024
"""Characters of an upstream's id of a task."""

KEPT_SECONDS: Final = 86_400
"""How long a task is known to be somebody's, if its upstream does not say how long it lasts."""

_LONGEST_KEPT: Final = 30 * 86_400
_MILLISECONDS: Final = 1000


class ForeignTaskError(Exception):
    """A task of which an upstream says that it is new, and which is somebody else's."""


class OwnTask(NamedTuple):
    """A task of the caller's: the handle that it knows, and the call that began it."""

    handle: str
    origin: Origin


class Tasks:
    """Gives clients handles of their tasks.

    A handle carries all that is needed to use it. What the ledger keeps is for the upstream's own
    ids, in lists and in news. *clock* tells the seconds since the epoch.
    """

    def __init__(self, handles: Handles, ledger: TaskLedger, clock: Callable[[], float]) -> None:
        self._handles = handles
        self._ledger = ledger
        self._clock = clock

    async def began(
        self,
        call: Call,
        task: Mapping[str, Any],
        tool: str,
        origin: Origin | None,
        *,
        is_listed: bool,
    ) -> str:
        """Return the handle of *task*, which a call of *tool* began.

        Without an *origin* nothing is known of that call's arguments. A task that *is_listed* is
        kept in the ledger. Raises `ForeignTaskError`, `StateError`, and `ValueError` if it has no
        usable id.
        """
        task_id = task.get("taskId")
        if type(task_id) is not str or not 0 < len(task_id) <= LONGEST_ID:
            raise ValueError("a task has no usable id")
        handle = self._handle(call, task_id, origin_content(call, tool, origin))
        if len(handle) > MAX_HEADER:
            # Then later questions about it are answered without what held of its arguments.
            handle = self._handle(call, task_id, origin_content(call, tool, None))
        if len(handle) > MAX_HEADER:
            raise ValueError("the id of a task fits into no header")
        if is_listed:
            until = self._clock() + _seconds(task)
            # What held of arguments is written down for nobody else to read.
            owned = OwnedTask(call.server_name, task_id, call.holder.name, handle, until)
            if not await self._ledger.own(owned):
                raise ForeignTaskError(task_id)
        return handle

    async def owned(self, call: Call, task_ids: Sequence[str]) -> Mapping[str, OwnTask]:
        """Return those of *task_ids* that are the caller's. Raises `StateError`."""
        usable = [one for one in task_ids if 0 < len(one) <= LONGEST_ID]
        found = await self._ledger.owned(call.server_name, call.holder.name, usable)
        opened = {task_id: self.opened(call, handle) for task_id, handle in found.items()}
        return {task_id: own for task_id, own in opened.items() if own is not None}

    def opened(self, call: Call, handle: str) -> OwnTask | None:
        """Return the task of *handle*; None if it is none of the caller's, or cannot be judged."""
        try:
            _, content = self._handles.open(Kind.TASK, call.holder, handle)
        except UnknownHandleError:
            return None
        origin = origin_of(call, content)
        return None if origin is None else OwnTask(handle, origin)

    async def related(self, call: Call, meta: Any) -> Any:  # noqa: ANN401  JSON
        """Return *meta* of an upstream's message with the handle of the task that it relates to.

        What relates to a task that is none of the caller's relates to nothing.
        """
        if type(meta) is not dict or RELATED_TASK not in meta:
            return meta
        kept = {name: value for name, value in meta.items() if name != RELATED_TASK}
        match meta[RELATED_TASK]:
            case {"taskId": str(task_id)}:
                try:
                    own = (await self.owned(call, [task_id])).get(task_id)
                except StateError:
                    return kept
                return kept if own is None else kept | {RELATED_TASK: {"taskId": own.handle}}
        return kept

    def _handle(self, call: Call, task_id: str, content: list[Any]) -> str:
        return self._handles.seal(Kind.TASK, call.holder, [task_id, content])


def _seconds(task: Mapping[str, Any]) -> float:
    lasts = task.get("ttl", task.get("ttlMs"))
    if type(lasts) is not int or lasts < 0:
        return KEPT_SECONDS
    return min(lasts / _MILLISECONDS, _LONGEST_KEPT)
