"""A gateway without sockets: the way of a call as it is shipped, on clocks that are told the time.

Only the edges are made up: upstreams answer in process, and whoever calls is known already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.month.upstream import Desk
from policies.bundle import Bundle
from policies.embedded import EmbeddedPoint
from policies.model import Decision, Entity
from proxy.asking import Asking
from proxy.audit import Audit, Redaction
from proxy.call import Call
from proxy.catalogues import Catalogues, Pace, Reports
from proxy.datadir import DataDirectory
from proxy.exchange import Exchange
from proxy.forward import Forwarding
from proxy.identity.checkpointing import checkpoint_signer
from proxy.identity.handles import Handles
from proxy.identity.sealing import MasterKey, master_key
from proxy.judgement import Judge, Judgement
from proxy.keptpolicies import DIRECTORY, KeptPolicies
from proxy.limits import Admissions
from proxy.listening import Subscribing
from proxy.news import News
from proxy.opening import Opening
from proxy.outbound import Outbound
from proxy.outlets import Outlets
from proxy.pipeline import Clocks, Pipeline
from proxy.recording import Recording
from proxy.relay import Relay
from proxy.relay import Reports as RelayReports
from proxy.results import Results
from proxy.resuming import Resuming
from proxy.rounds import Rounds
from proxy.standing import Standing
from proxy.tasks import Tasks
from proxy.telemetry.labels import Labels
from proxy.telemetry.traces import Traces
from proxy.upstream.failures import UpstreamError
from proxy.upstream.offers import Offers
from proxy.upstream.server import Server
from proxy.views import Views
from proxy.wire.jsonrpc import Response
from storage.definitions import DefinitionLedger
from storage.engine import Database, open_database
from storage.facts import FactLedger
from storage.journal import Journal
from storage.journal import Limits as JournalLimits
from storage.secrets import SecretLedger
from storage.tasks import TaskLedger

NODE: Final = "month"
CALLS_PER_SECOND: Final = 5

_SECONDS: Final = 30.0
_GIB: Final = 1024**3
_NEVER: Final = 1e9

Note = Callable[[str, Call, Judgement], None]


class UndecidedMonthError(Exception):
    """A call of the month was not judged, or not recorded, as it should have been."""


class Clock:
    """Tells the time that it is set to, in seconds since the epoch."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def nanoseconds(self) -> int:
        return int(self.now * 1e9)


class Silence:
    """The observer whom nothing interests but what must not happen."""

    def refused(self, reason: str, address: str) -> None:
        """Take no note."""

    def decided(
        self,
        decision_id: str,
        actor: Entity,
        action: str,
        resource: Entity,
        decision: Decision,
        seconds: float,
    ) -> None:
        """Take no note."""

    def observed(self, server: str, reason: str, action: str) -> None:
        raise UndecidedMonthError(f"{server}: {action} is not enforced ({reason})")

    def ended(self, server: str, method: str, version: str, seconds: float, error: str) -> None:
        """Take no note."""

    def upstream_failed(self, server: str, error: UpstreamError) -> None:
        raise UndecidedMonthError(server) from error

    def dropped(self, server: str, what: str) -> None:
        raise UndecidedMonthError(f"{server}: {what}")

    def unrecorded(self, code: str) -> None:
        raise UndecidedMonthError(code)

    def undecided(self, error: Exception) -> None:
        raise UndecidedMonthError from error

    def stream(self, change: int) -> None:
        """Take no note."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The way of a call, and what decides on it."""

    pipeline: Pipeline
    standing: Standing
    catalogues: Catalogues
    audit: Audit
    clock: Clock
    servers: dict[str, Server]
    kept: KeptPolicies

    async def register(self, desk: Desk) -> None:
        """Have calls go to *desk* from now on, which is trusted as it is."""
        server = Server(desk.name, desk, ())
        await self.catalogues.met(server, desk.offers, lambda: self._add(server), approves=True)

    async def look_again(self, desk: Desk) -> None:
        """Know what *desk* offers by now."""
        server = self.servers[desk.name]
        await self.catalogues.met(server, desk.offers, lambda: None, approves=False)

    async def adopt(self, bundle: Bundle) -> None:
        """Judge by *bundle* from now on."""
        before = self.standing.grounds.bundle.version
        self.kept.keep(bundle)
        who = {"type": "System", "id": "watcher"}
        await self.audit.changed(who, "policy", before=before, after=bundle.version)
        await self.standing.adopt(bundle)

    def _add(self, server: Server) -> None:
        self.servers[server.name] = server


@dataclass(frozen=True, slots=True)
class _Foundation:
    """What outlives the process."""

    database: Database
    journal: Journal
    master: MasterKey


@asynccontextmanager
async def opened(
    directory: Path, bundle: Bundle, desks: Mapping[str, Desk], clock: Clock, note: Note
) -> AsyncIterator[Gateway]:
    """Run a gateway on *bundle* in the data directory *directory* until the block ends."""
    async with _founded(directory, clock) as base:
        standing = await Standing.opened(bundle, FactLedger(base.database, clock), _SECONDS)
        kept = KeptPolicies(directory / DIRECTORY)
        kept.keep(bundle)
        catalogues = _catalogues(base.database, standing, desks, clock)
        servers: dict[str, Server] = {}
        await catalogues.recall(servers)
        silence = Silence()
        audit = Audit(
            base.journal,
            Redaction(base.master.key_for("record").reveal(), "facts"),
            silence.unrecorded,
        )
        recording = Recording(audit, silence, clock, note)
        point = EmbeddedPoint(silence.undecided)
        pipeline = _pipeline(base, standing, catalogues, servers, recording, point, clock)
        try:
            yield Gateway(pipeline, standing, catalogues, audit, clock, servers, kept)
        finally:
            await pipeline.exchange.close()
            await catalogues.close()


@asynccontextmanager
async def _founded(directory: Path, clock: Clock) -> AsyncIterator[_Foundation]:
    place = DataDirectory(directory)
    place.prepare("enterprise")
    master = master_key(place.master_key, {})
    database = await open_database(f"sqlite:///{directory / 'northgate.db'}")
    try:
        signer = await checkpoint_signer(SecretLedger(database, clock), master)
        journal = await Journal.open(
            place.journal,
            NODE,
            0,
            limits=JournalLimits(total_bytes=16 * _GIB, deadline=_SECONDS),
            clock=clock.nanoseconds,
            signer=signer,
        )
        async with journal:
            yield _Foundation(database, journal, master)
    finally:
        await database.close()


def _catalogues(
    database: Database, standing: Standing, desks: Mapping[str, Desk], clock: Clock
) -> Catalogues:
    async def take(server: Server) -> Offers:
        return desks[server.name].offers

    def failed(name: str, error: Exception) -> None:
        raise UndecidedMonthError(name) from error

    return Catalogues(
        standing,
        DefinitionLedger(database, clock),
        take,
        Reports(lambda *_: None, failed),
        clock,
        trust="first",
        pace=Pace(_NEVER, 0, lambda: 0.0),
    )


def _pipeline(
    base: _Foundation,
    standing: Standing,
    catalogues: Catalogues,
    servers: Mapping[str, Server],
    recording: Recording,
    point: EmbeddedPoint,
    clock: Clock,
) -> Pipeline:
    judge = Judge(point, lambda _: None)
    asking, handles = Asking(judge, recording), Handles(base.master.key_for("handles"))
    opening = Opening(handles)
    admissions = Admissions(calls_per_second=CALLS_PER_SECOND, streams=16, clock=clock)
    exchange = _exchange(base, standing, catalogues, asking, handles, admissions, clock)
    return Pipeline(
        servers,
        standing,
        catalogues,
        judge,
        recording,
        opening,
        Outbound(judge, asking),
        Subscribing(judge, recording, opening, frozenset()),
        Resuming(opening, judge),
        exchange,
        admissions,
        Clocks(clock, clock),
        Traces(Labels(servers, frozenset()), version="month"),
    )


def _exchange(
    base: _Foundation,
    standing: Standing,
    catalogues: Catalogues,
    asking: Asking,
    handles: Handles,
    admissions: Admissions,
    clock: Clock,
) -> Exchange:
    def renewed(call: Call) -> Call:
        return replace(call, grounds=standing.grounds, now=int(clock()))

    def refuse(call: Call, _response: Response) -> None:
        raise UndecidedMonthError(call.server_name)

    tasks, rounds = Tasks(handles, TaskLedger(base.database, clock), clock), Rounds(asking, handles)
    relay = Relay(
        Results(asking.judge, frozenset(), catalogues.recognised, handles, rounds, tasks),
        News(asking.judge, tasks, rounds, frozenset(), catalogues.changed),
        asking,
        renewed,
        RelayReports(asking.recording.observer.dropped, refuse),
    )
    views, outlets = Views(asking.judge, renewed), Outlets(clock)
    forwarding = Forwarding(_SECONDS)
    return Exchange(asking.recording, forwarding, relay, admissions, outlets, views, handles)
