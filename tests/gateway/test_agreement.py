"""What is listed and what may be used agree, whatever policy and grants are (`What may be listed`).

Nothing that can be used is hidden; what is listed is refused for its arguments or the caller's role
alone; and what is not listed is always refused in the very words for what does not exist.
"""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from policies.model import Entity, Fact
from tests.gateway.desk import document, offering, prompt, template, tool
from tests.gateway.harness import Rig, may, shared
from tests.gateway.raw import ERAS, MODERN, Said
from tests.upstream.scripted import SSE, whole
from tests.upstream.speaking import Message, Speech, error_of, gives, result_of, written

TOOLS: Final = ("get_issue", "create_issue", "fetch", "read_file", "refund", "wipe")
PROMPTS: Final = ("greet", "review", "plot")
LISTED: Final = (
    "note://one",
    "note://two",
    "note://sub/three",
    "plan://a",
    "file:///srv/reports/q1",
    "file:///srv/secret/key",
    "https://docs.example/a/b",
)
UNLISTED: Final = (
    "note://nine",
    "note://sub/nine",
    "plan://z",
    "file:///srv/reports/q9",
    "file:///srv/secret/nine",
    "https://docs.example/c/d",
)
"""Documents that the upstream has and does not list."""

OTHERS: Final = (
    "note://sub",
    "note://other",
    "note://sub/other",
    "plan://other",
    "file:///srv/reports/other",
    "file:///srv/secret/other",
    "file:///srv/other",
    "https://docs.example/other/one",
)
"""Documents of which nothing is known: no grant and no list names them."""

ALL: Final = LISTED + UNLISTED + OTHERS

EXPANSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "note://{id}": tuple(one for one in ALL if one[:7] == "note://" and "/" not in one[7:]),
    "note://sub/{id}": tuple(one for one in ALL if one.startswith("note://sub/")),
    "plan://{id}": tuple(one for one in ALL if one.startswith("plan://")),
    "file:///srv/reports/{name}": tuple(one for one in ALL if one[:20] == "file:///srv/reports/"),
    "file:///srv/{+path}": tuple(one for one in ALL if one.startswith("file:///srv/")),
    "https://docs.example/{a}/{b}": tuple(one for one in ALL if one.startswith("https://docs.")),
}
"""The templates, and what of all documents each may stand for."""

WORLDS: Final = 24
ALONE: Final = (
    "a grant", "a lease", "a grant in the policy", "a rule", "the head of a rule",
    "a rule", "a grant", "the head of a rule", "a lease", "a grant in the policy",
)  # fmt: skip
"""How a client comes to see a document that no list names; the era goes by the place."""

ABSENT: Final = "none://absent"
TOOL_ARGUMENTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"url": "https://ok.example/", "amount": 5, "path": "/srv/reports/x", "x": 1},
)
PROMPT_ARGUMENTS: Final[tuple[dict[str, Any], ...]] = ({}, {"text": "okay"})
TEAM: Final = Entity("Team", "crew")
LONG_AGO, NOT_YET = 1, 4_000_000_000

NAMED: Final = {
    "tools/list": ("tools", "name"),
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
}


VARIABLE: Final = re.compile(r"\{\+?(\w+)\}")


def leading(text: str) -> list[str]:
    """Return what the upstream offers to complete the first variable of a template with."""
    prefix = text[: text.index("{")]
    if text.count("{") > 1:
        return ["a", "c"]
    return [uri.removeprefix(prefix) for uri in EXPANSIONS[text]]


def leads_to(text: str, value: str) -> str | None:
    """Return the document that *value* completes a template to; None if more is needed."""
    return None if text.count("{") > 1 else text[: text.index("{")] + value


def completes(asked: Message) -> bytes:
    ref = asked["params"]["ref"]
    values = leading(ref["uri"]) if ref["type"] == "ref/resource" else ["some"]
    completion = {"values": values, "total": len(values), "hasMore": False}
    return whole(written(result_of(asked, {"completion": completion})))


def reads(asked: Message) -> bytes:
    uri = asked["params"]["uri"]
    if uri not in ALL and not uri.startswith("alone-"):
        return whole(written(error_of(asked, -32002)))
    return whole(written(result_of(asked, {"contents": [{"uri": uri, "text": "A note."}]})))


OFFERS: Final[dict[str, list[Message]]] = {
    "tools/list": [tool(one) for one in TOOLS],
    "prompts/list": [prompt(one) for one in PROMPTS],
    "resources/list": [document(one) for one in LISTED],
    "resources/templates/list": [
        template(one) for one in (*EXPANSIONS, *(f"alone-{n}://{{id}}" for n in range(len(ALONE))))
    ],
}
SPEECHES: Final[dict[str, Speech]] = {
    **offering(),
    **{method: gives({NAMED[method][0]: items}) for method, items in OFFERS.items()},
    "resources/read": reads,
    "completion/complete": completes,
    "resources/subscribe": gives({}),
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    worlds = [*map(World.drawn, range(WORLDS)), *(alone(n, how) for n, how in enumerate(ALONE))]
    # Each rule is about the client of its world, so that one policy can hold the rules of all.
    policy = "\n\n".join(rule for one in worlds for rule in one.rules)
    how: dict[str, Any] = {
        "speeches": {"up": SPEECHES},
        "facts": (may("ci", "caller", "Server", "up"),),
        "policy": policy,
    }
    with shared(tmp_path_factory.mktemp("agreement"), **how) as rig:
        yield rig


# Policies and grants, drawn by chance.


def permission(action: str, type_: str, condition: str) -> str:
    """Return a rule that permits the client of a world, called WHO until then, to do *action*."""
    head = f'has_permission(client: Client, "{action}", item: {type_})'
    return f'{head} if client = Client{{"WHO"}} and {condition};'


RULES: Final = (
    permission("read", "Document", 'uri_under(item, "file:///srv/reports")'),
    permission("read", "Document", 'uri_matches(item, "note://*")'),
    permission("read", "Document", 'uri_matches(item, "**/secret/*")'),
    permission("list", "Document", 'uri_under(item, "https://docs.example")'),
    permission(
        "read", "Document", 'has_role(client, "viewer", item) and uri_under(item, "note://sub")'
    ),
    permission(
        "complete", "Document", 'has_role(client, "viewer", item) and uri_under(item, "plan://")'
    ),
    permission("read", "Document", 'item = Document{"up|plan://z"}'),
    'has_role(Client{"WHO"}, "caller", Document{"up|plan://z"});',
    'has_role(Client{"WHO"}, "viewer", Document{"up|note://sub/nine"});',
    'has_role(Client{"WHO"}, "caller", Tool{"up__wipe"});',
    permission("call", "Tool", 'argument(item, "x", 1)'),
    permission("call", "Tool", 'has_role(client, "viewer", item) and argument_present(item, "x")'),
    permission("get", "Prompt", 'argument_matches(item, "text", "ok*")'),
    permission("complete", "Prompt", 'has_role(client, "viewer", item)'),
)
GLOBS: Final = ("up__*", "up__get_*", "up__re*", "up|note://*", "up|file:///srv/**", "**")
LIMITS: Final = (
    Fact("allowed_host", (Entity("Tool", "up__fetch"), "ok.example")),
    Fact("amount_limit", (Entity("Tool", "up__refund"), 10)),
    Fact("allowed_directory", (Entity("Tool", "up__read_file"), "/srv/reports")),
)
THINGS: Final = (
    *(Entity("Tool", f"up__{one}") for one in TOOLS),
    *(Entity("Prompt", f"up__{one}") for one in PROMPTS),
    *(Entity("Document", f"up|{one}") for one in (*LISTED, *UNLISTED, *EXPANSIONS)),
)


@dataclass(frozen=True)
class World:
    """Rules and facts about one client, in one era, and how lists are carried."""

    client: str
    era: str
    carrier: str
    rules: tuple[str, ...]
    facts: tuple[Fact, ...]

    @classmethod
    def drawn(cls, number: int) -> World:
        chance = random.Random(f"world {number}")
        client = f"client-{number}"
        rules = tuple(one.replace("WHO", client) for one in RULES if chance.random() < 0.15)
        facts = (*granted(chance, client), *hindered(chance, client))
        carrier = "json" if number % 4 < 2 else "stream"
        return cls(client, ERAS[number % 2], carrier, rules, facts)


def granted(chance: random.Random, client: str) -> Iterator[Fact]:
    own = Entity("Client", client)
    if chance.random() < 0.9:
        yield may(client, "viewer", "Prompt", "up__plot")  # else mostly nobody may connect
    if chance.random() < 0.4:
        yield Fact("has_relation", (own, "team", TEAM))
    density = chance.choice((0.02, 0.1, 0.25))
    for thing in (*THINGS, Entity("Server", "up")):
        for actor in (own, TEAM):
            for role in ("caller", "viewer"):
                if chance.random() < density / (1 if thing.type != "Server" else 3):
                    yield Fact("has_role", (actor, role, thing))
        if chance.random() < density / 3:
            until = chance.choice((LONG_AGO, NOT_YET))
            yield Fact("lease", (own, chance.choice(("caller", "viewer")), thing, until))
    for glob in GLOBS:
        if chance.random() < 0.08:
            role = chance.choice(("caller", "viewer"))
            yield Fact("has_role_matching", (own, role, glob))


def hindered(chance: random.Random, client: str) -> Iterator[Fact]:
    for thing in THINGS:
        if chance.random() < 0.15:
            yield Fact("has_tag", (thing, "guarded"))
        if chance.random() < 0.08:
            yield Fact("is_disabled", (thing,))
    if chance.random() < 0.5:
        yield from LIMITS
    if chance.random() < 0.05:
        yield Fact("is_suspended", (Entity("Client", client),))
    if chance.random() < 0.2:
        yield Fact("is_suspended", (TEAM,))
    if chance.random() < 0.05:
        yield Fact("is_disabled", (Entity("Server", "up"),))


# What a client can find out.


@dataclass(frozen=True)
class Eyes:
    """One client of a world."""

    rig: Rig
    world: World

    async def ask(self, method: str, **params: Any) -> Said:  # noqa: ANN401  JSON
        world = self.world
        return await self.rig.ask(method, params, client=world.client, version=world.era)

    async def listed(self, method: str) -> set[str]:
        member, key = NAMED[method]
        with self.rig.saying({method: carried(self.world.carrier, {member: OFFERS[method]})}):
            said = await self.ask(method)
        assert said.is_stream is (self.world.carrier == "stream")
        return {one[key] for one in said.message["result"][member]}

    async def read(self, uri: str) -> Said:
        return await self.ask("resources/read", uri=uri)

    async def complete(self, ref: Message, name: str = "id") -> Said:
        return await self.ask("completion/complete", ref=ref, argument={"name": name, "value": ""})


def carried(carrier: str, result: object) -> Speech:
    if carrier == "json":
        return gives(result)
    return lambda asked: whole(b"data: %b\n\n" % written(result_of(asked, result)), media=SSE)


def blank(said: Said, name: str) -> tuple[int, bytes]:
    """Return what was said, but for the name that was asked about."""
    return said.status, said.body.replace(name.encode(), b"@")


def agree(name: str, answers: list[Said], absent: list[Said], *, is_listed: bool) -> None:
    """Check the *answers* about something called *name* against what is said of `absent`."""
    codes = {one.code for one in answers}
    if is_listed:
        assert codes <= {None, 40301}, name
    else:
        same = {blank(one, "absent") for one in absent}
        assert {blank(one, name) for one in answers} == same, name


# The properties.


async def check_items(eyes: Eyes, kind: str) -> None:
    method, use, argument_sets = {
        "tools": ("tools/list", "tools/call", TOOL_ARGUMENTS),
        "prompts": ("prompts/list", "prompts/get", PROMPT_ARGUMENTS),
    }[kind]

    async def uses(name: str) -> list[Said]:
        return [await eyes.ask(use, name=name, arguments=one) for one in argument_sets]

    listed, absent = await eyes.listed(method), await uses("absent")
    assert {one.code for one in absent} == {-32602}
    for name in TOOLS if kind == "tools" else PROMPTS:
        agree(name, await uses(name), absent, is_listed=name in listed)
        if kind == "prompts":
            said = await eyes.complete({"type": "ref/prompt", "name": name})
            nobody = await eyes.complete({"type": "ref/prompt", "name": "absent"})
            agree(name, [said], [nobody], is_listed=name in listed)


async def check_documents(eyes: Eyes) -> set[str]:
    """Return the documents that may be seen, as far as reading them tells."""
    hidden = -32602 if eyes.world.era == MODERN else -32002
    listed, visible = await eyes.listed("resources/list"), set()
    # What the upstream itself says of what it does not have, to one who may read everything.
    absent = await eyes.rig.ask("resources/read", {"uri": ABSENT}, version=eyes.world.era)
    for uri in ALL:
        said = [await eyes.read(uri)]
        if eyes.world.era != MODERN:
            said.append(await eyes.ask("resources/subscribe", uri=uri))
        codes = {one.code for one in said}
        if hidden not in codes:
            visible.add(uri)
            assert codes <= {None, 40301}, uri
        else:
            assert {blank(one, uri) for one in said} == {blank(absent, ABSENT)}, uri
    assert listed == visible & {*LISTED}
    return visible


async def check_templates(eyes: Eyes, visible: set[str]) -> None:
    listed = await eyes.listed("resources/templates/list")
    own = {
        one.id.partition("|")[2]
        for fact in eyes.world.facts
        for one in fact.args
        if fact.predicate in ("has_role", "lease") and isinstance(one, Entity)
    }
    absent = await eyes.complete({"type": "ref/resource", "uri": "none://{id}"})
    for text, expansions in EXPANSIONS.items():
        if visible & {*expansions}:
            assert text in listed, f"{text} is hidden and leads somewhere"
        elif text in listed and "uri_matches(" not in "".join(eyes.world.rules):
            # Of a glob only the beginning is compared, which may show a template too many.
            assert text in own, f"{text} is shown and leads nowhere"
        said = await eyes.complete({"type": "ref/resource", "uri": text}, VARIABLE.findall(text)[0])
        if said.code is None:
            assert text in listed, f"{text} is hidden and completed"
            assert said.message["result"]["completion"] == {
                "values": [one for one in leading(text) if leads_to(text, one) in visible | {None}],
                "hasMore": False,
            }
        elif text not in listed:
            assert blank(said, text) == blank(absent, "none://{id}"), text


@pytest.mark.parametrize("number", range(WORLDS))
def test_what_is_listed_may_be_used_and_what_may_be_used_is_listed(rig: Rig, number: int) -> None:
    world = World.drawn(number)
    eyes = Eyes(rig, world)

    async def story() -> None:
        async with judged(eyes):
            if (await eyes.ask("tools/list")).status == 404:
                await check_nothing(eyes)
                return
            await check_items(eyes, "tools")
            await check_items(eyes, "prompts")
            await check_templates(eyes, await check_documents(eyes))

    rig.run(story())


@asynccontextmanager
async def judged(eyes: Eyes) -> AsyncIterator[None]:
    """Let the facts of a world hold until the block ends."""
    await eyes.rig.state(*eyes.world.facts)
    try:
        yield
    finally:
        await eyes.rig.unstate(*eyes.world.facts)


async def check_nothing(eyes: Eyes) -> None:
    """Check that a client which may not connect may do nothing at all."""
    said = [await eyes.ask(method) for method in NAMED]
    said += [await eyes.ask("tools/call", name=one) for one in TOOLS]
    said += [await eyes.ask("prompts/get", name=one) for one in PROMPTS]
    said += [await eyes.read(one) for one in ALL]

    assert {(one.status, one.code) for one in said} == {(404, 40401)}


# What no list names.


def alone(number: int, how: str) -> World:
    """Return a world whose client may see one document of its own, by a fact or rule *how*."""
    client, uri = Entity("Client", f"alone-{number}"), f"alone-{number}://it"
    it = Entity("Document", f"up|{uri}")
    known = {
        "a grant": Fact("has_role", (client, "viewer", it)),
        "a lease": Fact("lease", (client, "caller", it, NOT_YET)),
    }
    head = 'has_permission(client: Client, "list", '
    rules = {
        "a grant in the policy": f'has_role(Client{{"WHO"}}, "caller", Document{{"{it.id}"}});',
        "a rule": permission("read", "Document", f'item = Document{{"{it.id}"}}'),
        "the head of a rule": f'{head}Document{{"{it.id}"}}) if client = Client{{"WHO"}};',
    }
    rule = rules.get(how, "").replace("WHO", client.id)
    facts = (
        may(client.id, "viewer", "Prompt", "up__plot"),
        *([known[how]] if how in known else []),
    )
    return World(client.id, ERAS[number % 2], "json", (rule,), facts)


@pytest.mark.parametrize("number", range(len(ALONE)))
def test_a_template_is_shown_to_whoever_may_see_a_document_that_no_list_names(
    rig: Rig, number: int
) -> None:
    eyes = Eyes(rig, alone(number, ALONE[number]))

    async def story() -> None:
        async with judged(eyes):
            assert (await eyes.read(f"alone-{number}://it")).code in (None, 40301)
            assert await eyes.listed("resources/templates/list") == {f"alone-{number}://{{id}}"}

    rig.run(story())
