"""A control plane on a real socket, with a real journal, database, keys and policy behind it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import aiohttp
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from policies.bundle import Bundle
from policies.embedded import EmbeddedPoint
from policies.model import Entity, Fact
from policies.pdp import DecisionPoint
from proxy import policyfiles
from proxy.admin import errors
from proxy.admin.issuing import HOLDER, Issuing
from proxy.admin.opaque import AccessTokens
from proxy.admin.plane import METHODS, ControlPlane
from proxy.admin.routes import Table
from proxy.audit import Audit, Redaction
from proxy.catalogues import Catalogues
from proxy.identity.bootstrap import Bootstrap
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.marking import Marks
from proxy.identity.opaque import OpaqueTokens
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType
from proxy.identity.sealing import MasterKey, Secret
from proxy.limits import Admissions
from proxy.listener.limits import Limits
from proxy.listener.listener import Listener
from proxy.listener.names import Names
from proxy.pipeline import Clocks
from proxy.standing import Standing
from proxy.telemetry.events import Events
from proxy.telemetry.labels import Labels
from proxy.telemetry.metrics import Metrics, Sources
from proxy.telemetry.observing import Observing
from storage.definitions import DefinitionLedger
from storage.engine import Database, open_database
from storage.facts import Change, FactLedger
from storage.history import FactHistory
from storage.identities import IdentityLedger
from storage.journal import Journal, Record, read
from storage.opaque import OpaqueLedger
from storage.secrets import SecretLedger
from storage.tokens import TokenLedger
from tests.admin import described
from tests.admin.offered import Desk, catalogues_of
from tests.listener.served import eventually
from tests.storage.disks import FullFiles

PUBLIC = "http://localhost:8080"
ADMIN = "http://localhost:8081"
DAY = 86_400
DEADLINE = 5.0
MOST_BODY = 65_536
RULES = Path(__file__).parents[2] / "policies" / "rules"

CI = (ActorType.CLIENT, "ci")
TERRAFORM = (ActorType.CLIENT, "terraform")
ISSUER = (ActorType.CLIENT, "issuer")
ROOT = (ActorType.USER, "admin")
AUDITOR = (ActorType.USER, "eve")
USER = (ActorType.USER, "ann")

FACTS = (
    Fact("has_role", (Entity("User", "admin"), "admin")),
    Fact("has_role", (Entity("User", "eve"), "auditor")),
    Fact("has_role", (Entity("User", "ann"), "user")),
    Fact("has_role", (Entity("Client", "ci"), "caller", Entity("Server", "github"))),
    Fact("has_role", (Entity("Client", "terraform"), "admin")),
)
EXTRA_RULE = b"""
# Whoever hands out tokens, and may do nothing else.
has_permission(client: Client, "issue_tokens", _: Gateway) if client = Client{"issuer"};
"""

T = TypeVar("T")


@cache
def shipped() -> Bundle:
    return policyfiles.load(RULES, portable=True)


@dataclass
class Moving:
    """A clock that a test sets; it follows the real one from where it is."""

    offset: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, read."""

    status: int
    headers: dict[str, str]
    body: bytes
    document: Any


@dataclass
class Controlled:
    """The plane, what it rests on, and how to ask it."""

    directory: Path
    clock: Moving
    planes: dict[Plane, TokenPlane]
    standing: Standing
    database: Database
    disk: FullFiles
    bootstrap: Bootstrap
    log: io.StringIO
    definitions: DefinitionLedger
    catalogues: Catalogues
    desk: Desk
    reasons: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    port: int = 0
    table: Table = field(init=False)
    opaque: OpaqueTokens = field(init=False)
    session: aiohttp.ClientSession = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(
        self,
        who: tuple[ActorType, str] = ROOT,
        *,
        plane: Plane = Plane.CONTROL,
        life: int = 600,
        scope: tuple[str, ...] = (),
        acts_for: str | None = None,
    ) -> str:
        type_, name = who
        holder = name if type_ is ActorType.CLIENT else "northgate"
        audience = ADMIN if plane is Plane.CONTROL else PUBLIC
        wanted = TokenRequest(type_, name, audience, life, holder, scope, acts_for)
        return self.planes[plane].issuer.issue(wanted).text.reveal().decode()

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        json: object = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Said:
        given = dict(headers or {})
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        async with self.session.request(
            method, self.url + path, json=json, data=data, headers=given
        ) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            document = await response.json() if is_json else None
            said = Said(response.status, dict(response.headers), body, document)
            described.check(self.table, method, path, said)
            return said

    async def state(self, predicate: str, type_: str, name: str, *more: str) -> None:
        """Let a fact about an actor hold from now on."""
        fact = Fact(predicate, (Entity(type_, name), *more))
        await self.standing.change(Change((fact,), (), "test", "System:test", ""))

    def records(self, kind: str | None = None) -> list[Record]:
        """Return the records, of *kind* where given, that are not about the journal itself."""
        return [
            one
            for one in read(self.directory / "journal")
            if (one.kind == kind or kind is None) and not _is_of_the_journal(one)
        ]

    async def recorded(self, kind: str) -> list[Record]:
        """Return the records of *kind* once there is one."""
        await eventually(lambda: bool(self.records(kind)))
        return self.records(kind)

    async def listed(self) -> Said:
        """Return the list of all tokens, once the journal takes records again."""
        async with asyncio.timeout(DEADLINE):
            while True:
                said = await self.ask("GET", "/api/v0/tokens", self.token())
                if said.status != 503:
                    return said
                await asyncio.sleep(0.01)

    def texts(self) -> Iterator[str]:
        """Yield everything that was written: journal, database, log."""
        yield self.log.getvalue()
        for path in sorted(self.directory.rglob("*")):
            if path.is_file():
                yield path.read_bytes().decode("latin-1")


class Databases:
    """Databases of a server: one for the first directory of a test, and others for the rest."""

    served: Databases | None = None
    """Where tests keep their state just now, unless in files."""

    def __init__(self, first: str, another: Callable[[], str]) -> None:
        self._urls: dict[Path, str] = {}
        self._first = first
        self._another = another

    def of(self, directory: Path) -> str:
        if directory not in self._urls:
            self._urls[directory] = self._another() if self._urls else self._first
        return self._urls[directory]


def database_of(directory: Path) -> str:
    """Return the URL of the database that belongs to *directory*, new or as it was left."""
    if Databases.served is not None:
        return Databases.served.of(directory)
    file = directory / "northgate.db"
    if not file.exists():
        directory.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_newest())
    return f"sqlite:///{file}"


@cache
def _newest() -> bytes:
    """Return a file in the newest schema, which takes longer to make than to copy."""

    async def made(file: Path) -> bytes:
        await (await open_database(f"sqlite:///{file}")).close()
        return file.read_bytes()  # noqa: ASYNC240  nobody else waits in this loop

    # In a thread, since a loop runs in this one already.
    with TemporaryDirectory() as place, ThreadPoolExecutor() as pool:
        return pool.submit(asyncio.run, made(Path(place, "northgate.db"))).result()


def _is_of_the_journal(record: Record) -> bool:
    return record.kind == "checkpoint" or str(record.payload.get("what", "")).startswith("journal.")


@asynccontextmanager
async def controlling(
    directory: Path,
    *,
    calls_per_second: int = 1000,
    bundle: Bundle | None = None,
    point: DecisionPoint | None = None,
    with_metrics: bool = True,
    gateway_wide: bool = True,
    database_wait: float = 5.0,
) -> AsyncIterator[Controlled]:
    clock, disk, log = Moving(), FullFiles(), io.StringIO()
    master = MasterKey(Secret(bytes(range(32))))
    database = await open_database(database_of(directory), wait=database_wait)
    secrets = SecretLedger(database, clock)
    planes = {
        plane: await TokenPlane.opened(plane, url, secrets, master, clock, longest_life=DAY)
        for plane, url in ((Plane.DATA, PUBLIC), (Plane.CONTROL, ADMIN))
    }
    standing = await Standing.opened(bundle or shipped(), FactLedger(database, clock))
    await standing.change(Change(FACTS, (), "test", "System:test", ""))
    events = Events("debug", log)
    async with await Journal.open(directory / "journal", "node", 0, files=disk) as journal:
        labels = Labels(frozenset())
        sources = Sources(lambda: journal.health, lambda: 0, lambda: 0, lambda: 0)
        metrics = Metrics(labels, sources, time.time_ns, version="0")
        observer = Observing(metrics, events, time.monotonic)
        definitions, desk = DefinitionLedger(database, clock), Desk()
        catalogues = catalogues_of(standing, definitions, desk)
        await catalogues.recall(desk.servers)
        controlled = Controlled(
            directory,
            clock,
            planes,
            standing,
            database,
            disk,
            Bootstrap(secrets, master),
            log,
            definitions,
            catalogues,
            desk,
        )
        audit = Audit(journal, Redaction(b"k" * 32, "facts"), observer.unrecorded)
        ledger = TokenLedger(database, clock)
        issuers = {plane: tokens.issuer for plane, tokens in planes.items()}
        marks = Marks(Secret(b"m" * 32))
        kept, addresses = OpaqueLedger(database, clock), {Plane.DATA: PUBLIC, Plane.CONTROL: ADMIN}
        controlled.opaque = OpaqueTokens(kept, marks, addresses, HOLDER, clock)
        await controlled.opaque.catch_up()
        plane = ControlPlane(
            point or EmbeddedPoint(observer.undecided),
            standing,
            audit,
            planes[Plane.CONTROL].verifier,
            Admissions(calls_per_second=calls_per_second, streams=1, clock=time.monotonic),
            observer,
            Issuing(issuers, ledger, audit, events),
            ledger,
            lambda plane, tokens: planes[plane].refuse(tokens),
            controlled.bootstrap,
            PUBLIC,
            ADMIN,
            DAY,
            Clocks(clock, time.monotonic),
            (lambda: (b"calls 1\n", CONTENT_TYPE_LATEST)) if with_metrics else None,
            lambda: controlled.reasons,
            catalogues,
            IdentityLedger(database, clock),
            FactHistory(database),
            AccessTokens(kept, controlled.opaque, marks, clock, gateway_wide),
            gateway_wide,
        )
        controlled.table = plane.table
        listener = Listener(
            plane.serve,
            Limits(body_bytes=MOST_BODY),
            Names(frozenset()),
            lambda reason: observer.refused(reason, ""),
            controlled.errors.append,
            methods=METHODS,
            form=errors.told,
        )
        _, controlled.port = await listener.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession() as controlled.session:
                yield controlled
        finally:
            await listener.stop(0)
            controlled.opaque.close()
            await catalogues.close()
            desk.close()
            await database.close()
            metrics.close()
    assert controlled.errors == []


def told(directory: Path, story: Callable[[Controlled], Awaitable[T]], **how: Any) -> T:  # noqa: ANN401  as `controlling`
    """Run *story* with a control plane of its own."""

    async def run() -> T:
        async with controlling(directory, **how) as controlled:
            return await story(controlled)

    return asyncio.run(run())


def controlled_table(directory: Path) -> Table:
    async def story(controlled: Controlled) -> Table:
        return controlled.table

    return told(directory, story)
