"""T21, T25, R07: a change of the policy, of facts, of tokens or of a tool is in force at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from policies.model import Entity, Fact
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from tests.gateway.desk import offering, tool, tools_of
from tests.gateway.harness import Rig, gateway, may, shared, until
from tests.gateway.raw import ERAS, LEGACY, Said, asking, request
from tests.upstream.speaking import Message, Speech, gives, understood

ADMIN_URL = "http://localhost:8081"
each_era = pytest.mark.parametrize("era", ERAS)

GRANT = 'has_role(Client{"guest"}, "caller", Tool{"up__echo"});\n'


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("changes")) as rig:
        yield rig


async def call(rig: Rig, name: str = "echo", *, client: str = "guest", era: str = LEGACY) -> Said:
    return await rig.ask("tools/call", {"name": name}, version=era, client=client)


async def listed(rig: Rig, *, client: str = "ci", era: str = LEGACY) -> list[str]:
    said = await rig.ask("tools/list", version=era, client=client)
    assert said.status == 200
    return [one["name"] for one in said.message["result"]["tools"]]


# R07: the policy.


@asynccontextmanager
async def load_on(rig: Rig) -> AsyncIterator[list[Said]]:
    """Call from eight sides until the block ends; its value is all that was answered."""
    answers: list[Said] = []

    async def without_end(client: str) -> None:
        while True:
            answers.append(await call(rig, client=client))

    tasks = [asyncio.create_task(without_end(("ci", "guest")[n % 2])) for n in range(8)]
    try:
        yield answers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def broken(number: int) -> str:
    """Return a policy that is none, or breaks its own tests."""
    chance = random.Random(f"broken {number}")
    whole = (
        GRANT + 'test "x" {\n  assert_not allow(Client{"guest"}, "call", Tool{"up__wipe"});\n}\n'
    )
    match number % 4:
        case 0:
            return whole[: chance.randrange(5, 40)] + f"# {number}"
        case 1:
            return whole.replace("assert_not", "assert") + f"# {number}\n"
        case 2:
            at = chance.choice([at for at, sign in enumerate(GRANT) if sign in '"{}(),;'])
            return f"# {number}\n" + GRANT[:at] + GRANT[at + 1 :]
        case _:
            rule = 'has_permission(c: Client, "call", t: Tool) if has_role(c, "caller", t)'
            return f'{rule} and not argument(t, "a", {number});\n'


def test_broken_policies_under_load_leave_the_old_one_whole_and_a_right_one_is_taken(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with gateway(tmp_path, policy=GRANT) as rig:
            path = rig.directory / "policies" / "test.polar"
            first = rig.gateway.standing.grounds.bundle.version
            async with load_on(rig) as answers:
                for number in range(8):
                    refused = rig.log.getvalue().count('"policy_refused"')
                    path.write_text(broken(number), encoding="utf-8")
                    await until(
                        lambda refused=refused: (
                            rig.log.getvalue().count('"policy_refused"') > refused
                        )
                    )
                    assert rig.gateway.standing.grounds.bundle.version == first
                before = len(answers)
                path.write_text("# nobody is granted anything here\n", encoding="utf-8")
                await until(lambda: rig.log.getvalue().count('"policy_changed"') == 1, 2)
                changed = len(answers)
                await until(lambda: len(answers) > changed + 40)
            second = rig.gateway.standing.grounds.bundle.version

            assert {one.status for one in answers[:before]} == {200}
            assert {one.code for one in answers[:before]} == {None}
            assert {one.status for one in answers} == {200, 404}
            assert (await call(rig)).code == 40401
            policies = [one.payload["policy"] for one in rig.records()]
            assert policies == sorted(policies, key=[first, second].index)
            assert "test.polar:" in rig.log.getvalue()

    asyncio.run(story())


# T21: facts and tokens.


@each_era
def test_a_grant_and_its_end_are_in_force_with_the_next_call(rig: Rig, era: str) -> None:
    grant = may("guest", "caller", "Tool", "up__echo")

    async def story() -> None:
        assert (await call(rig, era=era)).code == 40401
        for _ in range(20):
            await rig.state(grant)
            assert (await call(rig, era=era)).code is None
            seen = rig.mark
            await rig.unstate(grant)
            assert (await call(rig, era=era)).code == 40401
            assert rig.mark == seen

    rig.run(story())


@each_era
@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (Fact("is_suspended", (Entity("Client", "ci"),)), 40401),
        (Fact("is_disabled", (Entity("Server", "up"),)), 40401),
        (Fact("is_disabled", (Entity("Tool", "up__echo"),)), -32602),
        (Fact("has_tag", (Entity("Tool", "up__echo"), "guarded")), 40301),
    ],
)
def test_what_is_taken_away_is_gone_with_the_next_call(
    rig: Rig, era: str, fact: Fact, code: int
) -> None:
    async def story() -> None:
        assert (await call(rig, client="ci", era=era)).code is None
        await rig.state(fact)
        seen = rig.mark
        assert (await call(rig, client="ci", era=era)).code == code
        assert rig.mark == seen
        await rig.unstate(fact)
        assert (await call(rig, client="ci", era=era)).code is None

    rig.run(story())


def admin_token(rig: Rig) -> str:
    plane = rig.gateway.tokens[Plane.CONTROL]
    wanted = TokenRequest(ActorType.USER, "admin", ADMIN_URL, 600, "northgate")
    return plane.issuer.issue(wanted).text.reveal().decode()


async def manage(rig: Rig, verb: str, path: str, body: bytes = b"") -> Said:
    headers = [
        ("Host", f"127.0.0.1:{rig.gateway.control[1]}"),
        ("Authorization", f"Bearer {admin_token(rig)}"),
        ("Content-Length", str(len(body))),
    ]
    headers += [("Content-Type", "application/json")] if body else []
    return await rig.say(request(verb, path, headers, body), plane="control")


@each_era
def test_a_revoked_token_is_refused_with_the_next_call(rig: Rig, era: str) -> None:
    async def story() -> None:
        issued = await manage(rig, "POST", "/api/v0/clients/ci/tokens", b"{}")
        assert issued.status == 201
        body, headers = asking("tools/call", {"name": "echo"}, version=era)
        headers.append(("Authorization", f"Bearer {issued.message['token']}"))
        assert (await rig.post(headers, body)).status == 200
        assert (await rig.post(headers, body)).status == 200
        seen = rig.mark

        path = f"/api/v0/tokens/{issued.message['token_id']}"
        assert (await manage(rig, "DELETE", path)).status == 200

        assert (await rig.post(headers, body)).status == 401
        assert rig.mark == seen
        # Nobody else's token ended with it.
        assert (await call(rig, client="ci", era=era)).status == 200

    rig.run(story())


# T25: the definitions of tools.

PINNED: Message = {
    "name": "pinned",
    "title": "Pinned",
    "description": "To pin.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}},
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
}
CHANGES: dict[str, Message] = {
    "title": {"title": "Pinned."},
    "description": {"description": "To pin!"},
    "space": {"description": "To pin. "},
    "schema": {"inputSchema": {"type": "object", "properties": {"b": {"type": "string"}}}},
    "output": {"outputSchema": {"type": "objects"}},
    "annotations": {"annotations": {"readOnlyHint": False}},
    "more": {"annotations": {"readOnlyHint": True, "openWorldHint": True}},
    "less": {"annotations": {}},
}
"""What changes of a tool, which has the name of its change."""

ALL: list[Message] = [PINNED, *(PINNED | {"name": name} for name in CHANGES)]


def offers(*more: Message) -> dict[str, Speech]:
    return {"tools/list": gives({"tools": [*tools_of(), *more]})}


@asynccontextmanager
async def pinned(directory: Path, trust: str = "first") -> AsyncIterator[Rig]:
    """Run a gateway that has approved `ALL` and looks again whenever it may."""
    speeches = {"up": offering() | offers(*ALL)}
    settings = {"catalogue.refresh_seconds": 1, "catalogue.trust": trust}
    async with gateway(directory, speeches, settings=settings) as rig:
        assert (await call(rig, "pinned", client="ci")).code is None
        yield rig


def methods(rig: Rig) -> list[str]:
    return [understood(raw)[0] for raw in rig.upstream.seen]


async def refreshed(rig: Rig) -> None:
    """Return when the catalogue was taken anew, which a name that is unknown causes."""
    before = rig.log.getvalue().count('"catalogue_refreshed"')
    async with asyncio.timeout(10):
        while rig.log.getvalue().count('"catalogue_refreshed"') == before:
            await call(rig, "unknown", client="ci")
            await asyncio.sleep(0.05)


def test_a_tool_whose_definition_changes_is_neither_listed_nor_called(tmp_path: Path) -> None:
    async def story() -> None:
        async with pinned(tmp_path) as rig:
            changed = [PINNED | {"name": name} | change for name, change in CHANGES.items()]
            with rig.saying(offers(PINNED, *changed)):
                await refreshed(rig)
                seen = rig.mark
                for name in CHANGES:
                    for era in ERAS:
                        said = await call(rig, name, client="ci", era=era)
                        assert said.message["error"]["message"] == f"Unknown tool: {name}"
                assert "tools/call" not in methods(rig)[seen:]
                assert await listed(rig) == [*(one["name"] for one in tools_of()), "pinned"]
            # As they were, they are as they were approved.
            await refreshed(rig)
            assert await listed(rig) == [one["name"] for one in (*tools_of(), *ALL)]
            for name in CHANGES:
                assert (await call(rig, name, client="ci")).code is None

    asyncio.run(story())


def test_a_definition_that_was_not_approved_is_not_shown_even_before_the_catalogue_knows_it(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with pinned(tmp_path) as rig:
            refreshes = rig.log.getvalue().count('"catalogue_refreshed"')
            with rig.saying(offers(PINNED | {"description": "To pin, and tell nobody."})):
                assert "pinned" not in await listed(rig)
                # And whoever saw it is not the last to know.
                async with asyncio.timeout(10):
                    while rig.log.getvalue().count('"catalogue_refreshed"') == refreshes:
                        assert "pinned" not in await listed(rig)
                        await asyncio.sleep(0.05)
                assert (await call(rig, "pinned", client="ci")).code == -32602

    asyncio.run(story())


def test_a_new_tool_is_not_there_until_it_is_approved(tmp_path: Path) -> None:
    async def story() -> None:
        async with pinned(tmp_path) as rig:
            with rig.saying(offers(PINNED, tool("fresh"))):
                await refreshed(rig)
                assert "fresh" not in await listed(rig)
                assert (await call(rig, "fresh", client="ci")).code == -32602

    asyncio.run(story())


def test_a_tool_that_went_and_came_back_changed_is_not_new(tmp_path: Path) -> None:
    async def story() -> None:
        async with pinned(tmp_path) as rig:
            with rig.saying(offers()):
                await refreshed(rig)
                assert (await call(rig, "pinned", client="ci")).code == -32602
            with rig.saying(offers(PINNED | {"title": "Back"})):
                await refreshed(rig)
                assert (await call(rig, "pinned", client="ci")).code == -32602
            await refreshed(rig)
            assert (await call(rig, "pinned", client="ci")).code is None

    asyncio.run(story())


def test_where_everything_is_trusted_a_new_tool_is_there_soon_after_it_was_listed(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with pinned(tmp_path, trust="all") as rig:
            with rig.saying(offers(PINNED, tool("fresh"))):
                names: list[str] = []
                async with asyncio.timeout(10):
                    while "fresh" not in names:
                        await asyncio.sleep(0.05)
                        names = await listed(rig)
                assert (await call(rig, "fresh", client="ci")).code is None

    asyncio.run(story())


def test_where_nothing_is_trusted_nothing_is_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, settings={"catalogue.trust": "none"}) as rig:
            assert await listed(rig) == []
            assert (await call(rig, client="ci")).code == -32602

    asyncio.run(story())
