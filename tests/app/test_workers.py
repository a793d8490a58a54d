"""`northgate serve --workers`: several processes that are one gateway to everybody else."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.gateway import upstream
from bench.gateway.traffic import FAST, Request, call
from proxy.cli import supervising
from proxy.datadir import DataDirectory
from proxy.workers.place import held_ports
from storage.journal import Kind, read, verify
from tests.cli.running import written
from tests.cli.started import PATIENCE, Started, free_ports, started

WORKERS: Final = 2
READY: Final = r'"event":"workers_ready"'
ALL_MET: Final = 24
"""So many connections that each worker has some of them, but for one time in millions."""


@dataclass(frozen=True)
class Site:
    """A gateway of several workers, and its administrator."""

    running: Started
    command: tuple[str, ...]
    config: Path
    data_dir: Path
    url: str
    admin_url: str
    token: str

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[httpx2.AsyncClient]:
        """Yield a client with connections of its own, as many as there are requests at once."""
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx2.AsyncClient(
            timeout=PATIENCE, trust_env=False, limits=limits, base_url=self.url
        ) as http:
            yield http

    async def ask(self, http: httpx2.AsyncClient, verb: str, path: str, **body: Any) -> Any:  # noqa: ANN401
        """Ask the control plane, and return the document of its answer."""
        answer = await http.request(
            verb,
            f"{self.admin_url}/api/v0/{path}",
            json=body or None,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def client(self, http: httpx2.AsyncClient, name: str) -> tuple[Request, str]:
        """Make a client that may call, and return its call and the id of its token."""
        await self.ask(http, "POST", "clients", name=name, allow_list=[FAST])
        token = await self.ask(http, "POST", f"clients/{name}/tokens", ttl_seconds=600)
        return call(FAST, token["token"]), token["token_id"]

    async def metrics(self, http: httpx2.AsyncClient) -> dict[str, Counter[str]]:
        """Return what each sample adds up to for each worker, from one scrape."""
        text = (await http.get(f"{self.admin_url}/metrics")).text
        found: dict[str, Counter[str]] = {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                sums = found.setdefault(one.name, Counter())
                sums[one.labels["worker"]] += int(one.value)
        return found

    def calls_of(self, client: str) -> tuple[Counter[str], Counter[str]]:
        """Return how often *client* was allowed a call, and with which outcomes, by id."""
        allowed: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        for one in read(DataDirectory(self.data_dir).journal):
            if one.kind is Kind.DECISION and one.payload["principal"]["id"] == client:
                allowed[one.id] += one.payload["verdict"] == "allow"
            elif one.kind is Kind.OUTCOME:
                outcomes[one.payload["decision"]] += 1
        return +allowed, outcomes


async def said(http: httpx2.AsyncClient, request: Request) -> int:
    """Make one call, and return the status of a right answer, or of a refusal."""
    answer = await http.post(request.path, content=request.bodies[0], headers=request.headers)
    assert answer.status_code != 200 or answer.content == request.answer
    return answer.status_code


async def said_to_all(http: httpx2.AsyncClient, request: Request) -> set[int]:
    """Return what a call that is made `ALL_MET` times at once is answered with."""
    return set(await asyncio.gather(*(said(http, request) for _ in range(ALL_MET))))


async def comes(http: httpx2.AsyncClient, request: Request, status: int) -> float:
    """Return once every worker answers with *status*; how late calls began that others answered."""
    began, late = time.monotonic(), 0.0
    async with asyncio.timeout(PATIENCE):
        while True:
            now = time.monotonic() - began
            if await said_to_all(http, request) == {status}:
                return late
            late = now


async def stopped_under_load(site: Site, running: Started, request: Request) -> tuple[int, int]:
    """Stop the gateway while calls are made; return its exit code and how many were answered."""
    answered = 0
    flowing = asyncio.Event()

    async def calling() -> None:
        nonlocal answered
        async with site.asking() as http:
            while True:
                assert await said(http, request) == 200
                answered += 1
                if answered == 2 * ALL_MET:
                    flowing.set()

    calls = [asyncio.create_task(calling()) for _ in range(ALL_MET)]
    await flowing.wait()
    code = await asyncio.to_thread(running.stopped)
    ends = await asyncio.gather(*calls, return_exceptions=True)
    # They were hung up on between two calls, or found nobody there.
    assert all(isinstance(one, httpx2.TransportError) for one in ends), ends
    return code, answered


@contextmanager
def answering(seconds: float) -> Iterator[int]:
    """Run an upstream that takes so long for each answer, and yield its port."""
    (port,) = free_ports(1)
    loop = asyncio.new_event_loop()
    serving = loop.create_task(upstream.serve(port, seconds))

    def run() -> None:
        try:
            loop.run_until_complete(serving)
        except asyncio.CancelledError:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join(PATIENCE)


@contextmanager
def crew(directory: Path, workers: int) -> Iterator[Site]:
    data, admin = free_ports(2)
    url, admin_url = f"http://127.0.0.1:{data}", f"http://127.0.0.1:{admin}"
    with answering(0.01) as port:
        config = written(
            directory / "northgate.toml",
            f'public_url = "{url}"\nadmin_url = "{admin_url}"\ndata_dir = "{directory}/data"\n'
            f'data.listen = "127.0.0.1:{data}"\nadmin.listen = "127.0.0.1:{admin}"\n'
            f"limits.calls_per_second = 100000\n"
            f'[upstreams.{FAST}]\nurl = "http://127.0.0.1:{port}/mcp"\n',
        )
        command = ("serve", "--config", str(config), "--workers", str(workers))
        with started(*command, cwd=directory) as running:
            running.err.until(READY)
            secret = running.out.until(r"--secret (\S+)$")[1]
            answer = httpx2.post(f"{admin_url}/init", json={"secret": secret}, trust_env=False)
            token = answer.json()["admin_access_token"]
            yield Site(running, command, config, directory / "data", url, admin_url, token)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with crew(tmp_path_factory.mktemp("crew"), WORKERS) as running:
        yield running


def children(pid: int) -> dict[int, int]:
    """Return the workers below *pid*, by number."""
    found = {}
    for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        *_, number, _end = Path(f"/proc/{one}/cmdline").read_text().split("\0")
        found[int(number)] = int(one)
    return found


def test_every_worker_answers_on_the_one_port_and_every_scrape_tells_of_all(site: Site) -> None:
    async def story() -> None:
        async with site.asking() as http:
            request, _ = await site.client(http, "many")
            await comes(http, request, 200)
            for _ in range(4):
                async with site.asking() as scraper:
                    found = await site.metrics(scraper)
                calls = found["northgate_decisions_total"]
                assert set(calls) == {str(number) for number in range(WORKERS)}
                assert min(calls.values()) > 0
                assert sum(found["northgate_workers_unreachable_total"].values()) == 0

    asyncio.run(story())


def test_t05_a_token_revoked_by_one_worker_is_refused_by_all_within_a_second(site: Site) -> None:
    async def story() -> None:
        async with site.asking() as http:
            request, token_id = await site.client(http, "lost")
            await comes(http, request, 200)
            await site.ask(http, "DELETE", f"tokens/{token_id}")
            assert await comes(http, request, 401) < 1
            assert await said_to_all(http, request) == {401}

    asyncio.run(story())


def test_changes_made_through_all_workers_at_once_are_all_kept(site: Site) -> None:
    async def story() -> None:
        async with site.asking() as http:
            names = [f"one-{number}" for number in range(ALL_MET)]
            made = await asyncio.gather(*(site.client(http, name) for name in names))
            listed = await site.ask(http, "GET", "clients?limit=200")
            assert {one["name"] for one in listed["clients"]} >= set(names)
            for request, _ in made[:2]:
                assert await comes(http, request, 200) < 1

    asyncio.run(story())


def test_r23_a_worker_that_is_killed_takes_nobody_with_it_and_comes_back(site: Site) -> None:
    mark = len(site.running.err.text)
    broken: Counter[int] = Counter()

    async def calling(number: int, request: Request, ends: asyncio.Event) -> None:
        while not ends.is_set():
            async with site.asking() as http:
                try:
                    while not ends.is_set():
                        assert await said(http, request) == 200
                        await asyncio.sleep(0.02)
                except httpx2.TransportError:
                    broken[number] += 1

    async def story() -> None:
        ends = asyncio.Event()
        async with site.asking() as http:
            request, _ = await site.client(http, "steady")
            await comes(http, request, 200)
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task(calling(number, request, ends))
            os.kill(children(site.running.process.pid)[0], signal.SIGKILL)
            await asyncio.to_thread(site.running.err.until, r'"event":"started","worker":0', mark)
            ends.set()

    asyncio.run(story())

    # Each caller had one connection, and some were to the one that died.
    assert set(broken.values()) <= {1}
    assert len(broken) < 12
    told = site.running.err.text[mark:]
    assert re.search(r'"event":"worker_ended","number":0,"pid":\d+,"status":-9', told)
    assert sorted(children(site.running.process.pid)) == list(range(WORKERS))


def test_another_gateway_on_the_same_data_is_refused_with_one_sentence(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, port in zip(("DATA", "ADMIN"), free_ports(2), strict=True):
        monkeypatch.setenv(f"NORTHGATE_{name}__LISTEN", f"127.0.0.1:{port}")

    assert supervising.run(site.config, 2) == 2

    said = capfd.readouterr().err
    assert said.count("The gateway cannot start:") == 1
    assert said.count("Another process") == 1


def test_nobody_gets_in_beside_workers_that_share_a_port(site: Site) -> None:
    where = ("127.0.0.1", int(site.url.rpartition(":")[2]))

    with pytest.raises(OSError, match="already in use") as raised, held_ports(where):
        pass

    assert raised.value.errno == errno.EADDRINUSE
    assert str(where) in str(raised.value)


def test_told_to_stop_under_load_all_workers_answer_what_they_took(site: Site) -> None:
    async def story() -> tuple[int, int]:
        async with site.asking() as http:
            request, _ = await site.client(http, "last")
            await comes(http, request, 200)
        before = site.calls_of("last")[0].total()
        code, answered = await stopped_under_load(site, site.running, request)
        return code, before + answered

    code, answered = asyncio.run(story())
    allowed, outcomes = site.calls_of("last")
    report = verify(DataDirectory(site.data_dir).journal)

    assert code == 0
    assert answered == allowed.total()
    assert {outcomes[one] for one in allowed} == {1}
    assert report.is_whole
    assert len(report.chains) == WORKERS
    assert list(site.data_dir.glob("run-*")) == []


@pytest.mark.fuzz
def test_r20_a_hundred_restarts_under_load_lose_no_answer_and_no_record(tmp_path: Path) -> None:
    async def story(site: Site) -> int:
        async with site.asking() as http:
            request, _ = await site.client(http, "last")
            await comes(http, request, 200)
        before = site.calls_of("last")[0].total()
        code, answered = await stopped_under_load(site, site.running, request)
        assert code == 0
        for _ in range(99):
            with started(*site.command, cwd=tmp_path) as running:
                await asyncio.to_thread(running.err.until, READY)
                code, more = await stopped_under_load(site, running, request)
            assert code == 0
            answered += more
        return before + answered

    with crew(tmp_path, WORKERS) as site:
        answered = asyncio.run(story(site))
    allowed, outcomes = site.calls_of("last")

    assert answered == allowed.total()
    assert {outcomes[one] for one in allowed} == {1}
    assert verify(DataDirectory(site.data_dir).journal).is_whole


def test_workers_stop_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with crew(tmp_path, 2) as site:
        # It returns once nobody is left who could still write to its pipes.
        assert site.running.stopped(signal.SIGKILL) == -signal.SIGKILL

        assert len(re.findall(r'"event":"stopped"', site.running.err.text)) == 2
        assert verify(DataDirectory(site.data_dir).journal).is_whole
        assert list(site.data_dir.glob("run-*")) == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])))


def test_workers_do_not_share_a_port_that_the_system_chooses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tmp_path / "n.toml", f'data_dir = "{tmp_path}/d"\ndata.listen = "[::1]:0"\n')

    assert supervising.run(config, 2) == 2

    assert "data.listen: workers share one port" in capsys.readouterr().err
