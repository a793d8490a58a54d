"""T24: what a list shows is what its reader may use, in whatever wrapping the upstream sends it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from policies.model import Entity, Fact
from tests.gateway.desk import (
    DOCUMENTS,
    PROMPTS,
    TEMPLATES,
    document,
    prompt,
    template,
    tool,
    tools_of,
)
from tests.gateway.harness import Rig, may, shared
from tests.gateway.raw import ERAS, LEGACY, MODERN, Said
from tests.upstream.scripted import CHUNKED, SSE, chunk, head, whole
from tests.upstream.speaking import Message, Speech, gives, result_of, written

FEW = "few"
FACTS = (
    may("ci", "caller", "Server", "up"),
    may(FEW, "caller", "Tool", "up__echo"),
    may(FEW, "viewer", "Tool", "up__fetch"),
    may(FEW, "caller", "Prompt", "up__greet"),
    may(FEW, "caller", "Document", "up|note://one"),
    may(FEW, "caller", "Document", "up|note://{id}"),
)

# Method, member of the result, all items there are, and the names that FEW may see of them.
LISTS: list[tuple[str, str, list[Message], list[str]]] = [
    ("tools/list", "tools", tools_of(), ["echo", "fetch"]),
    ("prompts/list", "prompts", [prompt(one) for one in PROMPTS], ["greet"]),
    ("resources/list", "resources", [document(one) for one in DOCUMENTS], ["note://one"]),
    ("resources/templates/list", "resourceTemplates", [template(one) for one in TEMPLATES],
     ["note://{id}"]),
]  # fmt: skip
NAMED = {"tools": "name", "prompts": "name", "resources": "uri", "resourceTemplates": "uriTemplate"}

each_list = pytest.mark.parametrize(
    ("method", "member", "items", "shown"), LISTS, ids=[one[0] for one in LISTS]
)
each_era = pytest.mark.parametrize("era", ERAS)
each_carrier = pytest.mark.parametrize("carrier", ["json", "stream"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("lists"), facts=FACTS) as rig:
        yield rig


def carried(carrier: str, result: object) -> Speech:
    if carrier == "json":
        return gives(result)
    return lambda asked: whole(b"data: %b\n\n" % written(result_of(asked, result)), media=SSE)


def names(said: Said, member: str) -> list[str]:
    return [one[NAMED[member]] for one in said.message["result"][member]]


@each_list
@each_era
@each_carrier
def test_a_list_shows_what_its_reader_may_use_and_in_the_order_of_the_upstream(
    rig: Rig,
    carrier: str,
    era: str,
    method: str,
    member: str,
    items: list[Message],
    shown: list[str],
) -> None:
    async def story() -> None:
        for order in (items, items[::-1]):
            with rig.saying({method: carried(carrier, {member: order, "nextCursor": "2"})}):
                everything = await rig.ask(method, version=era)
                few = await rig.ask(method, version=era, client=FEW)

            assert few.is_stream is (carrier == "stream")
            assert everything.message["result"][member] == order
            expected = [one for one in order if one[NAMED[member]] in shown]
            assert few.message["result"][member] == expected
            cursors = {one.message["result"]["nextCursor"] for one in (everything, few)}
            assert len(cursors) == 2
            assert "2" not in cursors

    rig.run(story())


@each_list
@each_era
@each_carrier
def test_what_comes_twice_in_a_list_or_without_a_name_is_not_shown(
    rig: Rig,
    carrier: str,
    era: str,
    method: str,
    member: str,
    items: list[Message],
    shown: list[str],
) -> None:
    del shown

    async def story() -> None:
        key = NAMED[member]
        first, second = items[:2]
        odd = [first, {"description": "none"}, {key: 5}, {key: None}, {key: ["echo"]}, {}]
        odd += [first | {"description": "another"}, second]
        with rig.saying({method: carried(carrier, {member: odd})}):
            said = await rig.ask(method, version=era)

        assert said.message["result"][member] == [second]

    rig.run(story())


@each_list
@each_era
def test_a_list_that_was_public_is_its_readers_own(
    rig: Rig, era: str, method: str, member: str, items: list[Message], shown: list[str]
) -> None:
    del shown

    async def story() -> None:
        for ttl, told in ((3_600_000, 60_000), (5, 5), (-1, 0), ("x", 0), (True, 0), (None, 0)):
            result = {member: items, "cacheScope": "public", "ttlMs": ttl}
            with rig.saying({method: gives(result)}):
                said = await rig.ask(method, version=era)
            assert said.header("cache-control") == "no-store"
            if era == MODERN:
                assert said.message["result"]["cacheScope"] == "private"
                assert said.message["result"]["ttlMs"] == told

    rig.run(story())


@each_era
def test_a_tool_that_the_catalogue_does_not_know_is_not_shown(rig: Rig, era: str) -> None:
    async def story() -> None:
        listed = [*tools_of(), tool("brand_new"), tool("up__echo"), tool("ECHO"), tool("echo ")]
        with rig.saying({"tools/list": gives({"tools": listed})}):
            said = await rig.ask("tools/list", version=era)

        assert said.message["result"]["tools"] == tools_of()

    rig.run(story())


@each_list
@each_era
def test_no_other_list_travels_in_a_list(
    rig: Rig, era: str, method: str, member: str, items: list[Message], shown: list[str]
) -> None:
    async def story() -> None:
        smuggled = {one: each for _, one, each, _ in LISTS} | {member: items}
        with rig.saying({method: gives(smuggled)}):
            said = await rig.ask(method, version=era, client=FEW)

        result = said.message["result"]
        assert names(said, member) == shown
        assert {one for one in NAMED if one in result} == {member}

    rig.run(story())


def test_an_introduction_carries_no_list(rig: Rig) -> None:
    async def story() -> None:
        begins = {"capabilities": {"tools": {}}, "protocolVersion": LEGACY, "tools": tools_of()}
        with rig.saying({"initialize": gives(begins)}):
            params = {"protocolVersion": LEGACY, "capabilities": {}}
            said = await rig.ask("initialize", params, version=LEGACY, client=FEW)

        assert said.status == 200
        assert "wipe" not in said.body.decode()

    rig.run(story())


# A hundred ways to send a list.

ANSWER = {"jsonrpc": "2.0", "id": 7, "result": {"tools": tools_of()}}
BODY = written(ANSWER)


def streamed(*blocks: bytes) -> bytes:
    return whole(b"".join(blocks), media=SSE)


def event(data: bytes = BODY, start: bytes = b"") -> bytes:
    return b"%bdata: %b\n\n" % (start, data)


def replaced(**members: object) -> bytes:
    return written(ANSWER | members)


def result(value: object) -> bytes:
    return written(ANSWER | {"result": value})


DEEP = b'{"jsonrpc":"2.0","id":7,"result":{"tools":' + b"[" * 80 + b"]" * 80 + b"}}"
OTHER = written({"jsonrpc": "2.0", "id": 8, "result": {"tools": tools_of()}})
CALLS = written({"jsonrpc": "2.0", "id": 7, "method": "ping"})
TELLS = written({"jsonrpc": "2.0", "method": "notifications/x", "params": {"tools": tools_of()}})
KNOWS = written({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
LINES = b"".join(
    b"data: %b\n" % line for line in json.dumps(ANSWER, indent=1).encode().split(b"\n")
)
STATUSES = (b"201 Created", b"202 Accepted", b"203 Other", b"206 Partial", b"299 Odd", b"400 Bad",
            b"404 Not Found", b"410 Gone", b"500 Oops", b"503 Busy")  # fmt: skip
MEDIA = (b"application/jsonp", b"text/json", b"text/plain", b"text/html", b"application/x-ndjson",
         b"application/json-seq", b"application/problem+json", b"multipart/mixed",
         b"application/octet-stream", b"text/event-streams", b"text/event", b"x", b"")  # fmt: skip
CODINGS = (b"gzip", b"deflate", b"br", b"identity, gzip", b"x")
RESULTS: dict[str, object] = {
    "null": None, "a list": [tools_of()], "text": "tools", "a number": 1, "nothing": {},
    "tools null": {"tools": None}, "tools an object": {"tools": {"echo": tool("echo")}},
    "tools a text": {"tools": "echo"}, "tools in tools": {"tools": {"tools": tools_of()}},
    "tools in a list": {"tools": [tools_of()]}, "names alone": {"tools": ["echo", "wipe"]},
    "a null among tools": {"tools": [None, *tools_of()]}, "another spelling": {"Tools": tools_of()},
    "both spellings": {"tools": [], "TOOLS": tools_of()}, "a NUL": {"tools\0": tools_of()},
    "another list": {"prompts": tools_of()},
}  # fmt: skip

FAILS: dict[str, bytes] = {
    **{f"status {one[:3].decode()}": whole(BODY, status=one) for one in STATUSES},
    **{f"status {one[:3].decode()}, a stream": whole(event(), status=one, media=SSE)
       for one in STATUSES if one[:1] != b"2"},
    **{f"media {one.decode()}": whole(BODY, media=one) for one in MEDIA},
    **{f"coding {one.decode()}": whole(BODY, more=b"Content-Encoding: %b\r\n" % one)
       for one in CODINGS},
    **{f"a result that is {name}": whole(result(value)) for name, value in RESULTS.items()},
    **{f"a streamed result that is {name}": streamed(event(result(value)))
       for name, value in RESULTS.items()},
    "two media types": whole(BODY, more=b"Content-Type: application/json\r\n"),
    "a redirect": whole(BODY, status=b"307 There", more=b"Location: http://127.0.0.1:1/\r\n"),
    "a byte order mark": whole(b"\xef\xbb\xbf" + BODY),
    "UTF-16": whole(BODY.decode().encode("utf-16")),
    "broken UTF-8": whole(BODY.replace(b"wipe", b"w\xffpe")),
    "NUL around it": whole(b"\0" + BODY),
    "nothing": whole(b""),
    "a batch": whole(b"[" + BODY + b"]"),
    "two answers": whole(BODY + BODY),
    "two lines": whole(BODY + b"\n" + BODY),
    "half of it": whole(BODY[: len(BODY) // 2]),
    "a duplicate result": whole(BODY.replace(b'"result"', b'"result": {}, "result"', 1)),
    "a result and an error": whole(replaced(error={"code": 1, "message": ""})),
    "another id": whole(replaced(id=8)),
    "the id as text": whole(replaced(id="7")),
    "the id as a float": whole(BODY.replace(b": 7", b": 7.0")),
    "no id": whole(replaced(id=None)),
    "a request": whole(CALLS),
    "a notification": whole(TELLS),
    "another version of JSON-RPC": whole(replaced(jsonrpc="1.0")),
    "more members": whole(replaced(tools=tools_of())),
    "NaN": whole(BODY[:-1] + b', "n": NaN}'),
    "deep": whole(DEEP),
    "events under the name of JSON": whole(event()),
    "JSON under the name of events": whole(BODY, media=SSE),
    "a stream without an answer": streamed(b": nothing\n\n"),
    "a stream that ends within an event": streamed(b"data: %b" % BODY),
    "an event of another type": streamed(event(start=b"event: tools\n")),
    "an endpoint event": streamed(event(start=b"event: endpoint\n")),
    "an event that is no JSON": streamed(event(b"{tools"), event()),
    "an event that is a batch": streamed(event(b"[" + BODY + b"]"), event()),
    "an event with a duplicate key": streamed(event(BODY.replace(b'"id"', b'"id": 1, "id"', 1))),
    "an event with a byte order mark": streamed(event(b"\xef\xbb\xbf" + BODY)),
    "answers to something else alone": streamed(event(OTHER), event(replaced(id="7"))),
    "a field of another name": streamed(b"datum: %b\n\n" % BODY),
    "a stream without a length, cut": head(media=SSE, more=CHUNKED) + chunk(b"data: ")[:-4],
    "a length that is too long": head(more=b"Content-Length: 100000\r\n") + BODY,
    "chunks that are none": head(more=CHUNKED) + b"zz\r\n" + BODY,
}  # fmt: skip

SHOWS: dict[str, bytes] = {
    "plain": whole(BODY),
    "with parameters": whole(BODY, media=b"application/json; charset=utf-8"),
    "in capitals": whole(BODY, media=b"Application/JSON"),
    "indented": whole(json.dumps(ANSWER, indent=2).encode()),
    "escaped": whole(BODY.replace(b"wipe", b"\\u0077ipe")),
    "in chunks": head(more=CHUNKED) + chunk(BODY[:20]) + chunk(BODY[20:]) + b"0\r\n\r\n",
    "a stream": streamed(event()),
    "a stream with status 201": whole(event(), status=b"201 Created", media=SSE),
    "a stream with a byte order mark": streamed(b"\xef\xbb\xbf" + event()),
    "a stream with CRLF": streamed(event().replace(b"\n", b"\r\n")),
    "a stream with CR": streamed(event().replace(b"\n", b"\r")),
    "a stream with comments": streamed(b": hello\n\n:\n", event(start=b": wipe\n")),
    "a stream of many lines": streamed(LINES + b"\n"),
    "a stream without a space": streamed(b"data:%b\n\n" % BODY),
    "a stream with fields of no meaning": streamed(event(start=b"tools: wipe\nid: 1\nretry: 1\n")),
    "a stream with an empty event first": streamed(b"id: 1\ndata:\n\n", event()),
    "a stream in bytes": head(media=SSE, more=CHUNKED)
    + b"".join(chunk(bytes([one])) for one in event()) + b"0\r\n\r\n",
    "two answers in a stream": streamed(event(), event(result({"tools": [tool("wipe")]}))),
    "an answer to something else first": streamed(event(OTHER), event()),
    "a request first": streamed(event(CALLS), event()),
    "an unknown notification first": streamed(event(TELLS), event()),
    "progress first": streamed(event(KNOWS), event()),
}  # fmt: skip


def test_there_are_a_hundred_shapes() -> None:
    assert len(FAILS) + len(SHOWS) >= 100


@each_era
@pytest.mark.parametrize("shape", FAILS)
def test_a_list_of_a_shape_that_is_not_understood_shows_nothing(
    rig: Rig, shape: str, era: str
) -> None:
    async def story() -> Said:
        with rig.saying({"tools/list": lambda _: FAILS[shape]}), rig.desk.hanging_up():
            return await rig.ask("tools/list", version=era, client=FEW)

    said = rig.run(story())

    assert b"wipe" not in said.raw
    assert b"echo" not in said.raw
    assert said.code is not None
    assert said.status == 502 or said.is_stream


@each_era
@pytest.mark.parametrize("shape", SHOWS)
def test_a_list_of_a_shape_that_is_understood_shows_what_it_should(
    rig: Rig, shape: str, era: str
) -> None:
    async def story() -> Said:
        with rig.saying({"tools/list": lambda _: SHOWS[shape]}):
            return await rig.ask("tools/list", version=era, client=FEW)

    said = rig.run(story())
    # An event that says no more than where to go on is for legacy clients, and is no message.
    said = replace(said, body=said.body.replace(b"data: \n", b""))

    assert said.status == 200
    assert names(said, "tools") == ["echo", "fetch"]
    assert b"wipe" not in said.raw
    assert [one.get("id") for one in said.events if "result" in one] in ([], [7])


# The list and the call agree.


GUARDED = (
    Fact("has_tag", (Entity("Tool", "up__fetch"), "guarded")),
    Fact("allowed_host", (Entity("Tool", "up__fetch"), "ok.example")),
)
"""Then `fetch` may be called for some arguments alone."""


def granted(chance: random.Random, client: str) -> list[Fact]:
    """Return grants of *client*, drawn by *chance*: with each he may call something, somehow."""
    facts = [
        may(client, "caller", "Tool", f"up__{one['name']}")
        for one in tools_of()
        if chance.random() < 0.5
    ]
    if chance.random() < 0.2:
        facts.append(may(client, "caller", "Server", "up"))
    if chance.random() < 0.5:
        facts += GUARDED
    # Whoever may see nothing may not connect either.
    return [*facts, may(client, "viewer", "Prompt", "up__greet")]


ARGUMENTS: tuple[dict[str, Any], ...] = ({}, {"url": "https://ok.example/"})


async def callable_tools(rig: Rig, client: str, version: str) -> dict[str, set[int | None]]:
    """Return the codes that the calls of each tool were answered with; None for a result."""
    return {
        name: {
            (
                await rig.ask(
                    "tools/call",
                    {"name": name, "arguments": arguments},
                    version=version,
                    client=client,
                )
            ).code
            for arguments in ARGUMENTS
        }
        for name in (*(one["name"] for one in tools_of()), "absent")
    }


@pytest.mark.parametrize("number", range(12))
def test_what_is_listed_can_be_called_somehow_and_what_is_not_never(rig: Rig, number: int) -> None:
    async def story() -> None:
        client, era = f"client-{number}", ERAS[number % 2]
        facts = granted(random.Random(f"grants {number}"), client)
        await rig.state(*facts)
        try:
            listed = set(names(await rig.ask("tools/list", client=client, version=era), "tools"))
            codes = await callable_tools(rig, client, era)
        finally:
            await rig.unstate(*facts)

        uses = {name for name, found in codes.items() if None in found}
        assert listed == uses
        assert all(found == {-32602} for name, found in codes.items() if name not in listed)

    rig.run(story())


@each_era
def test_what_is_only_seen_is_listed_and_refused_openly(rig: Rig, era: str) -> None:
    async def story() -> dict[str, set[int | None]]:
        return await callable_tools(rig, FEW, era)

    codes = rig.run(story())

    assert codes["echo"] == {None}
    assert codes["fetch"] == {40301}
    assert codes["wipe"] == codes["absent"] == {-32602}
