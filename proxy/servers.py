"""The servers that calls may go to just now, and what may be told of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from proxy.upstream.http import Pool
from proxy.upstream.server import Server
from proxy.upstream.terms import Profile

Source = Literal["settings", "registered"]
Credential = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What may be told of a server. `problem` is why calls cannot go to it, a sentence."""

    profile: Profile
    source: Source
    registered_at: float | None = None
    registered_by: str | None = None
    problem: str | None = None


class Servers(Mapping[str, Server]):
    """The servers, by name. Belongs to one event loop.

    Whoever holds a server may go on with what he began: connections that are not used for new calls
    any more are hung up *grace* seconds later, which is time for the calls under way.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._servers: dict[str, Server] = {}
        self._entries: dict[str, Entry] = {}
        self._retired: dict[Pool, asyncio.TimerHandle] = {}

    def __getitem__(self, name: str) -> Server:
        return self._servers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What may be told of each server, and of those to which calls cannot go."""
        return MappingProxyType(self._entries)

    def add(self, server: Server, entry: Entry) -> None:
        """Let calls go to *server*."""
        self._servers[server.name], self._entries[server.name] = server, entry

    def move(self, name: str, pool: Pool, credential: Credential, entry: Entry) -> None:
        """Let calls to the server *name* go by *pool* from now on."""
        self._retire(self._servers[name].move(pool, credential))
        self._entries[name] = entry

    def describe(self, name: str, entry: Entry) -> None:
        """Tell *entry* of the server *name*, whether or not calls can go to it."""
        self._entries[name] = entry

    def drop(self, name: str) -> Server | None:
        """Let no more calls go to the server *name*, and return it if any could."""
        self._entries.pop(name, None)
        server = self._servers.pop(name, None)
        if server is not None:
            self._retire(server.pool)
        return server

    def close(self) -> None:
        """Hang up every connection."""
        for timer in self._retired.values():
            timer.cancel()
        for pool in (*self._retired, *(server.pool for server in self._servers.values())):
            pool.close()
        self._retired.clear()

    def _retire(self, pool: Pool) -> None:
        loop = asyncio.get_running_loop()
        self._retired[pool] = loop.call_later(self._grace, self._hang_up, pool)

    def _hang_up(self, pool: Pool) -> None:
        del self._retired[pool]
        pool.close()
