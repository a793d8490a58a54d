"""A whole gateway in the test's own event loop, upstreams that note every byte, and raw callers."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from policies.model import Entity, Fact
from proxy import policyfiles
from proxy.app import Gateway, running
from proxy.config import load
from proxy.datadir import DataDirectory
from proxy.identity.handles import Handles, Holder, Kind
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType
from proxy.identity.sealing import master_key
from proxy.telemetry.events import Events
from storage.facts import Change
from storage.journal import Record, read
from tests.gateway.desk import Desk, offering
from tests.gateway.raw import DEADLINE, LEGACY, MODERN, Header, Line, Said, asking, request
from tests.upstream import scripted
from tests.upstream.scripted import Listener, listening
from tests.upstream.speaking import ACCEPTED, Speech

PUBLIC_URL: Final = "http://localhost:8080"
PATH: Final = "/servers/up/mcp"
CI: Final = "ci"
"""The client that may call everything on the server `up`."""

T = TypeVar("T")


@dataclass
class Rig:
    """A gateway at work, what stands behind it, and what it has written."""

    directory: Path
    gateway: Gateway
    desks: Mapping[str, Desk]
    listeners: Mapping[str, Listener]
    log: io.StringIO
    runner: asyncio.Runner | None = None
    _bearers: dict[str, str] = field(default_factory=dict)

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """Run *story* in the loop of a gateway that several tests share."""
        assert self.runner is not None
        return self.runner.run(story)

    @property
    def desk(self) -> Desk:
        return self.desks["up"]

    @property
    def upstream(self) -> Listener:
        return self.listeners["up"]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.gateway.data[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}{PATH}"

    @property
    def tokens(self) -> TokenPlane:
        return self.gateway.tokens[Plane.DATA]

    # Who calls.

    def token(self, client: str = CI, audience: str = PUBLIC_URL, *, life: int = 600) -> str:
        return token_of(self.tokens, client, audience, life=life)

    def bearer(self, client: str = CI) -> str:
        """Return the value of `Authorization` for *client*, the same each time."""
        if client not in self._bearers:
            self._bearers[client] = f"Bearer {self.token(client)}"
        return self._bearers[client]

    def session(
        self, client: str = CI, id_: str = "s-1", version: str = LEGACY, *, server: str = "up"
    ) -> Header:
        """Return the header with which *client* shows the upstream's session *id_* as its own."""
        token = self.bearer(client).partition(" ")[2]
        principal = self.tokens.verifier.verify(token, frozenset({PUBLIC_URL}))
        master = master_key(DataDirectory(self.directory).master_key, {})
        handles = Handles(master.key_for("handles"))
        handle = handles.seal(Kind.SESSION, Holder(principal, server), [id_, version])
        return ("Mcp-Session-Id", handle)

    async def state(self, *facts: Fact) -> None:
        """Let *facts* hold from now on."""
        await self.gateway.standing.change(Change(facts, (), "test", "System:test", ""))

    async def unstate(self, *facts: Fact) -> None:
        await self.gateway.standing.change(Change((), facts, "test", "System:test", ""))

    # What is asked, and answered.

    async def ask(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        version: str = MODERN,
        client: str = CI,
        path: str = PATH,
        id_: object = 7,
        more: Iterable[Header] = (),
    ) -> Said:
        """POST one well-formed message of *version*."""
        body, headers = asking(method, params, version=version, id_=id_)
        headers = [("Authorization", self.bearer(client)), *headers, *more]
        return await self.post(headers, body, path=path)

    async def post(
        self, headers: Sequence[Header], body: bytes, *, path: str = PATH, verb: str = "POST"
    ) -> Said:
        length = [] if verb == "GET" else [("Content-Length", str(len(body)))]
        return await self.say(request(verb, path, [("Host", self.host), *headers, *length], body))

    async def say(self, raw: bytes, *, plane: str = "data") -> Said:
        """Send *raw* on a connection of its own and return what comes back."""
        async with self.line(plane) as line:
            await line.send(raw)
            return await line.answer()

    @asynccontextmanager
    async def line(self, plane: str = "data") -> AsyncIterator[Line]:
        where = self.gateway.data if plane == "data" else self.gateway.control
        reader, writer = await asyncio.open_connection(*where)
        try:
            yield Line(reader, writer)
        finally:
            writer.transport.abort()

    @contextmanager
    def saying(self, speeches: Mapping[str, Speech]) -> Iterator[None]:
        """Let the upstream `up` say *speeches* until the block ends."""
        before = dict(self.desk.speeches)
        self.desk.speeches |= speeches
        try:
            yield
        finally:
            self.desk.speeches = before

    # What came of it.

    @property
    def mark(self) -> int:
        """How many requests the upstream `up` has seen."""
        return len(self.upstream.seen)

    def records(self, kind: str = "decision") -> list[Record]:
        return [one for one in read(self.directory / "journal") if one.kind == kind]

    async def recorded(self, count: int, kind: str = "outcome") -> list[Record]:
        """Return the records of *kind* once there are *count*."""
        await until(lambda: len(self.records(kind)) >= count)
        return self.records(kind)

    async def outcome_of(self, decision: Record) -> Mapping[str, Any]:
        """Return the outcome of *decision* once it is in the record."""

        def found() -> list[Mapping[str, Any]]:
            payloads = (one.payload for one in self.records("outcome"))
            return [one for one in payloads if one["decision"] == decision.id]

        await until(lambda: bool(found()))
        return found()[0]

    async def metrics(self) -> str:
        host = f"127.0.0.1:{self.gateway.control[1]}"
        said = await self.say(request("GET", "/metrics", [("Host", host)]), plane="control")
        assert said.status == 200
        return said.body.decode()


@dataclass
class Accepting(scripted.Line):
    """A connection of an upstream that takes whatever clients answer to it."""

    async def request(self) -> bytes:
        """Return the next request that is no answer to one of the upstream's own."""
        while is_answer(raw := await super().request()):
            await self.send(ACCEPTED)
        return raw


def accepting(desk: Desk) -> scripted.Script:
    """Return what *desk* does, which itself knows methods alone."""

    async def script(line: scripted.Line) -> None:
        await desk.script(Accepting(line.reader, line.writer, line.number, line.listener))

    return script


def is_answer(raw: bytes) -> bool:
    """Tell whether an HTTP request carries the answer of a client."""
    body = raw.partition(b"\r\n\r\n")[2]
    return bool(body) and "method" not in json.loads(body)


def may(client: str, role: str, type_: str, name: str) -> Fact:
    """Return the grant of *role* on one resource."""
    return Fact("has_role", (Entity("Client", client), role, Entity(type_, name)))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
    return port


async def until(wish: Any, seconds: float = DEADLINE) -> None:  # noqa: ANN401  any predicate
    """Return once *wish* holds. Raises `TimeoutError` if it does not in time."""
    async with asyncio.timeout(seconds):
        while not wish():  # noqa: ASYNC110  a wish has no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def gateway(
    directory: Path,
    speeches: Mapping[str, Mapping[str, Speech]] | None = None,
    *,
    policy: str = "",
    settings: Mapping[str, object] | None = None,
    urls: Mapping[str, str] | None = None,
    facts: Iterable[Fact] = (may(CI, "caller", "Server", "up"),),
) -> AsyncIterator[Rig]:
    """Run a gateway whose upstreams say *speeches*, under the shipped rules and *policy*.

    *urls* are upstreams that run elsewhere. *settings* are more of them, by their dotted names.
    The block begins when the catalogue of every upstream was taken, or has failed to be.
    """
    speeches = {"up": offering()} if speeches is None else speeches
    log = io.StringIO()
    async with AsyncExitStack() as stack:
        desks = {name: Desk(dict(each)) for name, each in speeches.items()}
        listeners = {
            name: await stack.enter_async_context(listening(accepting(desk)))
            for name, desk in desks.items()
        }
        known = {
            name: f"http://127.0.0.1:{one.upstream.port}/mcp" for name, one in listeners.items()
        } | dict(urls or {})
        config = written(directory, known, settings or {})
        place_policy(directory / "data" / "policies", policy)
        running_gateway = await stack.enter_async_context(
            running(load(config, {}), {}, Events("debug", log))
        )
        data = directory / "data"
        rig = Rig(data, running_gateway, desks, listeners, log)
        await rig.state(*facts)
        await until(lambda: log.getvalue().count('"event":"catalogue_') >= len(known))
        yield rig


@contextmanager
def shared(directory: Path, **how: Any) -> Iterator[Rig]:  # noqa: ANN401  as `gateway`
    """Run a gateway for several tests, each of which runs its story in this gateway's loop."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        rig = runner.run(stack.enter_async_context(gateway(directory, **how)))
        rig.runner = runner
        try:
            yield rig
        finally:
            runner.run(stack.aclose())


def written(directory: Path, upstreams: Mapping[str, str], more: Mapping[str, object]) -> Path:
    """Write the settings of a gateway at free ports into *directory*."""
    settings: dict[str, object] = {
        "data_dir": str(directory / "data"),
        "public_url": PUBLIC_URL,
        "data.listen": "127.0.0.1:0",
        "admin.listen": "127.0.0.1:0",
        "catalogue.refresh_seconds": 86_400,
        "limits.calls_per_second": 100_000,
        "limits.shutdown_seconds": 1,
    }
    for name, url in upstreams.items():
        settings[f"upstreams.{name}.url"] = url
        settings[f"upstreams.{name}.auth.bearer"] = f"of-the-gateway-for-{name}"
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in {**settings, **more}.items()]
    path = directory / "northgate.toml"
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    path.chmod(0o600)
    return path


def place_policy(directory: Path, text: str) -> None:
    """Put the shipped rules into *directory*, and *text* beside them."""
    if not directory.exists():
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        policyfiles.seed(directory)
    if text:
        (directory / "test.polar").write_text(text, encoding="utf-8")


def token_of(
    tokens: TokenPlane, client: str, audience: str = PUBLIC_URL, *, life: int = 600
) -> str:
    wanted = TokenRequest(ActorType.CLIENT, client, audience, life)
    return tokens.issuer.issue(wanted).text.reveal().decode()
