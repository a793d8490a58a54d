"""Keeping what upstreams offer: taken at the start, and again when a name is asked for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from proxy.standing import Standing
from proxy.upstream.conversation import RefusedRequestError
from proxy.upstream.failures import UpstreamError
from proxy.upstream.offers import Offers, OffersError, definition_hash
from proxy.upstream.server import Catalogue, Server
from proxy.wire.methods import VERSIONS
from proxy.wire.parameters import mirrored
from storage.definitions import Definition, DefinitionLedger, Seen, Trust
from storage.errors import StateError

Take = Callable[[Server], Awaitable[Offers]]
"""Asks an upstream for all it offers.

Raises `UpstreamError`, `RefusedRequestError` or `OffersError`.
"""

FIRST_SECONDS: Final = 10.0
"""How long a call waits for the first catalogue of its server."""


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told: of a catalogue and the seconds it took, and of one that could not be taken."""

    taken: Callable[[str, Offers, float], None]
    failed: Callable[[str, Exception], None]


class Catalogues:
    """The catalogues of *servers*, in memory, in the ledger, and as facts.

    *refresh_seconds* lie between two refreshes that unknown names cause, by the *clock*.
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
        refresh_seconds: float,
    ) -> None:
        self._standing = standing
        self._ledger = ledger
        self._take = take
        self._reports = reports
        self._clock = clock
        self._trust = trust
        self._refresh_seconds = refresh_seconds
        self._hashes: dict[str, Mapping[str, str]] = {}
        self._due: dict[str, float] = {}
        self._taking: dict[str, asyncio.Task[None]] = {}

    async def recall(self, servers: Mapping[str, Server]) -> None:
        """Know again what earlier runs knew, and forget servers that are no longer there."""
        await self._standing.forget_others(servers)
        for server in servers.values():
            definitions = await self._ledger.offered(server.name)
            if definitions:
                await self._know(server, definitions, VERSIONS)

    def refresh_soon(self, server: Server) -> None:
        """Begin to take the catalogue anew, unless that was done a moment ago.

        What goes wrong is reported, not raised.
        """
        if self._clock() >= self._due.get(server.name, 0.0):
            self._begin(server)

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
        if server.catalogue is not None:
            return
        self.refresh_soon(server)
        task = self._taking.get(server.name)
        if task is not None:
            await asyncio.wait([task], timeout=FIRST_SECONDS)

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._taking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, server: Server) -> asyncio.Task[None]:
        task = self._taking.get(server.name)
        if task is None:
            self._due[server.name] = self._clock() + self._refresh_seconds
            task = asyncio.get_running_loop().create_task(self._refreshed(server))
            self._taking[server.name] = task
            task.add_done_callback(lambda _: self._taking.pop(server.name, None))
        return task

    async def _refreshed(self, server: Server) -> None:
        began = self._clock()
        try:
            offers = await self._take(server)
            seen = [Seen(one.kind, one.name, one.hash, one.body) for one in offers.items]
            definitions = await self._ledger.take(server.name, seen, trust=self._trust)
            await self._know(server, definitions, offers.versions)
        except (UpstreamError, RefusedRequestError, OffersError, StateError) as error:
            self._reports.failed(server.name, error)
            return
        self._reports.taken(server.name, offers, self._clock() - began)

    async def _know(
        self, server: Server, definitions: Iterable[Definition], versions: tuple[str, ...]
    ) -> None:
        """Judge by *definitions*, and only then let their names be found."""
        definitions = tuple(definitions)
        await self._standing.offer(server.name, definitions)
        self._hashes[server.name] = {
            one.name: one.hash for one in definitions if one.kind == "tool" and one.state != "gone"
        }
        server.catalogue = replace(catalogue_of(definitions), versions=versions)


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
    )
