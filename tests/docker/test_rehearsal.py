"""The whole of compose.yaml but its containers: two gateways, PostgreSQL, the balancer, a server.

What differs is where things listen and lie; the variables, the secrets and the configurations are
those of docker/.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from storage.journal import Kind, read
from tests.cli.answering import ran
from tests.cli.running import Ran, command, run_process
from tests.cli.started import PLACED, Started, free_ports, started
from tests.docker.balancing import Ports, balancing
from tests.docker.composed import ROOT, environment, init, initialised, services, variables
from tests.docker.test_image import asked
from tests.gateway.raw import asking
from tests.storage.postgres import Server, postgres
from tests.telemetry.collector import Collector, attributes, collecting

__all__ = ["postgres"]

REPLICAS = ("gateway-1", "gateway-2")
STARTED = r'"event":"started"'
SECONDS = 20.0


@dataclass
class Site:
    """Where everything is that compose.yaml brings up."""

    home: Path
    place: Path
    front: Ports
    replicas: dict[str, Ports]
    environments: dict[str, Mapping[str, str]]
    collector: Collector

    def data(self, name: str) -> Path:
        return Path(self.environments[name]["NORTHGATE_DATA_DIR"])

    def northgate(self, line: str) -> Ran:
        """Run a command of an administrator, who knows the balancer alone."""
        done = ran(self.home, line)
        assert done.code == 0, done.err
        return done

    @contextmanager
    def gateway(self, name: str, **more: str) -> Iterator[Started]:
        given = {**self.environments[name], **more}
        with started("serve", cwd=self.data(name).parent, **given) as gateway:
            yield gateway

    def call(self, token: str) -> httpx2.Response:
        body, headers = asking("tools/call", {"name": "list_notes", "arguments": {}})
        return httpx2.post(
            f"http://localhost:{self.front.data}/servers/demo/mcp",
            content=body,
            headers=[("Authorization", f"Bearer {token}"), *headers],
            trust_env=False,
        )

    def call_of_the_readme(self, token: str) -> httpx2.Response:
        """Make the call that README.md shows, on this front."""
        text = (self.place / "README.md").read_text(encoding="utf-8")
        shown = text[text.index("curl ") :].partition("\n```")[0]
        _, url, *words = shlex.split(shown.replace("\\\n", " "))
        *headers, data = zip(words[0::2], words[1::2], strict=True)
        assert [flag for flag, _ in (*headers, data)] == ["-H"] * len(headers) + ["-d"]
        pairs = [one.replace("$TOKEN", token).split(": ", 1) for _, one in headers]
        return httpx2.post(
            url.replace("8080", str(self.front.data)),
            content=data[1],
            headers=[(name, value) for name, value in pairs],
            trust_env=False,
        )

    def settled(self, token: str, wanted: int = 200) -> None:
        """Return once every replica answers calls with *wanted*."""
        ends = time.monotonic() + SECONDS
        while {self.call(token).status_code for _ in range(4)} != {wanted}:
            assert time.monotonic() < ends

    def took(self) -> Counter[str]:
        """Return how many calls were passed on to each replica, if one was asked alone."""
        text = (self.place / "balancer" / "access.log").read_text(encoding="utf-8")
        names = {f"127.0.0.1:{ports.data}": name for name, ports in self.replicas.items()}
        words = [line.split() for line in text.splitlines()]
        return Counter(names[word[5]] for word in words if word[5] in names and len(word) == 7)


@contextmanager
def site(directory: Path, postgres: Server) -> Iterator[Site]:
    place = initialised(directory)
    front, one, two = (Ports(*free_ports(2)) for _ in range(3))
    replicas = dict(zip(REPLICAS, (one, two), strict=True))
    with collecting() as collector, database(place, postgres) as url:
        environments: dict[str, Mapping[str, str]] = {}
        for name, ports in replicas.items():
            home = directory / name
            home.mkdir()
            (home / "northgate.toml").write_bytes((place / "northgate.toml").read_bytes())
            environments[name] = {
                **environment(name, place),
                "NORTHGATE_DATA_DIR": str(home / "data"),
                "NORTHGATE_DATA__LISTEN": f"127.0.0.1:{ports.data}",
                "NORTHGATE_ADMIN__LISTEN": f"127.0.0.1:{ports.control}",
                "NORTHGATE_PUBLIC_URL": f"http://localhost:{front.data}",
                "NORTHGATE_ADMIN_URL": f"http://localhost:{front.control}",
                "NORTHGATE_POLICY__PATH": str(ROOT / "policies" / "rules"),
                "NORTHGATE_DATABASE__URL": url,
                "NORTHGATE_TELEMETRY__OTLP_ENDPOINT": collector.endpoint,
            }
        yield Site(directory / "home", place, front, replicas, environments, collector)


@contextmanager
def database(place: Path, postgres: Server) -> Iterator[str]:
    """Make the role and the database as PostgreSQL's image does, and return how to get there."""
    terms = services()["postgres"]["environment"]
    user, name = terms["POSTGRES_USER"], terms["POSTGRES_DB"]
    password = (place / "secrets" / "postgres_password").read_text(encoding="ascii").strip()
    postgres.ask(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'", "postgres")
    postgres.ask(f"CREATE DATABASE {name} OWNER {user}", "postgres")
    try:
        given = variables(place / "secrets" / "database.env")["NORTHGATE_DATABASE__URL"]
        yield given.replace("@postgres:5432/", f"@127.0.0.1:{postgres.port}/")
    finally:
        postgres.drop(name)
        postgres.ask(f"DROP ROLE {user}", "postgres")


@contextmanager
def demo(port: int) -> Iterator[None]:
    """Run the server for trying things as its service does."""
    interpreter, *words = services()["demo"]["entrypoint"]
    assert interpreter == "python"
    everywhere = "0.0.0.0"  # noqa: S104  in its container
    code = words[-1].replace(everywhere, "127.0.0.1").replace("9000", str(port))
    with (
        subprocess.Popen(  # noqa: S603  ours
            [sys.executable, *words[:-1], code],
            env=PLACED,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process
    ):
        try:
            yield
        finally:
            process.terminate()


def first_secret(*gateways: Started) -> str:
    """Return the bootstrap secret once it is printed, which one of all does."""
    ends = time.monotonic() + SECONDS
    found: list[str] = []
    while not found:
        assert time.monotonic() < ends
        said = "".join(gateway.out.text for gateway in gateways)
        found = re.findall(r"--secret (\S+)\n", said)
    assert len(found) == 1
    return found[0]


def listening(port: int) -> bool:
    try:
        # As whoever calls it inside the network does, by a name that is not localhost.
        httpx2.get(f"http://127.0.0.1:{port}/mcp", headers={"Host": "demo:9000"}, trust_env=False)
    except httpx2.TransportError:
        time.sleep(0.01)
        return False
    return True


def scraped(site: Site, name: str, host: str) -> httpx2.Response:
    url = f"http://127.0.0.1:{site.replicas[name].control}/metrics"
    return httpx2.get(url, headers={"Host": host}, trust_env=False)


def test_r23_two_replicas_behind_the_balancer_are_one_gateway_and_one_of_them_can_go(
    tmp_path: Path, postgres: Server
) -> None:
    health, port = free_ports(2)
    with ExitStack() as stack:
        here = stack.enter_context(site(tmp_path, postgres))
        stack.enter_context(demo(port))
        gateways = {name: stack.enter_context(here.gateway(name)) for name in REPLICAS}
        for gateway in gateways.values():
            gateway.err.until(STARTED)
        ports = list(here.replicas.values())
        stack.enter_context(balancing(here.place / "balancer", here.front, health, ports))
        while not listening(port):
            pass

        url = f"http://localhost:{here.front.control}"
        here.northgate(f"init-server --url {url} --secret {first_secret(*gateways.values())}")
        here.northgate(f"register --name demo --url http://127.0.0.1:{port}/mcp --network private")
        here.northgate("client create agent --allow demo")
        token = here.northgate("token issue agent").out.strip()
        here.settled(token)
        before = here.took()
        answers = [here.call(token) for _ in range(8)]
        both = here.took() - before

        assert [one.status_code for one in answers] == [200] * 8
        assert all("There are no notes." in one.text for one in answers)
        assert both == dict.fromkeys(REPLICAS, 4)
        assert here.call_of_the_readme(token).json()["result"]["serverInfo"]["name"] == "demo"
        assert httpx2.get(f"{url}/metrics", trust_env=False).status_code == 404
        for name in REPLICAS:
            control = here.replicas[name].control
            assert scraped(here, name, f"{name}:8081").status_code == 200
            assert scraped(here, name, "elsewhere:8081").status_code == 421
            assert asked(f"127.0.0.1:{control}").returncode == 0

        assert gateways["gateway-1"].stopped() == 0
        gone = [here.call(token).status_code for _ in range(6)]
        assert gone == [200] * 6
        assert asked(f"127.0.0.1:{here.replicas['gateway-1'].control}").returncode == 1

        here.northgate("client suspend agent")
        here.settled(token, 404)
        assert gateways["gateway-2"].stopped() == 0
        none = here.call(token)
        assert (none.status_code, none.json()["error"]["code"]) == (503, -32603)
        check_records(here)
        check_spans(here)


def check_records(here: Site) -> None:
    """Find a chain of each replica, under the name that compose.yaml gives it."""
    for name in REPLICAS:
        records = list(read(here.data(name) / "journal"))
        assert {one.chain.node for one in records} == {name}
        assert [one for one in records if one.kind is Kind.DECISION]


def check_spans(here: Site) -> None:
    """Find in every span what the collector counts stages by."""
    spans = here.collector.spans
    kinds = {one.kind for one in spans}
    assert {Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT} <= kinds
    for one in spans:
        assert {"mcp.method.name", "northgate.server"} <= attributes(one.attributes).keys()


def backup(given: Mapping[str, str]) -> bytes:
    """Return a backup as it comes out of a container."""
    environment = {**PLACED, **given}
    done = subprocess.run(command("backup", "-"), env=environment, capture_output=True, check=False)  # noqa: S603  ours
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.fuzz
def test_a_backup_and_another_master_key_cost_no_token_its_life(
    tmp_path: Path, postgres: Server
) -> None:
    with ExitStack() as stack:
        here = stack.enter_context(site(tmp_path, postgres))
        url = f"http://localhost:{here.front.control}"
        health, port = free_ports(2)
        stack.enter_context(demo(port))
        ports = list(here.replicas.values())
        stack.enter_context(balancing(here.place / "balancer", here.front, health, ports))
        while not listening(port):
            pass
        with here.gateway("gateway-1") as first:
            first.err.until(STARTED)
            here.northgate(f"init-server --url {url} --secret {first_secret(first)}")
            here.northgate(f"register --name demo --url http://127.0.0.1:{port}/mcp")
            here.northgate("client create agent --allow demo")
            token = here.northgate("token issue agent").out.strip()
            here.settled(token)
            saved = backup(here.environments["gateway-1"])
            here.northgate("client suspend agent")
            assert first.stopped() == 0

        assert init(here.place, "next-master-key").returncode == 0
        following = variables(here.place / "secrets" / "next_master_key.env")
        done = run_process("admin", "rekey", **here.environments["gateway-1"], **following)
        assert done.code == 0, done.err
        assert init(here.place, "adopt-master-key").returncode == 0
        adopted = variables(here.place / "secrets" / "master_key.env")
        with here.gateway("gateway-2", **adopted) as second:
            second.err.until(STARTED)
            here.settled(token, 404)
            here.northgate("client resume agent")
            here.settled(token)
            here.northgate("client suspend agent")
            assert second.stopped() == 0

        [before] = (here.place / "secrets").glob("master_key.*Z.env")
        # A backup is of its time: the master key of then opens it.
        given = {**here.environments["gateway-1"], **variables(before)}
        file = here.data("gateway-1") / "restoring"
        file.write_bytes(saved)
        restored = run_process("restore", "--replace", file, **given)
        assert restored.code == 0, restored.err
        with here.gateway("gateway-1") as third:
            third.err.until(STARTED)
            here.settled(token)
            assert third.stopped() == 0
