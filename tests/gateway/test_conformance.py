"""The official conformance suite finds the same through the gateway as without it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.wire.methods import INPUT_REQUESTS
from tests.gateway.harness import Rig, free_port, gateway, may, shared, until
from tests.live.conformance import (
    REVISIONS,
    Scene,
    Verdicts,
    acting,
    run_client,
    run_server,
    seen,
    serving,
)
from tests.live.conformance_client import act
from tests.live.servers import Server

CALLER = "suite"
MAY_CALL = (may(CALLER, "caller", "Server", "py"),)

SCENES = {
    "2026-07-28": (
        "tools_call", "request-metadata", "http-standard-headers", "http-custom-headers",
        "http-invalid-tool-headers", "json-schema-ref-no-deref", "json-schema-2020-12-preservation",
        "sep-2322-client-request-state",
    ),
    "2025-11-25": (
        "initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry",
        "json-schema-2020-12-preservation",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Passage:
    """A server, and a gateway before it."""

    server: Server
    rig: Rig

    @property
    def url(self) -> str:
        return f"http://localhost:{self.rig.gateway.data[1]}/servers/py/mcp"

    def passed_on(self) -> Counter[str]:
        """Return how many messages of each method the record says were passed on.

        What answers a request of the server's is a `response`, and is decided under its method.
        """
        outcomes = (one.payload for one in self.rig.records("outcome"))
        asked = {one["decision"] for one in outcomes if one["status"] == "asked"}
        allowed = [one for one in self.rig.records() if one.payload["verdict"] == "allow"]
        methods = (one.payload["method"] for one in allowed if one.id not in asked)
        return Counter("response" if method in INPUT_REQUESTS else method for method in methods)

    def check(self, revision: str) -> Verdicts:
        token = self.rig.token(CALLER)
        return self.rig.run(asyncio.to_thread(run_server, self.url, revision, token))


@pytest.fixture(scope="module")
def passage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passage]:
    port = free_port()
    settings = {
        "data.listen": f"127.0.0.1:{port}",
        "data.allowed_hosts": [f"localhost:{port}"],
        "data.allowed_origins": [f"http://localhost:{port}"],
        # The suite has the server offer more as it goes, and nobody is there to approve of it.
        "catalogue.trust": "all",
        "catalogue.refresh_seconds": 1,
    }
    with ExitStack() as stack:
        server = stack.enter_context(serving())
        directory = tmp_path_factory.mktemp("conformance")
        how = {"speeches": {}, "urls": {"py": server.url}, "settings": settings, "facts": MAY_CALL}
        yield Passage(server, stack.enter_context(shared(directory, **how)))


@pytest.mark.parametrize("revision", REVISIONS)
def test_the_suite_finds_the_same_as_without_a_gateway(passage: Passage, revision: str) -> None:
    direct = run_server(passage.server.url, revision)
    seen_before, decided_before = seen(passage.server), passage.passed_on()
    through = passage.check(revision)
    arrived = seen(passage.server) - seen_before

    assert through.passing == direct.passing
    assert through.found == direct.found

    def miscounted() -> set[str]:
        recorded = passage.passed_on() - decided_before
        wrong = {method for method in recorded | arrived if recorded[method] != arrived[method]}
        # Who asks for a stream may be gone before that has reached the server.
        return wrong - {"GET"} if recorded["GET"] > arrived["GET"] else wrong

    # The last outcomes may not have been written yet.
    with suppress(TimeoutError):
        passage.rig.run(until(lambda: not miscounted()))
    assert miscounted() == set()


async def acted(scene: Scene) -> None:
    await act(scene.scenario, scene.revision, scene.url, scene.context)


@pytest.mark.parametrize(
    ("revision", "scenario"),
    [(revision, scenario) for revision, known in SCENES.items() for scenario in known],
)
def test_the_suite_finds_the_same_of_a_client_behind_the_gateway(
    tmp_path: Path, revision: str, scenario: str
) -> None:
    async def acted_through_a_gateway(scene: Scene) -> None:
        urls = {"py": scene.url}
        async with gateway(tmp_path, {}, urls=urls, facts=MAY_CALL) as rig:
            url = f"http://{rig.host}/servers/py/mcp"
            await act(scene.scenario, scene.revision, url, scene.context, rig.token(CALLER))

    async def story() -> tuple[Verdicts, Verdicts]:
        async with acting(acted) as straight, acting(acted_through_a_gateway) as round_about:
            direct, through = await asyncio.gather(
                *(
                    asyncio.to_thread(run_client, command, scenario, revision)
                    for command in (straight, round_about)
                )
            )
        return direct, through

    direct, through = asyncio.run(story())

    assert direct.is_passed
    assert through.is_passed
    # The gateway's own requests are checked as well, so there may be more to find.
    assert direct.passing <= through.passing
    assert through.failing == frozenset()
