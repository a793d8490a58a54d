"""What of a client's message goes upstream: all but what the upstream may not know or ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.asking import Asking
from proxy.call import Call
from proxy.judgement import Judge
from proxy.question import SET_LOG_LEVEL
from proxy.telemetry.context import without_malformed
from proxy.wire.headers import CAPABILITIES_KEY, Judged
from proxy.wire.jsonrpc import Notification, Request
from proxy.wire.methods import Judgment

LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"

_WITH_TASKS: Final = "2025-11-25"


@dataclass(frozen=True, slots=True)
class Outbound:
    """Prepares messages that are allowed."""

    judge: Judge
    asking: Asking

    async def prepared(
        self, call: Call, judged: Judged, message: Request | Notification
    ) -> Request | Notification:
        """Return *message* as the upstream gets it, and note in *call* what it is not told of."""
        params = message.params
        if params is None:
            return message
        meta = params.get("_meta")
        if type(meta) is dict:
            params = params | {"_meta": await self._meta(call, judged, meta)}
        if message.method == "initialize":
            params = await self._without_withheld(call, params, "capabilities")
        elif "task" in params and not _takes_task(judged):
            # To whoever knows no tasks, a call is one that is answered at once.
            params = {name: value for name, value in params.items() if name != "task"}
        return message.with_params(params)

    async def _meta(self, call: Call, judged: Judged, meta: dict[str, Any]) -> dict[str, Any]:
        kept = without_malformed(meta)
        if not judged.is_modern:
            return kept
        if kept.get(CAPABILITIES_KEY):
            kept = await self._without_withheld(call, kept, CAPABILITIES_KEY)
        if LOG_LEVEL_KEY in kept:
            judgement = await self.judge.on_server(call, SET_LOG_LEVEL)
            if not judgement.allowed:
                del kept[LOG_LEVEL_KEY]
        return kept

    async def _without_withheld(
        self, call: Call, members: Mapping[str, Any], key: str
    ) -> dict[str, Any]:
        found = members.get(key)
        if type(found) is not dict:
            return dict(members)
        return {**members, key: await self.asking.kept(call, found)}


def _takes_task(judged: Judged) -> bool:
    is_call = judged.method is not None and judged.method.judgment is Judgment.CALL_TOOL
    return is_call and judged.version == _WITH_TASKS
