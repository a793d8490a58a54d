"""Keeping what upstreams offer: taken at the start, when it may have changed, and now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from proxy.standing import Standing
from proxy.upstream.offers import Offers, definition_hash
from proxy.upstream.server import Catalogue, Server
from proxy.wire.methods import VERSIONS
from proxy.wire.parameters import mirrored
from storage.definitions import Definition, DefinitionLedger, Kind, Seen, Trust
from storage.errors import DefinitionChangedError, DefinitionUnknownError, StateError

Take = Callable[[Server], Awaitable[Offers]]
"""Asks an upstream for all it offers.

Raises `UpstreamError`, `RefusedRequestError` or `OffersError`.
"""

FIRST_SECONDS: Final = 10.0
"""How long a call waits for the first catalogue of its server."""

MOST_INTERVALS: Final = 10
"""How many intervals a server that fails again and again is left alone."""

_SPREAD: Final = 0.2
_MOST_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told: of a catalogue and the seconds it took, and of one that could not be taken."""

    taken: Callable[[str, Offers, float], None]
    failed: Callable[[str, Exception], None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the catalogue of one server is taken; in seconds.

    From one beginning to the next are `rest` at least, whoever wants it sooner, and `interval` at
    most, though nobody wants it, unless that is 0. After failures it is twice `rest`, then twice
    that, up to `MOST_INTERVALS`. `chance` returns a number from 0 to 1.
    """

    rest: float
    interval: float
    chance: Callable[[], float]

    def pause(self, failures: int) -> float | None:
        """Return when to try unasked after so many *failures* in a row; None means never."""
        if not self.interval:
            return None
        pause = self.interval
        if failures:
            doubled = self.rest * 2 ** min(failures, _MOST_DOUBLINGS)
            pause = min(doubled, MOST_INTERVALS * self.interval)
        # Servers that began together must not be asked together for ever.
        return pause * (1 - _SPREAD * self.chance())


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A definition that somebody has read and means to approve."""

    server: str
    kind: Kind
    name: str
    hash: str


@dataclass(frozen=True, slots=True)
class Looked:
    """When a catalogue was last taken, by the clock, and why it was not since then."""

    taken: float | None = None
    failure: Exception | None = None


@dataclass(eq=False, slots=True)
class _Watch:
    """The watch over one server; `is_resting` while the catalogue was taken a moment ago."""

    is_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    is_resting: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Catalogues:
    """The catalogues of servers, in memory, in the ledger, and as facts.

    The *clock* tells seconds that only ever grow.
    """

    def __init__(
        self,
        standing: Standing,
        ledger: DefinitionLedger,
        take: Take,
        reports: Reports,
        clock: Callable[[], float],
        *,
        trust: Trust,
        pace: Pace,
    ) -> None:
        self._standing = standing
        self._ledger = ledger
        self._take = take
        self._reports = reports
        self._clock = clock
        self._trust = trust
        self._pace = pace
        self._servers: Mapping[str, Server] = {}
        self._definitions: dict[str, tuple[Definition, ...]] = {}
        self._hashes: dict[str, Mapping[str, str]] = {}
        self._watches: dict[str, _Watch] = {}
        self._looked: dict[str, Looked] = {}
        self._approvals: set[asyncio.Task[Definition]] = set()
        # Held from a change of the ledger until the facts have followed it: else of two changes
        # the later could be overtaken by what was known before it.
        self._changing = asyncio.Lock()

    @property
    def definitions(self) -> Mapping[str, tuple[Definition, ...]]:
        """What each server is known to offer, and what is gone, by the names of all servers."""
        return {name: self._definitions.get(name, ()) for name in self._servers}

    def offered(self, name: str) -> tuple[Definition, ...]:
        """Return what the server called *name* is known to offer, and what is gone."""
        return self._definitions.get(name, ())

    def looked(self, name: str) -> Looked:
        """Return what became of asking the server called *name* what it offers."""
        return self._looked.get(name, Looked())

    async def recall(self, servers: Mapping[str, Server]) -> None:
        """Know again what earlier runs knew, and forget servers that are no longer there.

        *servers* are those whose catalogues are kept from now on, whichever they are later.
        """
        self._servers = servers
        await self._standing.forget_others(servers)
        for server in servers.values():
            await self._recall(server)

    async def follow(self, server: Server) -> None:
        """Know what is known of a *server* that another process registered, and ask it soon.

        Raises `StateError`.
        """
        async with self._changing:
            await self._recall(server)
        self.refresh_soon(server)

    async def met(
        self, server: Server, offers: Offers, switch: Callable[[], None], *, approves: bool
    ) -> None:
        """Know what *server* was just seen to offer, and after that do *switch*.

        If it *approves*, whoever has it registered vouches for all of it, unless nothing is to be
        trusted. A failure is reported, not raised: the server is asked again soon.
        """
        trust: Trust = "all" if approves and self._trust != "none" else self._trust
        try:
            async with self._changing:
                try:
                    await self._take_in(server, offers, trust)
                finally:
                    switch()
        except StateError as error:
            self._failed(server, error)
        self.refresh_soon(server)

    async def drop(self, server: Server) -> None:
        """Forget *server*, which is none of the servers any more, and judge by none of it.

        Raises `StateError`; then facts of it may be left that speak of nothing.
        """
        # While this is held, nobody is between a change of the ledger and that of the facts.
        async with self._changing:
            watch = self._watches.pop(server.name, None)
            if watch is not None and watch.task is not None:
                watch.task.cancel()
            for known in (self._definitions, self._hashes, self._looked):
                known.pop(server.name, None)
            server.catalogue = Catalogue()
            self._standing.on_change()
            await self._standing.forget(server.name)

    async def catch_up(self) -> None:
        """Know what others have found or approved. Raises `StateError`."""
        async with self._changing:
            for server in self._servers.values():
                definitions = tuple(await self._ledger.offered(server.name))
                if definitions and definitions != self._definitions.get(server.name):
                    known = server.catalogue
                    await self._know(server, definitions, known.versions if known else VERSIONS)

    def refresh_soon(self, server: Server) -> None:
        """Take the catalogue anew: at once, or as soon as that was not done a moment ago.

        What is wanted while it is being taken is done once more, for it may have come too late to
        be seen. From the first time on the catalogue is also taken now and then. What goes wrong is
        reported, not raised.
        """
        if self._servers.get(server.name) is server:
            self._watch(server).is_wanted.set()

    def changed(self, server: Server) -> None:
        """Heed that *server* says itself that what it offers has changed."""
        self.refresh_soon(server)

    def recognised(self, server: Server, type_: str, item: Mapping[str, Any]) -> bool:
        """Tell whether *item*, which *server* lists, is known, and a tool in these very words.

        Of what is not, the catalogue is taken anew soon; documents are judged by their URI alone.
        """
        if type_ == "Document":
            return True
        name = item["name"]
        if type_ == "Tool":
            known = self._hashes.get(server.name, {}).get(name)
            is_known = known == definition_hash("tool", item)
        else:
            is_known = server.offers(type_, name)
        if not is_known:
            self.refresh_soon(server)
        return is_known

    async def known(self, server: Server) -> None:
        """Return at once where a catalogue is known; else wait for one, but not for long."""
        if server.catalogue is not None or self._servers.get(server.name) is not server:
            return
        self.refresh_soon(server)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._watch(server).is_resting.wait()

    async def approve(
        self, reviewed: Reviewed, record: Callable[[Definition], Awaitable[object]]
    ) -> Definition:
        """Return what is approved once it is judged by, which it is even if the caller leaves.

        First *record* is awaited with what was not approved until now; if it raises, nothing is.
        Raises `DefinitionUnknownError`, `DefinitionChangedError` if the server offers something
        else by now or nothing, and `StateError`.
        """
        approval = asyncio.get_running_loop().create_task(self._approved(reviewed, record))
        self._approvals.add(approval)
        approval.add_done_callback(self._approvals.discard)
        return await asyncio.shield(approval)

    async def close(self) -> None:
        """End what is under way; approvals are brought to their end."""
        tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._approvals, return_exceptions=True)

    def _watch(self, server: Server) -> _Watch:
        watch = self._watches.get(server.name)
        if watch is None:
            watch = self._watches[server.name] = _Watch()
            watch.task = asyncio.get_running_loop().create_task(self._keep(server, watch))
        return watch

    async def _keep(self, server: Server, watch: _Watch) -> None:
        """Take the catalogue now, and again whenever it is wanted or the time has come."""
        failures = 0
        while True:
            watch.is_wanted.clear()
            began = self._clock()
            failures = 0 if await self._refreshed(server) else failures + 1
            watch.is_resting.set()
            await asyncio.sleep(began + self._pace.rest - self._clock())
            watch.is_resting.clear()
            pause = self._pace.pause(failures)
            left = None if pause is None else max(0.0, began + pause - self._clock())
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await watch.is_wanted.wait()

    async def _refreshed(self, server: Server) -> bool:
        """Take the catalogue and tell whether that went well."""
        began, pool = self._clock(), server.pool
        try:
            offers = await self._take(server)
            async with self._changing:
                if server.pool is not pool:
                    return True  # it is elsewhere by now, and was seen there
                await self._take_in(server, offers, self._trust)
        except Exception as error:  # noqa: BLE001  a watch that ends is worse than any of them
            self._failed(server, error)
            return False
        self._reports.taken(server.name, offers, self._clock() - began)
        return True

    async def _take_in(self, server: Server, offers: Offers, trust: Trust) -> None:
        seen = [Seen(one.kind, one.name, one.hash, one.body) for one in offers.items]
        definitions = await self._ledger.take(server.name, seen, trust=trust)
        await self._know(server, definitions, offers.versions)
        self._looked[server.name] = Looked(self._clock())

    async def _recall(self, server: Server) -> None:
        definitions = await self._ledger.offered(server.name)
        if definitions:
            await self._know(server, definitions, VERSIONS)

    def _failed(self, server: Server, error: Exception) -> None:
        self._looked[server.name] = Looked(self.looked(server.name).taken, error)
        self._reports.failed(server.name, error)

    async def _approved(
        self, reviewed: Reviewed, record: Callable[[Definition], Awaitable[object]]
    ) -> Definition:
        async with self._changing:
            server, before = self._servers.get(reviewed.server), self._found(reviewed)
            if server is None or before is None:
                raise DefinitionUnknownError(f"{reviewed.server} {reviewed.kind} {reviewed.name}")
            if before.hash != reviewed.hash or before.state == "gone":
                raise DefinitionChangedError(f"{reviewed.server} {reviewed.kind} {reviewed.name}")
            if before.state == "approved":
                return before
            await record(before)
            approved = await self._ledger.approve(
                reviewed.server, reviewed.kind, reviewed.name, reviewed.hash
            )
            versions = VERSIONS if server.catalogue is None else server.catalogue.versions
            await self._know(server, await self._ledger.offered(server.name), versions)
            return approved

    def _found(self, reviewed: Reviewed) -> Definition | None:
        wanted = reviewed.kind, reviewed.name
        known = self._definitions.get(reviewed.server, ())
        return next((one for one in known if (one.kind, one.name) == wanted), None)

    async def _know(
        self, server: Server, definitions: Iterable[Definition], versions: tuple[str, ...]
    ) -> None:
        """Judge by *definitions*, and only then let their names be found."""
        definitions = tuple(definitions)
        await self._standing.offer(server.name, definitions)
        self._definitions[server.name] = definitions
        self._hashes[server.name] = {
            one.name: one.hash for one in definitions if one.kind == "tool" and one.state != "gone"
        }
        server.catalogue = replace(catalogue_of(definitions), versions=versions)
        # Whoever looked when the facts changed did not find the names yet.
        self._standing.on_change()


def catalogue_of(definitions: Iterable[Definition]) -> Catalogue:
    """Return what calls have to know of *definitions*; what is gone is not offered."""
    named: dict[str, dict[str, Definition]] = {}
    for one in definitions:
        if one.state != "gone":
            named.setdefault(one.kind, {})[one.name] = one
    tools = {
        name: mirrored(one.body.get("inputSchema")) for name, one in named.get("tool", {}).items()
    }
    return Catalogue(
        tools=MappingProxyType(tools),
        prompts=frozenset(named.get("prompt", ())),
        templates=frozenset(named.get("template", ())),
        resources=frozenset(named.get("resource", ())),
    )
