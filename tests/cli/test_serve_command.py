"""`northgate serve`: what stops it before it starts, and how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from proxy import policyfiles
from storage.journal import Kind, Record, read, verify
from tests.cli.running import run_forked, written
from tests.cli.started import PATIENCE, Started, free_ports, started, started_anew, token_of
from tests.live.servers import dual_era

CALLS: Final = 12
STARTED: Final = r'"event":"started"'
MODERN: Final = "2026-07-28"
META: Final = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Site:
    """A gateway's settings on free ports, not yet started."""

    directory: Path
    data: int
    admin: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.data}"

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def policies(self) -> Path:
        return self.data_dir / "policies"

    @property
    def journal(self) -> Path:
        return self.data_dir / "journal"

    def settings(self, more: str = "") -> Path:
        text = (
            f'public_url = "{self.url}"\nadmin_url = "http://127.0.0.1:{self.admin}"\n'
            f'data_dir = "{self.data_dir}"\n[data]\nlisten = "127.0.0.1:{self.data}"\n'
            f'[admin]\nlisten = "127.0.0.1:{self.admin}"\n{more}'
        )
        return written(self.directory / "northgate.toml", text)

    def decisions(self) -> list[Record]:
        return [one for one in read(self.journal) if one.kind is Kind.DECISION]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    data, admin = free_ports(2)
    return Site(tmp_path, data, admin)


def refused(site: Site, config: Path) -> str:
    """Return what a gateway says that cannot start, although somebody has its ports."""
    with (
        socket.create_server(("127.0.0.1", site.data)),
        socket.create_server(("127.0.0.1", site.admin)),
    ):
        ran = run_forked("serve", "--config", config)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    # It never came as far as its ports.
    assert "in use" not in ran.err
    return ran.err


def test_three_mistakes_in_the_settings_are_three_problems_before_anything_listens(
    site: Site,
) -> None:
    config = site.settings('[tokens]\nlongest_live_seconds = 60\n[limits]\ncall_seconds = "long"\n')
    text = config.read_text(encoding="utf-8")
    config.write_text('mode = "enterprize"\n' + text, encoding="utf-8")

    said = refused(site, config).splitlines()

    assert said[0] == "The settings cannot be used:"
    assert len(said) == 4
    for key in ("mode", "tokens.longest_live_seconds", "limits.call_seconds"):
        assert [line for line in said if key in line], key
    assert not site.data_dir.exists()


def test_a_broken_policy_is_named_with_file_and_line_before_anything_listens(site: Site) -> None:
    site.data_dir.mkdir()
    policyfiles.seed(site.policies)
    written(site.policies / "mine.polar", "# Mine.\n\nallow(client: Cleint, _, _) if true;\n")

    said = refused(site, site.settings())

    assert said.startswith("The gateway cannot start:\n")
    assert re.search(r"/policies/mine\.polar:3:\d+", said)


def test_a_policy_that_breaks_its_own_tests_does_not_start(site: Site) -> None:
    site.data_dir.mkdir()
    policyfiles.seed(site.policies)
    written(
        site.policies / "mine.polar",
        'test "nobody may" { assert allow(Client{"x"}, "connect", Server{"y"}); }\n',
    )

    said = refused(site, site.settings())

    assert 'test "nobody may": mine.polar:1:' in said


def test_what_is_wrong_with_policy_and_upstreams_and_settings_is_told_at_once(site: Site) -> None:
    site.data_dir.mkdir()
    policyfiles.seed(site.policies)
    written(site.policies / "mine.polar", "nonsense;\n")
    config = site.settings(
        "[pdp]\nmax_context_facts = 5\n"
        '[upstreams.one]\ntransport = "stdio"\ncommand = "server"\n'
        '[upstreams.two]\nurl = "http://169.254.169.254/mcp"\n'
    )

    said = refused(site, config)

    for problem in ("mine.polar:1:", "pdp.max_context_facts", "upstreams.one", "upstreams.two.url"):
        assert problem in said


def test_the_bootstrap_secret_is_printed_once_and_kept_nowhere(site: Site) -> None:
    config = site.settings()
    with started_anew("serve", "--config", config, cwd=site.directory) as first:
        first.err.until(STARTED)
        secret = first.out.until(r"--secret (\S+)$")[1]
        assert first.stopped() == 0
    with started("serve", "--config", config, cwd=site.directory) as second:
        second.err.until(STARTED)
        assert second.stopped() == 0

    files = [one for one in site.directory.rglob("*") if one.is_file()]
    assert first.out.text.count(secret) == 1
    assert second.out.text == ""
    assert secret not in first.err.text + second.err.text
    assert [one for one in files if secret.encode() in one.read_bytes()] == []


def test_a_second_gateway_on_the_same_data_is_refused_with_a_sentence(site: Site) -> None:
    config = site.settings()
    data, admin = free_ports(2)
    with started("serve", "--config", config, cwd=site.directory) as first:
        first.err.until(STARTED)
        second = run_forked(
            "serve",
            "--config",
            config,
            NORTHGATE_DATA__LISTEN=f"127.0.0.1:{data}",
            NORTHGATE_ADMIN__LISTEN=f"127.0.0.1:{admin}",
        )
        answer = httpx2.get(f"{site.url}/.well-known/jwks.json", trust_env=False)
        code = first.stopped()

    said = [line for line in second.err.splitlines() if not line.startswith("{")]
    assert (second.code, second.out) == (2, "")
    assert said[0] == "The gateway cannot start:"
    assert len(said) == 2
    assert "Another process" in said[1]
    assert (answer.status_code, code) == (200, 0)


def test_a_port_that_is_taken_is_named(site: Site) -> None:
    with socket.create_server(("127.0.0.1", site.data)):
        ran = run_forked("serve", "--config", site.settings())

    assert ran.code == 2
    assert "The gateway cannot listen:" in ran.err
    assert (
        f"Address already in use (while attempting to bind on address ('127.0.0.1', {site.data}))"
        in ran.err
    )
    assert "Set data.listen or admin.listen" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_lets_running_calls_end_and_leaves_a_whole_journal(
    site: Site, number: int
) -> None:
    with dual_era() as upstream:
        site.data_dir.mkdir()
        policyfiles.seed(site.policies)
        grant = 'has_role(Client{"load"}, "caller", Server{"slow"});\n'
        written(site.policies / "grants.of.ours.polar", grant)
        config = site.settings(f'[upstreams.slow]\nurl = "{upstream.url}"\n')
        with started("serve", "--config", config, cwd=site.directory) as running:
            running.err.until(STARTED)
            answers, code = asyncio.run(stopped_under_load(site, running, number))

    outcomes = Counter(
        one.payload["decision"] for one in read(site.journal) if one.kind is Kind.OUTCOME
    )
    calls = [one for one in site.decisions() if one.payload["method"] == "tools/call"]
    assert answers == ["done"] * CALLS
    assert code == 0
    assert len(calls) == CALLS
    assert [outcomes[one.id] for one in calls] == [1] * CALLS
    assert verify(site.journal).is_whole


async def stopped_under_load(site: Site, running: Started, number: int) -> tuple[list[str], int]:
    """Stop the gateway while all calls are under way, and return what they are told."""
    token = await token_of("load", site.data_dir, site.url)
    async with httpx2.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        calls = [asyncio.create_task(called(http, site, token)) for _ in range(CALLS)]
        ends = time.monotonic() + PATIENCE
        while len(site.decisions()) < CALLS and time.monotonic() < ends:
            await asyncio.wait(calls, timeout=0.02)
        assert not any(one.done() for one in calls)
        code = await asyncio.to_thread(running.stopped, number)
        return await asyncio.gather(*calls), code


async def called(http: httpx2.AsyncClient, site: Site, token: str) -> str:
    """Call a tool that takes a while, and return what it says."""
    params = {"name": "slow", "arguments": {"seconds": 2.0}, "_meta": META}
    answer = await http.post(
        f"{site.url}/servers/slow/mcp",
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "slow",
        },
    )
    lines = re.findall(r"^(?:data: ?)?(\{.*\})$", answer.text, re.MULTILINE)
    document: dict[str, Any] = json.loads(lines[-1])
    return str(document["result"]["content"][0]["text"])
