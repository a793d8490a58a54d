"""What each open stream's client can see, so that it is told when that changes.

A client keeps the lists it was given. When a grant, the policy or a catalogue changes what it would
be given now, it is told that the list changed, as if its upstream had said so; and the streams of
whoever may no longer connect at all are ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from policies.model import Entity
from policies.pdp import DecisionPoint, UndecidedError
from proxy.call import Call
from proxy.judgement import Judge
from proxy.listening import CHANGES
from proxy.upstream.server import Server
from proxy.visibility import visible
from proxy.way import Way
from proxy.wire import sse
from proxy.wire.jsonrpc import Notification

_TOOLS, _PROMPTS, _RESOURCES = CHANGES.values()

View = dict[str, frozenset[Entity]]
"""What can be seen, by the notification that tells of its change."""


@dataclass(slots=True)
class Views:
    """Watches streams. *renewed* returns a call on the grounds of this moment."""

    point: DecisionPoint
    judge: Judge
    renewed: Callable[[Call], Call]
    _watched: dict[int, tuple[Way, View]] = field(default_factory=dict)
    _is_due: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self) -> None:
        """Look again at every stream soon: what calls are judged on is another by now."""
        self._is_due.set()

    def watch(self, way: Way) -> None:
        """Tell the client of *way* from now on of lists that are not what they are now."""
        self._watched[id(way)] = (way, {})
        self.changed()

    def forget(self, way: Way) -> None:
        self._watched.pop(id(way), None)

    async def follow(self) -> None:
        """Look whenever something changed, until cancelled."""
        while True:
            await self._is_due.wait()
            self._is_due.clear()
            for key in tuple(self._watched):
                if key in self._watched:
                    await self._look(key)
                # Thousands of streams are looked at between calls, not instead of them.
                await asyncio.sleep(0)

    async def _look(self, key: int) -> None:
        way, before = self._watched[key]
        call = self.renewed(way.call)
        connect = await self.judge.connect(call)
        if not connect.decision.allowed:
            way.outlet.end()
            return
        try:
            now = await self._view(call)
        except UndecidedError:
            return
        if key not in self._watched:
            return
        self._watched[key] = (way, now)
        for method in now:
            if before and now[method] != before.get(method) and _hears(way, method):
                way.outlet.tell(_told(way, method))

    async def _view(self, call: Call) -> View:
        server = call.server
        if server is None or server.catalogue is None:
            return {}
        return {
            method: frozenset(await visible(self.point, call, type_, offered))
            for method, type_, offered in _offers(server)
        }


def _offers(server: Server) -> list[tuple[str, str, list[Entity]]]:
    known = server.catalogue
    if known is None:
        return []
    return [
        (_TOOLS, "Tool", [Entity("Tool", f"{server.name}__{one}") for one in known.tools]),
        (_PROMPTS, "Prompt", [Entity("Prompt", f"{server.name}__{one}") for one in known.prompts]),
        (
            _RESOURCES,
            "Document",
            [Entity("Document", f"{server.name}|{one}") for one in known.resources],
        ),
    ]


def _hears(way: Way, method: str) -> bool:
    if not way.judged.is_modern:
        return True
    asked = way.asked
    return asked is not None and asked.listening is not None and method in asked.listening.changes


def _told(way: Way, method: str) -> bytes:
    message = Notification(method)
    asked = way.asked
    if asked is not None and asked.listening is not None:
        message = asked.listening.marked(message)
    return sse.emit(message.encode())
