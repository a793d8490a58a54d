"""The gateway that is measured: `northgate serve` with what an operator would give it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from bench.gateway import traffic
from bench.gateway.load import ask
from bench.gateway.processes import Server, free_ports
from proxy.config import Settings, load
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType
from proxy.starting import Ready, prepare
from storage.engine import open_database
from storage.facts import Change, FactLedger
from storage.secrets import SecretLedger

COMMAND: Final = ("-m", "proxy.cli.main", "serve", "--config")
"""What runs the gateway, after the interpreter and before the file of its settings."""

_TOKEN_SECONDS: Final = 3600
_START_SECONDS: Final = 60.0
_OK, _UNAUTHORIZED = 200, 401

_SETTINGS: Final = """\
data_dir = "{directory}"
public_url = "http://127.0.0.1:{data}"
admin_url = "http://127.0.0.1:{admin}"
data.listen = "127.0.0.1:{data}"
admin.listen = "127.0.0.1:{admin}"
# One client makes all the calls, and what is measured writes two records for each.
limits.calls_per_second = 1_000_000
record.journal_bytes = 34_359_738_368
"""

_UPSTREAM: Final = """
[upstreams.{name}]
url = "http://127.0.0.1:{port}/mcp"
"""


class NotGuardingError(Exception):
    """The gateway let something pass that it must not, so it is not what was to be measured."""


@dataclass(frozen=True, slots=True)
class Home:
    """A gateway that may be started: its settings, a token of its client, its port."""

    settings: Path
    journal: Path
    token: str
    port: int


def settle(directory: Path, upstreams: Mapping[str, int]) -> Home:
    """Make the home of a gateway in front of the ports of *upstreams*, with its grants."""
    data, admin = free_ports(2)
    file = directory / "northgate.toml"
    text = _SETTINGS.format(directory=directory / "data", data=data, admin=admin)
    text += "".join(_UPSTREAM.format(name=name, port=port) for name, port in upstreams.items())
    file.write_text(text)
    settings = load(file, {})
    ready = prepare(settings, {})
    return Home(file, ready.place.journal, asyncio.run(_granted(settings, ready)), data)


async def _granted(settings: Settings, ready: Ready) -> str:
    """Grant what the traffic needs, and return the token that it shows."""
    database = await open_database(settings.database.url.reveal().decode())
    try:
        change = Change(traffic.facts(), (), "bench", "System:bench", "to be measured")
        await FactLedger(database, time.time).change(change)
        plane = await TokenPlane.opened(
            Plane.DATA,
            settings.public_url,
            SecretLedger(database, time.time),
            ready.master,
            time.time,
            longest_life=settings.tokens.longest_life_seconds,
        )
    finally:
        await database.close()
    wanted = TokenRequest(ActorType.CLIENT, traffic.CLIENT, settings.public_url, _TOKEN_SECONDS)
    return plane.issuer.issue(wanted).text.reveal().decode()


@contextmanager
def serving(
    home: Home, core: int | None, log: Path, command: tuple[str, ...] = COMMAND
) -> Iterator[tuple[Server, float]]:
    """Run the gateway of *home*; yield it, and the seconds from its start to a right answer."""
    began = time.monotonic()
    with Server([sys.executable, *command, str(home.settings)], core, log) as server:
        good = traffic.call(traffic.FAST, home.token)
        while not _answers(home.port, good):
            server.check(began + _START_SECONDS)
        took = time.monotonic() - began
        _check_guard(home)
        yield server, took


def _answers(port: int, request: traffic.Request) -> bool:
    try:
        status, body = ask(port, request)
    except OSError:
        return False
    return status == _OK and body == request.answer


def _check_guard(home: Home) -> None:
    """Raise `NotGuardingError` unless the token and the argument of a call decide."""
    status, _ = ask(home.port, traffic.call(traffic.FAST, f"{home.token}x"))
    if status != _UNAUTHORIZED:
        raise NotGuardingError(f"a wrong token was answered with {status}")
    _, body = ask(home.port, traffic.call(traffic.FAST, home.token, [traffic.LIMIT + 1]))
    if orjson.loads(body).get("error", {}).get("code") != traffic.TOO_MUCH_CODE:
        raise NotGuardingError("a call over the limit was not denied")


def allows_in(journal: Path) -> int:
    """Return how many calls the records in *journal* allow."""
    count = 0
    for segment in journal.glob("*.jsonl"):
        with segment.open("rb") as lines:
            count += sum(b'"verdict":"allow"' in line for line in lines)
    return count
