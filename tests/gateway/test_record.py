"""R01, R05: no record, no call, whatever becomes of the disk or the process."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Event, Semaphore

import pytest

from storage.journal import Record, read, verify
from tests.cli.started import token_of
from tests.gateway.desk import Desk, echo, offering
from tests.gateway.harness import (
    CI,
    PATH,
    PUBLIC_URL,
    Rig,
    free_port,
    gateway,
    shared,
    until,
    written,
)
from tests.gateway.raw import ERAS, Line, Said, asking, request
from tests.upstream.scripted import listening
from tests.upstream.speaking import Message

ROOT = Path(__file__).parents[2]
# It is read at each of many starts, so there is little of it.
POLICY = """
actor Client {}
resource Server { permissions = ["connect"]; }
resource Tool { permissions = ["call"]; }
allow(client: Client, "connect", _: Server) if client = Client{"ci"};
allow(client: Client, "call", _: Tool) if client = Client{"ci"};
"""
each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    settings = {"record.arguments": "full", "record.deadline_ms": 1000}
    with shared(tmp_path_factory.mktemp("record"), settings=settings) as rig:
        yield rig


def of(records: list[Record], number: object) -> list[Record]:
    """Return the decisions on calls with this argument."""
    return [
        one
        for one in records
        if one.kind == "decision" and one.payload.get("arguments") == {"n": number}
    ]


async def call(rig: Rig, number: object, era: str) -> Said:
    params = {"name": "echo", "arguments": {"n": number}}
    return await rig.ask("tools/call", params, version=era)


@each_era
def test_a_decision_can_be_read_when_the_upstream_sees_the_call(rig: Rig, era: str) -> None:
    found: list[Record] = []

    def speech(asked: Message) -> bytes:
        found.extend(of(rig.records(), asked["params"]["arguments"]["n"]))
        return echo(asked)

    with rig.saying({"tools/call": speech}):
        said = rig.run(call(rig, f"first {era}", era))

    assert said.status == 200
    (record,) = found
    assert (record.payload["verdict"], record.payload["method"]) == ("allow", "tools/call")


@each_era
def test_a_call_waits_until_its_decision_survives_the_loss_of_power(
    rig: Rig, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    permits, waits, sync = Semaphore(0), Event(), os.fdatasync

    def held(handle: int) -> None:
        waits.set()
        assert permits.acquire(timeout=10)
        sync(handle)

    async def story() -> None:
        seen = rig.mark
        monkeypatch.setattr(os, "fdatasync", held)
        task = asyncio.create_task(call(rig, f"held {era}", era))
        while True:
            # There may be others before it, which had to be written as well.
            await until(waits.is_set)
            if of(rig.records(), f"held {era}"):
                break
            waits.clear()
            permits.release()
        assert rig.mark == seen
        permits.release(1000)
        assert (await task).status == 200
        assert rig.mark == seen + 1

    rig.run(story())


@each_era
def test_a_disk_that_hangs_makes_a_call_refused_and_not_late(
    rig: Rig, era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, sync = Event(), os.fdatasync

    def held(handle: int) -> None:
        assert go.wait(10)
        sync(handle)

    async def story() -> None:
        seen = rig.mark
        monkeypatch.setattr(os, "fdatasync", held)
        said = await asyncio.gather(*(call(rig, f"hung {era}", era) for _ in range(8)))
        assert {(one.status, one.code) for one in said} == {(503, 50302)}
        assert rig.mark == seen
        go.set()
        monkeypatch.setattr(os, "fdatasync", sync)
        await answered(rig, era)

    rig.run(story())


async def answered(rig: Rig, era: str) -> None:
    """Return once a call is answered; until then each is refused, and none goes on."""
    async with asyncio.timeout(10):
        while (said := await call(rig, "again", era)).status != 200:
            assert (said.status, said.code) == (503, 50302)
            await asyncio.sleep(0.01)


@each_era
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("operation", ["fdatasync", "pwrite"])
def test_a_disk_that_fails_makes_calls_refused_until_it_is_mended(
    rig: Rig, era: str, operation: str, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> int:
        raise OSError(error, os.strerror(error))

    async def story() -> None:
        seen = rig.mark
        with monkeypatch.context() as patched:
            patched.setattr(os, operation, fail)
            for _ in range(5):
                said = await call(rig, "failed", era)
                assert (said.status, said.code, said.message["id"]) == (503, 50302, 7)
        assert rig.mark == seen
        await answered(rig, era)
        assert rig.mark == seen + 1
        assert verify(rig.directory / "journal").chains[0].broken is None

    rig.run(story())


def test_a_gateway_that_cannot_record_is_not_ready_until_it_can(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def ready() -> int:
        host = f"127.0.0.1:{rig.gateway.control[1]}"
        return (await rig.say(request("GET", "/ready", [("Host", host)]), plane="control")).status

    async def story() -> list[int]:
        found = [await ready()]
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", fail)
            await call(rig, "unready", ERAS[0])
            found.append(await ready())
        await answered(rig, ERAS[0])
        return [*found, await ready()]

    assert rig.run(story()) == [200, 503, 200]


def test_every_call_has_its_outcome_and_no_refusal_has_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path) as rig:
            for era in ERAS:
                for name in ("echo", "none", "wipe"):
                    await rig.ask("tools/call", {"name": name}, version=era)
                await rig.ask("tools/call", {"name": "echo"}, version=era, client="stranger")

    asyncio.run(story())

    records = list(read(tmp_path / "data" / "journal"))
    allowed = [one.id for one in records if one.payload.get("verdict") == "allow"]
    ended = [one.payload["decision"] for one in records if one.kind == "outcome"]
    assert sorted(allowed) == sorted(ended)
    assert len(allowed) == 4
    assert verify(tmp_path / "data" / "journal").is_whole


# kill -9


@dataclass
class Caller:
    """One of those who call without end, each time with an argument of its own."""

    host: str
    authorization: str
    number: int
    answered: set[int] = field(default_factory=set)

    async def call_for_ever(self) -> None:
        while True:
            # Whenever the gateway is dead, it is tried again.
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._call_on_one_connection()
            await asyncio.sleep(0.01)

    async def _call_on_one_connection(self) -> None:
        reader, writer = await asyncio.open_connection(*self.host.split(":"))
        line = Line(reader, writer)
        try:
            while True:
                self.number += 8
                era = ERAS[self.number // 8 % 2]
                params = {"name": "echo", "arguments": {"n": self.number}}
                body, headers = asking("tools/call", params, version=era)
                fields = [("Host", self.host), ("Authorization", self.authorization), *headers]
                fields.append(("Content-Length", str(len(body))))
                await line.send(request("POST", PATH, fields, body))
                said = await line.answer()
                assert said.status == 200, said
                self.answered.add(self.number)
        finally:
            writer.transport.abort()


@dataclass
class Serving:
    """`northgate serve`, as often as it is started."""

    process: asyncio.subprocess.Process
    port: int
    child: int = 0

    @classmethod
    @asynccontextmanager
    async def begun(cls, config: Path, port: int) -> AsyncIterator[Serving]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.gateway.serving", "--config", str(config)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        serving = cls(process, port)
        assert process.stdin is not None
        try:
            yield serving
        finally:
            if serving.child:
                os.kill(serving.child, signal.SIGKILL)
            process.stdin.close()
            await process.wait()

    async def start(self) -> None:
        """Start a gateway and return once it can be called."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"start\n")
        self.child = await self._told()
        async with asyncio.timeout(30):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.transport.abort()
                    return
                await asyncio.sleep(0.01)

    async def end(self, number: signal.Signals) -> int:
        """Send the gateway a signal and return its exit code."""
        child, self.child = self.child, 0
        os.kill(child, number)
        return await self._told()

    async def _told(self) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            return int(await self.process.stdout.readline())


async def killed_under_load(directory: Path, kills: int) -> tuple[dict[int, float], set[int]]:
    """Return when the upstream saw which calls, and which of them were answered."""
    chance = random.Random("kill -9")
    data, control = free_port(), free_port()
    seen: dict[int, float] = {}

    def speech(asked: Message) -> bytes:
        number = asked["params"]["arguments"]["n"]
        assert number not in seen
        seen[number] = time.time()
        return echo(asked)

    async with listening(Desk(offering() | {"tools/call": speech}).script) as upstream:
        config = written(
            directory,
            {"up": f"http://127.0.0.1:{upstream.upstream.port}/mcp"},
            {
                "data.listen": f"127.0.0.1:{data}",
                "admin.listen": f"127.0.0.1:{control}",
                "record.arguments": "full",
            },
        )
        policies = directory / "data" / "policies"
        policies.mkdir(mode=0o700, parents=True)
        (policies / "test.polar").write_text(POLICY, encoding="utf-8")
        async with Serving.begun(config, data) as serving:
            await serving.start()
            authorization = "Bearer " + await token_of(CI, directory / "data", PUBLIC_URL)
            callers = [Caller(f"127.0.0.1:{data}", authorization, number) for number in range(8)]
            tasks = [asyncio.create_task(caller.call_for_ever()) for caller in callers]
            for _ in range(kills):
                wanted = len(seen) + chance.randint(1, 120)
                await until(lambda wanted=wanted: len(seen) >= wanted, 30)
                assert await serving.end(signal.SIGKILL) == -signal.SIGKILL
                assert [task for task in tasks if task.done()] == []
                await serving.start()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert await serving.end(signal.SIGTERM) == 0
    return seen, set[int]().union(*(caller.answered for caller in callers))


def at(record: Record) -> float:
    return datetime.fromisoformat(record.time).timestamp()


def test_r01_every_call_that_the_upstream_saw_has_one_earlier_decision_in_20_kills(
    tmp_path: Path,
) -> None:
    seen, answered = asyncio.run(killed_under_load(tmp_path, 20))

    journal = tmp_path / "data" / "journal"
    allowed: dict[int, list[Record]] = {}
    for record in read(journal):
        if record.kind == "decision":
            assert record.payload["verdict"] == "allow"
            allowed.setdefault(record.payload["arguments"]["n"], []).append(record)
    assert len(seen) > 200
    assert answered <= seen.keys()
    assert {number for number in seen if len(allowed.get(number, ())) != 1} == set()
    assert {number for number, when in seen.items() if at(allowed[number][0]) > when} == set()
    assert verify(journal).is_whole
