"""A server on which the policy is observed: what it denies is made and answered, and recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from policies.model import Entity, Fact
from proxy.identity.principal import ActorType
from storage.journal import Record
from tests.gateway.desk import DOCUMENTS, PROMPTS, TEMPLATES, TOOLS
from tests.gateway.harness import Rig, gateway, may
from tests.gateway.raw import LEGACY, MODERN, asking
from tests.gateway.registering import SERVERS, Control, another, called, tools, url_of
from tests.gateway.test_inability import full_disk
from tests.gateway.worlds import EYE, FEW, NOBODY, PUZZLED, answering

UP: Final = f"{SERVERS}/up"
WHY: Final = {"why": "rolling out"}
KEEPER: Final = (ActorType.USER, "keeper")
"""May administer servers, and not how the policy is enforced on them."""

DAY: Final = 86_400


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with answering(tmp_path_factory.mktemp("observed")) as rig:
        rule = Fact("is_suspended", (Entity("Client", "gone"),))
        rig.run(rig.state(rule, may("gone", "caller", "Server", "up")))
        yield rig


@asynccontextmanager
async def observed(rig: Rig, **more: object) -> AsyncIterator[Control]:
    """Have the server `up` observed until the block ends."""
    control = Control(rig)
    said = await control.ask("POST", f"{UP}/observe", WHY | more)
    assert said.status == 200, said.body
    try:
        yield control
    finally:
        assert (await control.ask("POST", f"{UP}/enforce", WHY)).status == 200


def newest(rig: Rig) -> Record:
    return rig.records()[-1]


def shown(record: Record) -> tuple[str, str, str, object]:
    payload = record.payload
    asked = f"{payload['action']} {payload['resource']['id']}"
    return asked, payload["verdict"], payload["reason"], payload.get("enforced")


CASES: Final[Mapping[str, tuple[str, str, dict[str, Any], str, str, str]]] = {
    "a tool that is seen": (
        "tools/call", EYE, {"name": "echo"}, MODERN, "call up__echo", "no_rule",
    ),
    "a tool that is hidden": (
        "tools/call", FEW, {"name": "wipe"}, MODERN, "call up__wipe", "not_visible",
    ),
    "a tool of a server that is hidden": (
        "tools/call", NOBODY, {"name": "wipe"}, LEGACY, "call up__wipe", "not_visible",
    ),
    "a prompt": ("prompts/get", FEW, {"name": "plot"}, MODERN, "get up__plot", "not_visible"),
    "a document": (
        "resources/read", FEW, {"uri": "note://two"}, LEGACY, "read up|note://two", "not_visible",
    ),
    "a completion of a prompt": (
        "completion/complete", EYE,
        {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "a", "value": ""}},
        MODERN, "complete up__greet", "no_rule",
    ),
    "a completion of a template": (
        "completion/complete", FEW,
        {"ref": {"type": "ref/resource", "uri": "plan://{id}"},
         "argument": {"name": "id", "value": ""}},
        LEGACY, "complete up|plan://{id}", "not_visible",
    ),
    "a level of the log": (
        "logging/setLevel", EYE, {"level": "info"}, LEGACY, "set_log_level up", "no_rule",
    ),
    "a list": ("tools/list", NOBODY, {}, MODERN, "connect up", "not_visible"),
    "an introduction": ("server/discover", NOBODY, {}, MODERN, "connect up", "not_visible"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("method", "client", "params", "version", "asked", "reason"), CASES.values(), ids=CASES.keys()
)
def test_what_is_denied_is_made_while_the_server_is_observed_and_not_before_or_after(
    rig: Rig,
    method: str,
    client: str,
    params: dict[str, Any],
    version: str,
    asked: str,
    reason: str,
) -> None:
    async def ask() -> tuple[bool, int]:
        mark, more = rig.mark, [rig.session(client)] if version == LEGACY else []
        said = await rig.ask(method, params, client=client, version=version, more=more)
        return "result" in said.message, rig.mark - mark

    async def story() -> None:
        assert await ask() == (False, 0)
        assert newest(rig).payload["verdict"] == "deny"
        assert "enforced" not in newest(rig).payload
        async with observed(rig):
            assert await ask() == (True, 1)
            record = next(one for one in reversed(rig.records()) if one.payload["server"] == "up")
            assert shown(record) == (asked, "deny", reason, False)
            assert (await rig.outcome_of(record))["status"] == 200
        assert await ask() == (False, 0)

    rig.run(story())


def test_lists_show_all_that_the_server_offers(rig: Rig) -> None:
    lists = {
        "tools": ("tools/list", "name", TOOLS),
        "prompts": ("prompts/list", "name", PROMPTS),
        "resources": ("resources/list", "uri", DOCUMENTS),
        "resourceTemplates": ("resources/templates/list", "uriTemplate", TEMPLATES),
    }

    async def story() -> None:
        async with observed(rig):
            for listed, (method, key, wanted) in lists.items():
                said = await rig.ask(method, client=NOBODY)
                assert [one[key] for one in said.message["result"][listed]] == [*wanted]
        assert await tools(rig, "up", client=NOBODY) is None
        assert await tools(rig, "up", client=FEW) == ["echo"]

    rig.run(story())


REFUSED: Final[Mapping[str, tuple[str, dict[str, Any], tuple[int, int]]]] = {
    "an unknown tool": (NOBODY, {"name": "none"}, (200, -32602)),
    "a name that no policy can speak of": (NOBODY, {"name": "e\u0301cho"}, (200, -32602)),
    "what cannot be decided": (PUZZLED, {"name": "fetch"}, (503, 50301)),
    "who is suspended": ("gone", {"name": "echo"}, (404, 40401)),
}


@pytest.mark.parametrize(("client", "params", "wanted"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_want_of_a_rule_is_refused_on_an_observed_server_too(
    rig: Rig, client: str, params: dict[str, Any], wanted: tuple[int, int]
) -> None:
    async def story() -> None:
        async with observed(rig):
            mark = rig.mark
            said = await rig.ask("tools/call", params, client=client)
            assert (said.status, said.code) == wanted
            assert "enforced" not in newest(rig).payload
            assert rig.mark == mark

    rig.run(story())


def test_messages_and_tokens_that_are_no_good_are_refused_on_an_observed_server_too(
    rig: Rig,
) -> None:
    async def story() -> None:
        body, headers = asking("tools/call", {"name": "echo"})
        bearer = ("Authorization", rig.bearer(NOBODY))
        async with observed(rig) as control:
            mark = rig.mark
            unknown = [("Authorization", "Bearer not.a.token"), *headers]
            assert (await rig.post(unknown, body)).status == 401
            assert (await rig.post([bearer, *headers], body[:-1])).code == -32700
            assert (await rig.ask("no/such", client=NOBODY)).status == 404
            assert await called(rig, "none", client=NOBODY) == (404, 40401)
            disabled = await control.ask("POST", "/api/v0/tools/disable", {"entity": "up__wipe"})
            assert disabled.status == 200
            assert await called(rig, "up", "wipe", client=FEW) == (200, -32602)
            assert await tools(rig, "up", client=NOBODY) == ["echo", "fetch", "mirror"]
            await control.ask("POST", "/api/v0/tools/enable", {"entity": "up__wipe"})
            assert rig.mark == mark + 1  # the list
            with full_disk():
                assert await called(rig, "up", client=NOBODY) == (503, 50302)
            assert rig.mark == mark + 1
            async with asyncio.timeout(10):
                while await called(rig, "up", client=NOBODY) != (200, None):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    rig.run(story())


def changes(rig: Rig) -> list[tuple[Any, ...]]:
    payloads = [one.payload for one in rig.records("change")]
    return [
        (one["what"], one["who"]["id"], one["why"], one["before"], one["after"])
        for one in payloads
        if one["what"] in ("server.observed", "server.enforced")
    ]


def test_every_change_is_recorded_and_shown_and_one_that_changes_nothing_is_not(
    rig: Rig,
) -> None:
    async def shown_() -> dict[str, Any]:
        said = await Control(rig).ask("GET", UP)
        return {key: said.message[key] for key in ("enforcement", "observed_until")}

    async def story() -> None:
        count = len(changes(rig))
        enforced = {"enforcement": "enforce", "observed_until": None}
        assert await shown_() == enforced
        async with observed(rig, until="7d") as control:
            ending = await shown_()
            assert abs(ending["observed_until"] - time.time() - 7 * DAY) < 60
            lasting = {"enforcement": "observe", "observed_until": None}
            for _ in range(2):
                said = await control.ask("POST", f"{UP}/observe", {"why": "longer"})
                assert said.message == {"name": "up", **lasting}
            assert await shown_() == lasting
            assert "northgate_servers_observed 1.0" in await rig.metrics()
        for _ in range(2):
            said = await control.ask("POST", f"{UP}/enforce", {})
            assert said.message == {"name": "up", **enforced}
        states = [{"name": "up", **one} for one in (enforced, ending, lasting, enforced)]
        assert changes(rig)[count:] == [
            ("server.observed", "admin", "rolling out", states[0], states[1]),
            ("server.observed", "admin", "longer", states[1], states[2]),
            ("server.enforced", "admin", "rolling out", states[2], states[3]),
        ]
        assert "northgate_servers_observed 0.0" in await rig.metrics()

    rig.run(story())


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("up/observe", {}, (422, "why")),
        ("up/observe", {"why": ""}, (422, "why")),
        ("up/observe", WHY | {"until": "91d"}, (422, "until")),
        ("up/observe", WHY | {"until": "2001-01-01T00:00:00Z"}, (422, "until")),
        ("up/observe", WHY | {"until": "soon"}, (422, "until")),
        ("none/observe", WHY, (404, None)),
        ("none/enforce", WHY, (404, None)),
    ],
)
def test_what_cannot_be_is_said_so(
    rig: Rig, path: str, body: object, wanted: tuple[int, str | None]
) -> None:
    async def story() -> None:
        count = len(changes(rig))
        said = await Control(rig).ask("POST", f"{SERVERS}/{path}", body)
        fields = [one["field"] for one in said.message.get("problems", ())]
        assert (said.status, *fields) == (wanted[0], *filter(None, wanted[1:]))
        assert len(changes(rig)) == count

    rig.run(story())


def test_who_may_administer_servers_may_not_for_that_change_how_the_policy_is_enforced(
    tmp_path: Path,
) -> None:
    policy = f"""
    has_permission(user: User, "manage_servers", _: Gateway) if user = User{{"{KEEPER[1]}"}};
    """

    async def story() -> None:
        async with gateway(tmp_path, policy=policy, facts=()) as rig:
            control = Control(rig)
            for verb in ("observe", "enforce"):
                said = await control.ask("POST", f"{UP}/{verb}", WHY, who=KEEPER)
                assert (said.status, said.message["code"]) == (403, "not-allowed")
                assert shown(newest(rig))[0] == "change_enforcement northgate"
            assert (await control.ask("POST", f"{UP}/disable", WHY, who=KEEPER)).status == 200
            await control.ask("POST", f"{UP}/enable", WHY, who=KEEPER)
            said = await control.ask(
                "POST",
                "/api/v0/facts",
                {"predicate": "is_observed", "args": [{"type": "Server", "id": "up"}]},
            )
            assert said.status == 422
            assert await called(rig, "up", client=NOBODY) == (404, 40401)

    asyncio.run(story())


def test_a_server_that_goes_takes_its_observation_with_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, facts=()) as rig, another() as (_, listener):
            control = Control(rig)
            assert (await control.register("extra", url_of(listener))).status == 201
            said = await control.ask("POST", f"{SERVERS}/extra/observe", WHY)
            assert said.status == 200
            assert await called(rig, "extra", client=NOBODY) == (200, None)
            assert (await control.ask("DELETE", f"{SERVERS}/extra")).status == 204
            said = await control.register("extra", url_of(listener))
            assert said.message["server"]["enforcement"] == "enforce"
            assert await called(rig, "extra", client=NOBODY) == (404, 40401)

    asyncio.run(story())


def test_a_start_with_observed_servers_says_so_and_keeps_observing(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path, facts=()) as rig:
            assert "servers_observed" not in rig.log.getvalue()
            await Control(rig).ask("POST", f"{UP}/observe", WHY)
        async with gateway(tmp_path, facts=()) as rig:
            said = '"level":"warning","event":"servers_observed","servers":["up"]'
            assert said in rig.log.getvalue()
            assert await called(rig, "up", client=NOBODY) == (200, None)

    asyncio.run(story())


def test_observed_denials_are_listed_and_counted_and_found_in_the_database(rig: Rig) -> None:
    async def story() -> None:
        async with observed(rig) as control:
            await called(rig, "up", "plot", client=NOBODY)
            assert await called(rig, "up", "mirror", client=EYE) == (200, None)
            record = newest(rig)
            query = {"enforced": "false", "server": "up"}

            async def found() -> list[str]:
                said = await control.ask("GET", "/api/v0/decisions", query=query)
                assert said.status == 200, said.body
                assert {one["record"]["enforced"] for one in said.message["decisions"]} <= {False}
                return [one["record"]["id"] for one in said.message["decisions"]]

            async with asyncio.timeout(10):
                while record.id not in await found():  # noqa: ASYNC110  the copy has no event
                    await asyncio.sleep(0.05)
            assert (
                'northgate_decisions_observed_total{action="call",reason="no_rule",server="up"}'
                in await rig.metrics()
            )

    rig.run(story())
