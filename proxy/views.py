"""What each open stream's client can see, so that it is told when that changes.

A client keeps the lists it was given. When a grant, the policy or a catalogue changes what it would
be given now, it is told that the list changed, as if its upstream had said so; and the streams of
whoever may no longer connect at all are ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from policies.enforcement import observed
from policies.model import Entity
from policies.pdp import UndecidedError
from policies.polar.tables import EMPTY
from policies.polar.values import key_of
from proxy.call import Call
from proxy.judgement import Judge
from proxy.listening import CHANGES
from proxy.templates import possible_facts
from proxy.upstream.server import Catalogue
from proxy.way import Way
from proxy.wire import sse
from proxy.wire.jsonrpc import Notification

_TOOLS, _PROMPTS, _RESOURCES = CHANGES.values()

_LEASE: Final = key_of("lease", 4)
_QUARTER: Final = 900
"""Rules may ask for the hour, and in some time zone or other one begins with each quarter."""

View = dict[str, frozenset[Entity]]
"""What can be seen, by the notification that tells of its change."""


@dataclass(slots=True)
class Views:
    """Watches streams. *renewed* returns a call on the grounds of this moment."""

    judge: Judge
    renewed: Callable[[Call], Call]
    _watched: dict[int, tuple[Way, View | None]] = field(default_factory=dict)
    _due: dict[int, None] = field(default_factory=dict)
    _is_due: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self) -> None:
        """Look again at every stream soon: what calls are judged on is another by now."""
        self._look_soon(self._watched)

    def watch(self, way: Way) -> None:
        """Tell the client of *way* of lists that are not what they were when it called."""
        self._watched[id(way)] = (way, None)
        self._look_soon([id(way)])

    def forget(self, way: Way) -> None:
        self._watched.pop(id(way), None)

    async def follow(self) -> None:
        """Look whenever something changed, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._time_left()):
                    await self._is_due.wait()
            except TimeoutError:
                self.changed()
            self._is_due.clear()
            while self._due:
                key = next(iter(self._due))
                del self._due[key]
                await self._look(key)
                # Thousands of streams are looked at between calls, not instead of them.
                await asyncio.sleep(0)

    def _time_left(self) -> float | None:
        """Return the seconds until time alone may change what is seen; None if nobody looks."""
        for way, _ in self._watched.values():
            call = self.renewed(way.call)
            leases = call.grounds.facts.get(_LEASE, EMPTY).rows
            ends = [row[3] for row in leases if type(row[3]) is int and row[3] > call.now]
            ends += filter(None, observed(call.grounds.facts, call.now).values())
            return min([*ends, call.now - call.now % _QUARTER + _QUARTER]) - call.now
        return None

    def _look_soon(self, keys: Iterable[int]) -> None:
        self._due |= dict.fromkeys(keys)
        self._is_due.set()

    async def _look(self, key: int) -> None:
        if key not in self._watched:
            return
        way, before = self._watched[key]
        call = self.renewed(way.call)
        connect = await self.judge.connect(call)
        if not connect.allowed:
            way.outlet.end()
            return
        try:
            now = await self._view(call)
            if before is None:
                # What changed since the client called, it was not told of either.
                before = now if call is way.call else await self._view(way.call)
        except UndecidedError:
            return
        if key not in self._watched:
            return
        self._watched[key] = (way, now)
        for method in now:
            if now[method] != before.get(method, frozenset()) and _hears(way, method):
                way.outlet.tell(_told(way, method))

    async def _view(self, call: Call) -> View:
        server = call.server
        known = None if server is None else server.catalogue
        if server is None or known is None:
            return {}
        view = {
            method: frozenset(await self.judge.shown(call, type_, offered))
            for method, type_, offered in _offers(server.name, known)
        }
        texts = {Entity("Document", f"{server.name}|{one}"): one for one in known.templates}
        facts = [fact for one, text in texts.items() for fact in possible_facts(call, one, text)]
        # There is no word for templates alone.
        view[_RESOURCES] |= await self.judge.shown(call, "Document", list(texts), facts)
        return view


def _offers(server: str, known: Catalogue) -> list[tuple[str, str, list[Entity]]]:
    return [
        (_TOOLS, "Tool", [Entity("Tool", f"{server}__{one}") for one in known.tools]),
        (_PROMPTS, "Prompt", [Entity("Prompt", f"{server}__{one}") for one in known.prompts]),
        (
            _RESOURCES,
            "Document",
            [Entity("Document", f"{server}|{one}") for one in known.resources],
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
