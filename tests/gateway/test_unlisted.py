"""What an upstream does not name plainly is not shown, and what it never told is not known."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from policies.model import Entity, Fact
from tests.gateway.desk import hangs_up, offering, tool, tools_of
from tests.gateway.harness import CI, gateway, may
from tests.gateway.raw import ERAS
from tests.upstream.speaking import gives

each_era = pytest.mark.parametrize("era", ERAS)


@each_era
@pytest.mark.parametrize(
    ("member", "is_listed"),
    [("Name", False), ("name\0", False), ("\uff4eame", False), ("names", True), ("Titel", True)],
)
def test_an_item_is_listed_unless_a_member_may_be_read_as_its_name(
    tmp_path: Path, era: str, member: str, *, is_listed: bool
) -> None:
    async def story() -> list[str]:
        async with gateway(tmp_path) as rig:
            listed = [*tools_of(["fetch"]), tool("echo", **{member: "fetch"})]
            with rig.saying({"tools/list": gives({"tools": listed, "resultType": "complete"})}):
                said = await rig.ask("tools/list", version=era)
            return [one["name"] for one in said.message["result"]["tools"]]

    assert ("echo" in asyncio.run(story())) is is_listed


@each_era
def test_a_tool_of_a_server_that_never_told_what_it_offers_is_undecided(
    tmp_path: Path, era: str
) -> None:
    silent = dict.fromkeys(offering(), hangs_up)

    async def story() -> tuple[int, int | None, str]:
        async with gateway(tmp_path, {"up": silent}) as rig:
            said = await rig.ask("tools/call", {"name": "echo"}, version=era)
            return said.status, said.code, rig.records()[-1].payload["verdict"]

    assert asyncio.run(story()) == (503, 50301, "undecided")


def test_a_question_that_takes_longer_than_the_setting_says_is_undecided(tmp_path: Path) -> None:
    policy = """
    declare number(Integer);
    has_permission(client: Client, "call", tool: Tool) if
      client = Client{"ci"} and tool = Tool{"up__fetch"}
      and number(a) and number(b) and a > b and number(c) and b > c and c > a;
    """
    facts = [may(CI, "viewer", "Server", "up"), *(Fact("number", (n,)) for n in range(120))]
    facts.append(Fact("has_tag", (Entity("Tool", "up__fetch"), "slow")))

    async def story(milliseconds: int) -> int | None:
        settings = {"pdp.deadline_ms": milliseconds}
        place = tmp_path / str(milliseconds)
        async with gateway(place, policy=policy, settings=settings, facts=facts) as rig:
            return (await rig.ask("tools/call", {"name": "fetch"})).code

    assert asyncio.run(story(1)) == 50301
    assert asyncio.run(story(60_000)) == 40301
