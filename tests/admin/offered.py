"""Catalogues of servers that offer what a test puts on their desk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from proxy.catalogues import Catalogues, Pace, Reports
from proxy.standing import Standing
from proxy.upstream.addresses import upstream
from proxy.upstream.http import Pool
from proxy.upstream.offers import Offer, OfferKind, Offers, definition_hash
from proxy.upstream.server import Server
from proxy.wire.methods import VERSIONS
from storage.definitions import Definition, DefinitionLedger, Trust
from tests.listener.served import eventually

SOON = Pace(rest=0.01, interval=0, chance=lambda: 0)
"""As often as it is wanted."""


def _servers() -> Mapping[str, Server]:
    return {
        name: Server(name, Pool(upstream("http://127.0.0.1:1/mcp", loopback=True)), ())
        for name in ("github", "pay")
    }


def tool(name: str, description: str = "A tool.", **more: Any) -> Offer:  # noqa: ANN401  any member
    body = {"name": name, "description": description, "inputSchema": {"type": "object"}, **more}
    return offer("tool", name, body)


def offer(kind: OfferKind, name: str, body: Mapping[str, Any]) -> Offer:
    return Offer(kind, name, definition_hash(kind, body), body)


@dataclass
class Desk:
    """What each server offers just now, and what became of looking at it.

    `before` is awaited before each answer; what it raises is the answer.
    """

    servers: Mapping[str, Server] = field(default_factory=_servers)
    offers: dict[str, tuple[Offer, ...]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)
    before: Callable[[Server], Any] | None = None

    async def take(self, server: Server) -> Offers:
        self.begun.append(server.name)
        offered = self.offers.get(server.name, ())
        if self.before is not None:
            await self.before(server)
        return Offers(VERSIONS, MappingProxyType({}), offered, ())

    def close(self) -> None:
        for server in self.servers.values():
            server.pool.close()


def catalogues_of(
    standing: Standing,
    ledger: DefinitionLedger,
    desk: Desk,
    *,
    pace: Pace = SOON,
    trust: Trust = "first",
) -> Catalogues:
    reports = Reports(
        lambda server, _offers, _seconds: desk.taken.append(server),
        lambda _server, error: desk.failed.append(error),
    )
    return Catalogues(standing, ledger, desk.take, reports, time.monotonic, trust=trust, pace=pace)


async def offering(catalogues: Catalogues, desk: Desk, server: str, *offers: Offer) -> None:
    """Let *server* offer *offers*, and return when that is known."""
    desk.offers[server] = offers
    wanted = {(one.kind, one.name, one.hash) for one in offers}
    catalogues.refresh_soon(desk.servers[server])
    await eventually(lambda: _known(catalogues.definitions[server]) == wanted)


def _known(definitions: tuple[Definition, ...]) -> set[tuple[str, str, str]]:
    return {(one.kind, one.name, one.hash) for one in definitions if one.state != "gone"}
