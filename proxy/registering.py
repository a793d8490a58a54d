"""Servers that come and go while the gateway runs: proven, recorded, stored, and then served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from proxy.catalogues import Catalogues
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError
from proxy.servers import Credential, Entry, Servers
from proxy.upstream.addresses import AddressError, Upstream
from proxy.upstream.http import Pool
from proxy.upstream.offers import Offers
from proxy.upstream.server import Server
from proxy.upstream.terms import Profile, Terms, opened, profile_of, sealed, settings_of
from storage.errors import StateError
from storage.registrations import (
    Registration,
    RegistrationChangedError,
    RegistrationKnownError,
    RegistrationLedger,
    secret_name,
)

REGISTERED: Final = "server.registered"
UPDATED: Final = "server.updated"
DEREGISTERED: Final = "server.deregistered"
UNCHANGED: Final = "server.unchanged"
"""What records call these changes; the last, that one recorded before was not made after all."""

Prove = Callable[[Pool, Credential, str], Awaitable[Offers]]
"""Asks an upstream by a pool, with a credential, for what it offers under a name.

Raises `UpstreamError`, `RefusedRequestError` or `OffersError`.
"""

Record = Callable[[str, object, object], Awaitable[None]]
"""Returns once the record says what is about to change: its name, before, after.

Raises `UnrecordedError`.
"""

_T = TypeVar("_T")


class ServerKnownError(Exception):
    """The name is that of a registered server."""


class ServerConfiguredError(Exception):
    """The name is that of a server of the settings, which alone can change it."""


class ServerUnknownError(Exception):
    """No server is registered under the name."""


class ServerChangedError(Exception):
    """Somebody else changed the server meanwhile."""


class SecretsLostError(Exception):
    """What is secret of the server cannot be opened any more, so nothing of it can stay."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Who changes something, by the name that is stored, and how that is recorded."""

    author: str
    record: Record


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told: of registered servers that cannot be served, and that the settings overrule."""

    unserved: Callable[[str, Exception], None]
    overruled: Callable[[str], None]


class _Proven(NamedTuple):
    """Terms that hold: by `pool` the upstream answered with `offers`."""

    terms: Terms
    pool: Pool
    offers: Offers


@dataclass(slots=True)
class Registry:
    """Changes which servers there are. What is stored is served, even if whoever asked leaves."""

    servers: Servers
    catalogues: Catalogues
    ledger: RegistrationLedger
    master: MasterKey
    pool_of: Callable[[Upstream], Pool]
    prove: Prove
    reports: Reports
    _known: dict[str, Registration] = field(default_factory=dict)
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _work: set[asyncio.Task[Any]] = field(default_factory=set)

    async def recall(self) -> None:
        """Serve what earlier runs, or other processes, have registered. Raises `StateError`."""
        for one in await self.ledger.all():
            self._open(one)

    async def catch_up(self) -> None:
        """Serve what others have registered or changed, and nothing that they have ended.

        Raises `StateError`.
        """
        await self._to_the_end(self._catch_up())

    async def register(self, name: str, terms: Terms, changes: Changes, *, force: bool) -> None:
        """Serve a new server, or with *force* another one in the place of a registered one.

        Raises `ServerKnownError`, `ServerConfiguredError`, `AddressError`, what `prove` raises,
        `UnrecordedError` and `StateError`; then all is as it was.
        """
        self._check_free(name, await self.ledger.find(name), force=force)
        proven = await self._proven(name, terms)
        await self._to_the_end(self._registered(name, proven, changes, force=force))

    async def update(
        self, name: str, amended: Callable[[Registration], Terms], changes: Changes
    ) -> None:
        """Serve the server *name* on the terms that *amended* makes of how it is registered.

        Raises `ServerUnknownError`, `ServerChangedError`, what *amended* raises, and what
        `register` does.
        """
        before = await self._found(name)
        proven = await self._proven(name, amended(before))
        await self._to_the_end(self._updated(before, proven, changes))

    async def deregister(self, name: str, changes: Changes) -> None:
        """Serve the server *name* no longer, and forget what it offered.

        Raises `ServerUnknownError`, `ServerConfiguredError`, `UnrecordedError` and `StateError`.
        """
        await self._to_the_end(self._deregistered(name, changes))

    def terms_of(self, registration: Registration) -> Terms:
        """Return the terms of a registered server, secrets and all. Raises `SecretsLostError`."""
        profile, about = profile_of(registration.settings), secret_name(registration.name)
        try:
            return opened(profile, registration.sealed, self.master, about)
        except (MasterKeyError, DamagedError) as error:
            raise SecretsLostError(str(error)) from error

    async def close(self) -> None:
        """Let changes under way come to their ends."""
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _to_the_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do *work* alone, and whole even if whoever asked leaves."""
        task = asyncio.get_running_loop().create_task(self._in_turn(work))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    async def _in_turn(self, work: Coroutine[Any, Any, _T]) -> _T:
        async with self._changing:
            return await work

    def _check_free(self, name: str, known: Registration | None, *, force: bool) -> None:
        entry = self.servers.entries.get(name)
        if entry is not None and entry.source == "settings":
            raise ServerConfiguredError(name)
        if known is not None and not force:
            raise ServerKnownError(name)

    def _check_same(self, before: Registration, now: Registration | None) -> None:
        if now != before:
            raise ServerChangedError(before.name)

    async def _found(self, name: str) -> Registration:
        found = await self.ledger.find(name)
        self._check_free(name, found, force=True)
        if found is None:
            raise ServerUnknownError(name)
        return found

    async def _proven(self, name: str, terms: Terms) -> _Proven:
        pool = self.pool_of(terms.located())
        try:
            return _Proven(terms, pool, await self.prove(pool, terms.presented.lines, name))
        except BaseException:
            pool.close()
            raise

    async def _registered(
        self, name: str, proven: _Proven, changes: Changes, *, force: bool
    ) -> None:
        before = None
        try:
            before = await self.ledger.find(name)
            self._check_free(name, before, force=force)
            stored = await self._stored(REGISTERED, name, before, proven.terms, changes)
        except BaseException:
            proven.pool.close()
            raise
        await self._serve(stored, proven, approves=True)

    async def _updated(self, before: Registration, proven: _Proven, changes: Changes) -> None:
        try:
            self._check_same(before, await self.ledger.find(before.name))
            stored = await self._stored(UPDATED, before.name, before, proven.terms, changes)
        except BaseException:
            proven.pool.close()
            raise
        await self._serve(stored, proven, approves=False)

    async def _stored(
        self,
        what: str,
        name: str,
        before: Registration | None,
        terms: Terms,
        changes: Changes,
    ) -> Registration:
        """Record the change, and make it in the ledger."""
        secret = sealed(terms, self.master, secret_name(name))
        settings = settings_of(terms.profile)
        told = None if before is None else document_of(name, profile_of(before.settings))
        await changes.record(what, told, document_of(name, terms.profile))
        try:
            if before is None:
                return await self.ledger.add(name, settings, secret, changes.author)
            return await self.ledger.replace(before, settings, secret, changes.author)
        except (RegistrationKnownError, RegistrationChangedError) as error:
            # Another process was quicker.
            await changes.record(UNCHANGED, None, {"name": name})
            raise ServerChangedError(name) from error

    async def _serve(self, stored: Registration, proven: _Proven, *, approves: bool) -> None:
        name, entry = stored.name, _entry(stored)
        self._known[name] = stored
        pool, credential = proven.pool, proven.terms.presented.lines
        server = self.servers.get(name)

        def switch() -> None:
            if server is None:
                self.servers.add(fresh, entry)
            else:
                self.servers.move(name, pool, credential, entry)

        fresh = Server(name, pool, credential)
        await self.catalogues.met(server or fresh, proven.offers, switch, approves=approves)

    async def _deregistered(self, name: str, changes: Changes) -> None:
        before = await self._found(name)
        await changes.record(DEREGISTERED, document_of(name, profile_of(before.settings)), None)
        await self.ledger.remove(name)
        await self._end(name)

    async def _end(self, name: str) -> None:
        self._known.pop(name, None)
        server = self.servers.drop(name)
        if server is not None:
            # Facts that are left speak of nothing, and are forgotten when the gateway next starts.
            with suppress(StateError):
                await self.catalogues.drop(server)

    async def _catch_up(self) -> None:
        stored = {one.name: one for one in await self.ledger.all()}
        for name in self._known.keys() - stored.keys():
            await self._end(name)
            # What this process asked of it meanwhile, not knowing, is forgotten as well.
            await self.ledger.forget_offer(name)
        for name, one in stored.items():
            if self._known.get(name) != one:
                server = self._open(one)
                if server is not None:
                    await self.catalogues.follow(server)

    def _open(self, one: Registration) -> Server | None:
        """Serve *one* as it is stored; return None, and tell of it, if that cannot be."""
        name = one.name
        self._known[name] = one
        entry = self.servers.entries.get(name)
        if entry is not None and entry.source == "settings":
            self.reports.overruled(name)
            return None
        try:
            terms = self.terms_of(one)
            pool = self.pool_of(terms.located())
        except (SecretsLostError, AddressError) as error:
            self.reports.unserved(name, error)
            # Whatever is served under the name until then stays: it was proven once.
            self.servers.describe(name, _entry(one, str(error)))
            return None
        credential = terms.presented.lines
        if name in self.servers:
            self.servers.move(name, pool, credential, _entry(one))
        else:
            self.servers.add(Server(name, pool, credential), _entry(one))
        return self.servers[name]


def document_of(name: str, profile: Profile) -> dict[str, Any]:
    """Return a server as records name it, without anything secret."""
    return {
        "name": name,
        "url": profile.shown_url,
        "description": profile.description,
        "network": profile.network,
        "session_mode": profile.session_mode,
        "headers": list(profile.headers),
        "has_bearer": profile.has_bearer,
    }


def _entry(one: Registration, problem: str | None = None) -> Entry:
    return Entry(
        profile_of(one.settings), "registered", one.registered_at, one.registered_by, problem
    )
