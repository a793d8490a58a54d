"""A whole gateway in the test's own event loop, upstreams that note every byte, and raw callers."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
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
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType
from proxy.identity.sealing import master_key
from proxy.telemetry.events import Events
from proxy.wire.headers import encode_value
from storage.facts import Change
from storage.journal import Record, read
from tests.gateway.desk import Desk, offering
from tests.upstream.scripted import Listener, listening
from tests.upstream.speaking import Speech

DEADLINE: Final = 10.0
PUBLIC_URL: Final = "http://localhost:8080"
MODERN: Final = "2026-07-28"
LEGACY: Final = "2025-11-25"
ERAS: Final = (MODERN, LEGACY)
ENVELOPE: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}
PATH: Final = "/servers/up/mcp"
CI: Final = "ci"
"""The client that may call everything on the server `up`."""

_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)

Header = tuple[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """One answer, read to its end. `events` are the messages of a stream, `raw` all its bytes."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    raw: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def is_stream(self) -> bool:
        return self.header("content-type") == "text/event-stream"

    @property
    def events(self) -> list[Any]:
        blocks = self.body.split(b"\n\n")
        lines = [line for block in blocks for line in block.split(b"\n")]
        return [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]

    @property
    def message(self) -> Any:  # noqa: ANN401  whatever was said
        """The one message, or the last one of a stream; None where there is no body."""
        if self.is_stream:
            return self.events[-1]
        return json.loads(self.body) if self.body else None

    @property
    def code(self) -> int | None:
        """The JSON-RPC code of an error; None where there is none."""
        message = self.message
        error = message.get("error") if isinstance(message, dict) else None
        code: int | None = error["code"] if isinstance(error, dict) else None
        return code


@dataclass
class Rig:
    """A gateway at work, what stands behind it, and what it has written."""

    directory: Path
    gateway: Gateway
    desks: Mapping[str, Desk]
    listeners: Mapping[str, Listener]
    log: io.StringIO
    tokens: TokenPlane
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

    # Who calls.

    def token(self, client: str = CI, audience: str = PUBLIC_URL, *, life: int = 600) -> str:
        wanted = TokenRequest(ActorType.CLIENT, client, audience, life)
        return self.tokens.issuer.issue(wanted).text.reveal().decode()

    def bearer(self, client: str = CI) -> str:
        """Return the value of `Authorization` for *client*, the same each time."""
        if client not in self._bearers:
            self._bearers[client] = f"Bearer {self.token(client)}"
        return self._bearers[client]

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


@dataclass(frozen=True)
class Line:
    """One connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def answer(self) -> Said:
        async with asyncio.timeout(DEADLINE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            if _CHUNKED.search(head):
                raw, body = await self._chunks()
            else:
                length = _LENGTH.search(head)
                raw = body = await self.reader.readexactly(int(length[1]) if length else 0)
        status, *lines = head.decode("latin-1").split("\r\n")[:-2]
        fields = tuple((name, value) for name, _, value in (one.partition(": ") for one in lines))
        return Said(int(status.split(" ")[1]), fields, body, head + raw)

    async def _chunks(self) -> tuple[bytes, bytes]:
        raw, body = b"", b""
        while True:
            size = await self.reader.readuntil(b"\r\n")
            piece = await self.reader.readexactly(int(size, 16) + 2)
            raw += size + piece
            body += piece[:-2]
            if int(size, 16) == 0:
                return raw, body


def asking(
    method: str,
    params: Mapping[str, Any] | None = None,
    *,
    version: str = MODERN,
    id_: object = 7,
) -> tuple[bytes, list[Header]]:
    """Return body and headers of a well-formed message; without an id if *id_* is None."""
    params = dict(params or {})
    headers = [
        ("Content-Type", "application/json"),
        ("Accept", "application/json, text/event-stream"),
        ("MCP-Protocol-Version", version),
    ]
    if version == MODERN:
        params = {"_meta": ENVELOPE} | params
        headers.append(("Mcp-Method", method))
        if method in _NAMED:
            headers.append(("Mcp-Name", encode_value(params[_NAMED[method]])))
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if id_ is not None:
        message["id"] = id_
    return json.dumps(message).encode(), headers


def request(verb: str, target: str, headers: Iterable[Header] = (), body: bytes = b"") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{verb} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def may(client: str, role: str, type_: str, name: str) -> Fact:
    """Return the grant of *role* on one resource."""
    return Fact("has_role", (Entity("Client", client), role, Entity(type_, name)))


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
            name: await stack.enter_async_context(listening(desk.script))
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
        rig = Rig(data, running_gateway, desks, listeners, log, plane_of(data))
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


def plane_of(data_dir: Path) -> TokenPlane:
    """Return the tokens of the gateway that has started in *data_dir*, under its own keys."""
    place = DataDirectory(data_dir)
    return TokenPlane(
        Plane.DATA,
        PUBLIC_URL,
        place.keyring(Plane.DATA.value),
        master_key(place.master_key, {}),
        time.time,
        longest_life=3600,
    )
