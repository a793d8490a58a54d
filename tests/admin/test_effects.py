"""What is changed on the control plane, as agents notice it: with their next call, at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from tests.gateway.harness import Rig, shared
from tests.gateway.raw import ERAS, LEGACY, Said, request
from tests.gateway.streams import TOOLS, session_of, streaming, tuned

ADMIN_URL: Final = "http://localhost:8081"
BOT: Final = "bot"
each_era = pytest.mark.parametrize("era", ERAS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("effects")) as rig:
        yield rig


@pytest.fixture(autouse=True)
def _bot(rig: Rig) -> Iterator[None]:
    """Make the client `bot`, who may use the server `up`, for each test anew."""

    async def made() -> None:
        body = {"name": BOT, "allow_list": ["up"]}
        assert (await manage(rig, "POST", "/clients", body)).status == 201

    rig.run(made())
    yield
    rig.run(manage(rig, "DELETE", f"/clients/{BOT}"))


async def manage(rig: Rig, verb: str, path: str, body: object = None) -> Said:
    """Ask the control plane as its administrator."""
    plane = rig.gateway.tokens[Plane.CONTROL]
    wanted = TokenRequest(ActorType.USER, "admin", ADMIN_URL, 600, "northgate")
    token = plane.issuer.issue(wanted).text.reveal().decode()
    content = b"" if body is None else json.dumps(body).encode()
    headers = [
        ("Host", f"127.0.0.1:{rig.gateway.control[1]}"),
        ("Authorization", f"Bearer {token}"),
        ("Content-Length", str(len(content))),
        *([("Content-Type", "application/json")] if content else []),
    ]
    return await rig.say(request(verb, f"/api/v0{path}", headers, content), plane="control")


async def call(rig: Rig, era: str = LEGACY, *, name: str = "echo") -> Said:
    return await rig.ask("tools/call", {"name": name}, version=era, client=BOT)


CUTS: Final[dict[str, tuple[str, str, Any]]] = {
    "suspended": ("POST", f"/clients/{BOT}/suspend", {}),
    "all suspended": ("POST", "/clients/suspend-all", {}),
    "allowed nothing": ("PATCH", f"/clients/{BOT}", {"allow_list": []}),
    "revoked": (
        "DELETE",
        "/grants",
        {"actor": f"client:{BOT}", "role": "caller", "resource": "server:up"},
    ),
    "disabled": (
        "POST",
        "/facts",
        {"predicate": "is_disabled", "args": [{"type": "Server", "id": "up"}]},
    ),
}


async def restored(rig: Rig, cut: str) -> None:
    """Undo what a cut did to the server; the client is made anew anyway."""
    if cut == "disabled":
        assert (await manage(rig, "DELETE", "/facts", CUTS[cut][2])).status == 200


@each_era
@pytest.mark.parametrize("cut", CUTS)
def test_what_is_cut_off_reaches_nothing_from_the_next_call_on(
    rig: Rig, cut: str, era: str
) -> None:
    async def story() -> None:
        assert (await call(rig, era)).code is None
        seen = rig.mark
        assert (await manage(rig, *CUTS[cut])).status in {200, 201}
        said = await call(rig, era)
        assert (said.status, said.code) == (404, 40401)
        assert rig.mark == seen
        await restored(rig, cut)

    rig.run(story())


@pytest.mark.parametrize("cut", [*CUTS, "deleted"])
def test_the_streams_of_whoever_is_cut_off_end(rig: Rig, cut: str) -> None:
    async def story() -> None:
        session = await session_of(rig, BOT)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session, client=BOT) as (ear, channel):
                how = CUTS.get(cut, ("DELETE", f"/clients/{BOT}", None))
                if cut == "deleted":
                    # What is revoked is what was issued, so that the ledger knows it.
                    await manage(rig, "POST", f"/clients/{BOT}/tokens", {})
                assert (await manage(rig, *how)).status in {200, 201, 204}
                assert await ear.event() is None
                await channel.left()
        await restored(rig, cut)

    rig.run(story())


@each_era
def test_whoever_is_resumed_may_what_he_could(rig: Rig, era: str) -> None:
    async def story() -> None:
        await manage(rig, "POST", f"/clients/{BOT}/suspend", {})
        assert (await call(rig, era)).status == 404
        await manage(rig, "POST", f"/clients/{BOT}/resume", {})
        assert (await call(rig, era)).code is None

    rig.run(story())


@each_era
def test_a_pattern_or_a_lease_on_one_tool_is_enough_to_call_it_and_no_other(
    rig: Rig, era: str
) -> None:
    actor = f"client:{BOT}"
    pattern = {"actor": actor, "role": "caller", "resource": "matching:up__ec*"}
    lease = {"actor": actor, "role": "caller", "resource": "tool:up__wipe", "until": "1h"}

    async def story() -> None:
        await manage(rig, "PATCH", f"/clients/{BOT}", {"allow_list": []})
        for grant, allowed, other in ((pattern, "echo", "wipe"), (lease, "wipe", "fetch")):
            assert (await manage(rig, "POST", "/grants", grant)).status == 201
            assert (await call(rig, era, name=allowed)).code is None
            assert (await call(rig, era, name=other)).code == -32602
            named = {name: grant[name] for name in ("actor", "role", "resource")}
            assert (await manage(rig, "DELETE", "/grants", named)).status == 200
            assert (await call(rig, era, name=allowed)).status == 404

    rig.run(story())


def test_whoever_listens_is_told_when_his_allow_list_changes_what_he_sees(rig: Rig) -> None:
    async def story() -> None:
        session = await session_of(rig, BOT)
        with streaming(rig, "GET") as studio:
            async with tuned(rig, studio, session, client=BOT) as (ear, _):
                await call(rig)
                await manage(rig, "PATCH", f"/clients/{BOT}", {"allow_list": ["up__echo"]})
                assert (await ear.event())["method"] == TOOLS

    rig.run(story())


def test_the_grants_of_a_team_are_those_of_its_members_while_they_are_in_it(rig: Rig) -> None:
    async def story() -> None:
        await manage(rig, "POST", "/teams", {"name": "ops"})
        grant = {"actor": "team:ops", "role": "caller", "resource": "server:up"}
        await manage(rig, "POST", "/grants", grant)
        codes = []
        steps: tuple[tuple[str, str, Any], ...] = (
            ("PATCH", f"/clients/{BOT}", {"allow_list": []}),
            ("PATCH", f"/clients/{BOT}", {"teams": ["ops"]}),
            ("POST", "/teams/ops/suspend", {}),
            ("POST", "/teams/ops/resume", {}),
            ("PUT", f"/clients/{BOT}", {}),
        )
        for step in steps:
            assert (await manage(rig, *step)).status == 200
            codes.append((await call(rig)).code)
        assert codes == [40401, None, 40401, None, 40401]
        assert (await manage(rig, "DELETE", "/teams/ops")).status == 204

    rig.run(story())
