"""What an upstream offers is walked to its end, weighed, and told apart from what changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest

from proxy.upstream.addresses import upstream
from proxy.upstream.conversation import RefusedRequestError, converse
from proxy.upstream.http import Pool
from proxy.upstream.offers import (
    MAX_ITEMS,
    MAX_PAGES,
    Offers,
    OffersError,
    definition_hash,
    take_offers,
    traits,
)
from tests.live.servers import Server, dual_era, everything
from tests.upstream.scripted import whole
from tests.upstream.speaking import (
    EVERYTHING,
    Message,
    Speech,
    conversing,
    events,
    gives,
    methods,
    modern,
    refuses,
    result_of,
    written,
)


async def taken(
    speeches: Mapping[str, Speech], *, verbatim: Collection[str] = ()
) -> tuple[Offers, list[str]]:
    async with conversing(speeches) as (conversation, listener):
        offers = await take_offers(conversation, "web", verbatim=verbatim)
    return offers, methods(listener)


def tools(*items: object, **others: object) -> Offers:
    """Return the offers of an upstream that has these tools."""
    speeches = {**modern(tools={}), "tools/list": gives({"tools": list(items), **others})}
    return asyncio.run(taken(speeches))[0]


def listing(**lists: list[object]) -> Offers:
    named = {
        "tools": "tools/list",
        "prompts": "prompts/list",
        "resources": "resources/list",
        "resourceTemplates": "resources/templates/list",
    }
    answers = {method: gives({name: lists.get(name, [])}) for name, method in named.items()}
    return asyncio.run(taken({**modern(**EVERYTHING), **answers}))[0]


def names(offers: Offers) -> list[str]:
    return [offer.name for offer in offers.items]


def pages(*contents: list[object], cursors: list[object]) -> Speech:
    """Answer each cursor in turn with its page; the first is asked for without one."""
    order: list[object] = [None, *cursors]

    def speech(asked: Message) -> bytes:
        place = order.index(asked["params"].get("cursor"))
        page: dict[str, object] = {"tools": contents[place]}
        if place < len(cursors):
            page["nextCursor"] = cursors[place]
        return whole(written(result_of(asked, page)))

    return speech


# Real servers.

Serving = Callable[[], AbstractContextManager[Server]]

EXPECTED: dict[Serving, dict[str, Any]] = {
    everything: {
        "version": "2025-11-25",
        "tool": {"echo", "get-sum", "get-env"},
        "prompt": {"simple-prompt", "args-prompt"},
        "resource": {"demo://resource/static/document/features.md"},
        "template": {"demo://resource/dynamic/text/{resourceId}"},
    },
    dual_era: {
        "version": "2026-07-28",
        "tool": {"echo", "add", "fetch", "slow", "fail"},
        "prompt": {"greet"},
        "resource": {"note://static"},
        "template": {"note://{id}"},
    },
}


@pytest.mark.parametrize("serving", EXPECTED, ids=["everything", "dual_era"])
def test_a_real_server_offers_the_same_twice(serving: Serving) -> None:
    async def walk(url: str) -> Offers:
        pool = Pool(upstream(url, loopback=True))
        try:
            async with converse(pool, [], deadline=20) as conversation:
                return await take_offers(conversation, "web")
        finally:
            pool.close()

    with serving() as server:
        first, second = asyncio.run(walk(server.url)), asyncio.run(walk(server.url))

    expected = dict(EXPECTED[serving])
    assert first.versions == (expected.pop("version"),)
    for kind, wanted in expected.items():
        assert wanted <= {offer.name for offer in first.items if offer.kind == kind}
    assert first.dropped == ()
    assert first == second


def test_the_claims_of_a_real_server_are_read() -> None:
    async def walk(url: str) -> dict[str, frozenset[str]]:
        pool = Pool(upstream(url, loopback=True))
        async with converse(pool, [], deadline=20) as conversation:
            offers = await take_offers(conversation, "web")
        pool.close()
        return {one.name: traits(one.body) for one in offers.items if one.kind == "tool"}

    with dual_era() as server:
        found = asyncio.run(walk(server.url))

    assert found["echo"] == {"is_read_only", "is_open_world"}
    assert found["add"] == {"is_idempotent"}
    assert found["fetch"] == {"is_destructive", "is_open_world"}


# Walking.


def test_every_page_is_walked_also_an_empty_one_and_one_whose_cursor_is_empty() -> None:
    walked = pages([{"name": "a"}], [], [{"name": "b"}], cursors=["next", ""])

    offers, asked = asyncio.run(taken({**modern(tools={}), "tools/list": walked}))

    assert names(offers) == ["a", "b"]
    assert asked == ["server/discover", *["tools/list"] * 3]


def test_a_cursor_of_null_ends_a_list() -> None:
    assert names(tools({"name": "a"}, nextCursor=None)) == ["a"]


def test_a_list_without_end_is_given_up() -> None:
    def speech(asked: Message) -> bytes:
        page = {"tools": [], "nextCursor": f"after-{asked['id']}"}
        return whole(written(result_of(asked, page)))

    async def run() -> list[str]:
        async with conversing({**modern(tools={}), "tools/list": speech}) as (told, listener):
            with pytest.raises(OffersError, match="pages"):
                await take_offers(told, "web")
        return methods(listener)

    assert len(asyncio.run(run())) == 1 + MAX_PAGES


@pytest.mark.parametrize(
    ("page", "detail"),
    [
        ({"tools": [], "nextCursor": "again"}, "cursor"),
        ({"tools": [], "nextCursor": ""}, "cursor"),
        ({"tools": [], "nextCursor": 1}, "cursor"),
        ({"tools": [], "nextCursor": False}, "cursor"),
        ({"tools": [{}] * (MAX_ITEMS + 1)}, "items"),
        ({"tools": {"a": {}}}, "no list"),
        ({"tools": None}, "no list"),
        ({}, "no list"),
    ],
)
def test_a_list_that_cannot_be_walked_leaves_nothing_known(page: object, detail: str) -> None:
    with pytest.raises(OffersError, match=detail):
        asyncio.run(taken({**modern(tools={}), "tools/list": gives(page)}))


def test_as_many_items_as_allowed_are_taken() -> None:
    found = tools(*({"name": f"t{n}"} for n in range(MAX_ITEMS)))

    assert len(found.items) == MAX_ITEMS


def test_lists_that_were_not_declared_are_not_asked_for() -> None:
    speeches = {**modern(prompts={}, tools=None), "prompts/list": gives({"prompts": []})}

    offers, asked = asyncio.run(taken(speeches))

    assert asked == ["server/discover", "prompts/list"]
    assert dict(offers.capabilities) == {"prompts": {}, "tools": None}


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
def test_a_list_that_does_not_exist_is_empty(status: bytes) -> None:
    speeches = {
        **modern(resources={}),
        "resources/list": gives({"resources": [{"uri": "a://b/c", "name": "c"}]}),
        "resources/templates/list": refuses(-32601, status=status),
    }

    assert names(asyncio.run(taken(speeches))[0]) == ["a://b/c"]


def test_a_refusal_to_list_is_not_an_empty_list() -> None:
    with pytest.raises(RefusedRequestError):
        asyncio.run(taken({**modern(tools={}), "tools/list": refuses(-32603)}))


def test_a_list_that_ends_in_a_refusal_is_not_taken_for_whole() -> None:
    def speech(asked: Message) -> bytes:
        if "cursor" in asked["params"]:
            return refuses(-32601)(asked)
        return gives({"tools": [{"name": "a"}], "nextCursor": "b"})(asked)

    with pytest.raises(RefusedRequestError):
        asyncio.run(taken({**modern(tools={}), "tools/list": speech}))


def test_pages_may_come_as_streams() -> None:
    page = {"tools": [{"name": "a"}]}
    speeches = {
        **modern(tools={}),
        "tools/list": lambda asked: events(b"", result_of(asked, page)),
    }

    assert names(asyncio.run(taken(speeches))[0]) == ["a"]


# Weighing.


def test_of_items_with_one_name_none_is_kept_even_over_pages() -> None:
    walked = pages(
        [{"name": "a"}, {"name": "b"}], [{"name": "a", "title": "A"}, {"name": "A"}], cursors=["2"]
    )

    offers = asyncio.run(taken({**modern(tools={}), "tools/list": walked}))[0]

    assert names(offers) == ["b", "A"]
    assert offers.dropped == (("tool", "a", "2 items have this name."),)


def test_one_name_of_two_kinds_is_no_duplicate() -> None:
    offers = listing(tools=[{"name": "a"}], prompts=[{"name": "a"}])

    assert [(offer.kind, offer.name) for offer in offers.items] == [("tool", "a"), ("prompt", "a")]


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "naïve", "a\u200b", "a\n", "a" * 129, None, 7, ["a"], {"a": "b"}]
)
def test_a_tool_or_prompt_that_no_policy_could_name_is_dropped_and_reported(name: object) -> None:
    offers = listing(tools=[{"name": name}, {"name": "b"}], prompts=[{"name": name}])

    assert names(offers) == ["b"]
    shown = name if isinstance(name, str) else ""
    assert [(kind, said) for kind, said, _ in offers.dropped] == [
        ("tool", shown),
        ("prompt", shown),
    ]


@pytest.mark.parametrize("item", [None, "a", ["name"], 1, {}])
def test_what_is_no_item_is_dropped_and_reported(item: object) -> None:
    offers = tools(item, {"name": "b"})

    assert names(offers) == ["b"]
    assert offers.dropped == (("tool", "", "It has no name."),)


def test_a_name_that_the_operator_accepts_as_it_is_is_kept() -> None:
    speeches = {
        **modern(tools={}),
        "tools/list": gives({"tools": [{"name": "a/b"}, {"name": "c/d"}]}),
    }

    offers = asyncio.run(taken(speeches, verbatim={"a/b"}))[0]

    assert names(offers) == ["a/b"]
    assert [one.name for one in offers.dropped] == ["c/d"]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string", "x-mcp-header": "a b"}}},
        {"properties": {"a": {"type": "object", "x-mcp-header": "A"}}},
        {"type": "string", "x-mcp-header": "A"},
        {
            "properties": {
                "a": {"type": "string", "x-mcp-header": "A"},
                "b": {"type": "string", "x-mcp-header": "a"},
            }
        },
    ],
)
def test_a_tool_with_an_illegal_header_annotation_is_dropped_and_reported(schema: object) -> None:
    offers = tools({"name": "a", "inputSchema": schema}, {"name": "b"})

    assert names(offers) == ["b"]
    assert [(one.kind, one.name) for one in offers.dropped] == [("tool", "a")]
    assert "x-mcp-header" in offers.dropped[0].why


def test_a_tool_with_a_legal_header_annotation_is_kept() -> None:
    schema = {"properties": {"a": {"type": "string", "x-mcp-header": "Region"}}}

    assert names(tools({"name": "a", "inputSchema": schema})) == ["a"]


@pytest.mark.parametrize(
    "uri",
    ["file:///a/../b", "FILE:///a", "file:///a%2Fb", "a", "http://u@h/", "x://y/" + "z" * 400],
)
def test_a_resource_that_no_policy_could_name_is_dropped_and_reported(uri: str) -> None:
    offers = listing(resources=[{"uri": uri}, {"uri": "file:///b"}])

    assert names(offers) == ["file:///b"]
    assert [(one.kind, one.name) for one in offers.dropped] == [("resource", uri[:384])]


def test_a_template_is_kept_to_the_letter_unless_it_is_huge() -> None:
    odd = "FILE:///../{+path}{?a,b*}"

    offers = listing(resourceTemplates=[{"uriTemplate": odd}, {"uriTemplate": "x" * 2049}])

    assert names(offers) == [odd]
    assert [one.kind for one in offers.dropped] == ["template"]


def test_a_definition_is_kept_as_the_upstream_gave_it() -> None:
    body = {"name": "a", "icons": [{"src": "x"}], "_meta": {"k": 1}, "inputSchema": {"type": "x"}}

    (offer,) = tools(body).items

    assert (offer.kind, offer.body) == ("tool", body)
    assert offer.hash == definition_hash("tool", body)


# Telling what changed (T25).

DEFINITIONS: dict[Any, dict[str, Any]] = {
    "tool": {
        "name": "a",
        "title": "A",
        "description": "Does a.",
        "inputSchema": {"type": "object", "properties": {"x": {"type": "string"}, "y": {}}},
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": True},
    },
    "prompt": {
        "name": "a",
        "title": "A",
        "description": "Asks a.",
        "arguments": [{"name": "x", "required": True}, {"name": "y"}],
    },
    "resource": {
        "uri": "a://b/c",
        "name": "c",
        "title": "C",
        "description": "Is c.",
        "mimeType": "text/plain",
    },
    "template": {
        "uriTemplate": "a://b/{c}",
        "name": "c",
        "title": "C",
        "description": "Is any c.",
        "mimeType": "text/plain",
    },
}
MEMBERS = [(kind, member) for kind, body in DEFINITIONS.items() for member in body]


def alterations(value: object) -> list[object]:
    """Return *value* with one small change, in each way there is."""
    match value:
        case bool():
            return [not value, None]
        case str():
            return [value + " ", value[:-1] + "\u200b", value.swapcase(), ""]
        case list():
            changed = [[other, *value[1:]] for other in alterations(value[0])]
            return [*changed, value[::-1], value[:-1]]
        case dict():
            changes = ({**value, k: other} for k, v in value.items() for other in alterations(v))
            return [*changes, {**value, "new": 1}, *([{}] if value else [])]
    return []


@pytest.mark.parametrize(("kind", "member"), MEMBERS)
def test_any_change_of_what_is_promised_changes_the_hash(kind: Any, member: str) -> None:  # noqa: ANN401  a literal
    body = DEFINITIONS[kind]
    without = {name: value for name, value in body.items() if name != member}

    changed = [{**body, member: other} for other in alterations(body[member])]
    hashes = [
        definition_hash(kind, each) for each in (body, without, {**body, member: 0}, *changed)
    ]

    assert len(changed) >= 3
    assert hashes[0] not in hashes[1:]


@pytest.mark.parametrize("kind", DEFINITIONS)
def test_neither_order_nor_other_members_change_the_hash(kind: Any) -> None:  # noqa: ANN401  a literal
    body = DEFINITIONS[kind]

    def reversed_throughout(value: Any) -> Any:  # noqa: ANN401  JSON
        if isinstance(value, dict):
            return {k: reversed_throughout(value[k]) for k in reversed(value)}
        return value

    others = {"icons": [{"src": "https://a.example/b"}], "_meta": {"x": 1}, "size": 3, "Name": "b"}

    same = definition_hash(kind, body)
    assert definition_hash(kind, reversed_throughout(body)) == same
    assert definition_hash(kind, {**others, **body}) == same


def test_a_hash_is_one_of_its_kind() -> None:
    body = {"name": "a", "title": "A"}

    hashes = {definition_hash(kind, body) for kind in ("tool", "prompt", "resource", "template")}

    assert len(hashes) == 4


def test_the_hash_of_a_known_definition_does_not_change_between_releases() -> None:
    # What operators have approved is kept by this hash.
    assert definition_hash("tool", DEFINITIONS["tool"]) == (
        "9f345d0c02ddc487587379256737c7320721a4d96162a5048e2658dada0ac420"
    )


# Claims.


@pytest.mark.parametrize(
    ("annotations", "held"),
    [
        (None, "destructive open_world"),
        ({}, "destructive open_world"),
        ("readOnlyHint", "destructive open_world"),
        ({"readOnlyHint": True}, "read_only open_world"),
        ({"readOnlyHint": True, "destructiveHint": False}, "read_only open_world"),
        ({"readOnlyHint": True, "destructiveHint": True}, "destructive open_world"),
        ({"readOnlyHint": "true"}, "destructive open_world"),
        ({"readOnlyHint": 1}, "destructive open_world"),
        ({"destructiveHint": False}, "open_world"),
        ({"destructiveHint": 0}, "destructive open_world"),
        ({"idempotentHint": True}, "destructive idempotent open_world"),
        ({"openWorldHint": False}, "destructive"),
        ({"openWorldHint": None}, "destructive open_world"),
        (
            {"readOnlyHint": True, "idempotentHint": True, "openWorldHint": False},
            "read_only idempotent",
        ),
    ],
)
def test_hints_that_are_missing_or_odd_have_the_protocols_defaults(
    annotations: object, held: str
) -> None:
    assert traits({"annotations": annotations}) == {f"is_{each}" for each in held.split()}


def test_a_tool_without_annotations_claims_what_the_protocol_assumes() -> None:
    assert traits({"name": "a"}) == {"is_destructive", "is_open_world"}
