"""The gateway asks an upstream on its own account, in whichever era the upstream speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pytest

from proxy.upstream.conversation import Conversation, RefusedRequestError, converse
from proxy.upstream.failures import Code, Kind, UpstreamError
from proxy.upstream.http import Pool
from tests.upstream.scripted import CHUNKED, SSE, Line, Listener, chunk, head, listening, whole
from tests.upstream.speaking import (
    ACCEPTED,
    CREDENTIAL,
    EVERYTHING,
    Message,
    Speech,
    conversing,
    error_of,
    events,
    gives,
    legacy,
    methods,
    modern,
    refuses,
    result_of,
    says,
    speaking,
    understood,
    written,
)

LIST = {"tools": [{"name": "a"}]}
ABLE: dict[str, object] = {
    "sampling": {"tools": {}, "context": {}},
    "elicitation": {"form": {}, "url": {}},
    "roots": {},
}
"""What clients of either era can do, so that a server offers all it has."""
GREETING = ["server/discover", "initialize", "notifications/initialized"]


async def listed(
    speeches: Mapping[str, Speech], *, deadline: float = 10
) -> tuple[dict[str, Any], Listener]:
    """Ask for the tools once, in one conversation."""
    async with conversing(speeches, deadline=deadline) as (conversation, listener):
        found = await conversation.ask("tools/list")
    return found, listener


def answered(speech: Speech, *, deadline: float = 10) -> dict[str, Any]:
    """Return what `tools/list` gives if *speech* is a modern upstream's answer to it."""
    speeches = {**modern(tools={}), "tools/list": speech}
    return asyncio.run(listed(speeches, deadline=deadline))[0]


def failed(speech: Speech, *, deadline: float = 10) -> tuple[Code, Kind]:
    with pytest.raises(UpstreamError) as caught:
        answered(speech, deadline=deadline)
    return caught.value.code, caught.value.kind


async def turned_away(speeches: Mapping[str, Speech]) -> tuple[Exception, list[str]]:
    """Return why no conversation began, and what was asked until then."""
    async with listening(speaking(speeches)) as listener:
        pool = Pool(listener.upstream)
        with pytest.raises((UpstreamError, RefusedRequestError)) as caught:
            async with converse(pool, CREDENTIAL, deadline=10):
                pass
        pool.close()
        return caught.value, methods(listener)


async def exhausted(conversation: Conversation) -> UpstreamError:
    """Ask until there is nothing more to be had."""
    while True:
        try:
            await conversation.ask("tools/list")
        except UpstreamError as error:
            return error


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    given = dict(line.split(": ", 1) for line in lines)
    framing = {"Host", "Connection", "Content-Length"}
    return {name: value for name, value in given.items() if name not in framing}


# A modern upstream.


def test_a_modern_request_carries_its_version_in_headers_and_envelope_and_no_session() -> None:
    speeches = {**modern(tools={}), "tools/list": gives(LIST, more=b"Mcp-Session-Id: s-1\r\n")}

    async def run() -> tuple[tuple[str, ...], Listener]:
        async with conversing(speeches) as (conversation, listener):
            await conversation.ask("tools/list", {"cursor": "x"})
            await conversation.ask("tools/list")
        return conversation.versions, listener

    versions, listener = asyncio.run(run())

    assert versions == ("2026-07-28",)
    assert methods(listener) == ["server/discover", "tools/list", "tools/list"]
    assert understood(listener.seen[1])[1]["params"] == {
        "cursor": "x",
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {
                **ABLE,
                "extensions": {"io.modelcontextprotocol/tasks": {}},
            },
            "io.modelcontextprotocol/clientInfo": {
                "name": "northgate",
                "version": version("northgate"),
            },
        },
    }
    assert headers_of(listener.seen[2]) == {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/list",
        "Authorization": "Bearer of-the-gateway",
    }


def test_versions_are_those_that_both_speak_in_our_order() -> None:
    said = {"supportedVersions": ["2027-01-01", "2026-07-28", 7, "2025-06-18"], "capabilities": {}}

    async def run() -> tuple[str, ...]:
        async with conversing({"server/discover": gives(said)}) as (conversation, _):
            return conversation.versions

    assert asyncio.run(run()) == ("2025-06-18", "2026-07-28")


# A legacy upstream.


def test_a_legacy_session_is_begun_used_and_ended_with_its_id_and_the_agreed_version() -> None:
    speeches = {**legacy("2025-06-18", tools={}), "tools/list": gives(LIST)}

    found, listener = asyncio.run(listed(speeches))

    assert found == LIST
    assert methods(listener) == [*GREETING, "tools/list", "DELETE"]
    own = [headers_of(request) for request in listener.seen]
    versions = [each.get("MCP-Protocol-Version") for each in own]
    assert versions == ["2026-07-28", None, "2025-06-18", "2025-06-18", "2025-06-18"]
    assert [each.get("Mcp-Session-Id") for each in own] == [None, None, "s-1", "s-1", "s-1"]
    assert {each["Authorization"] for each in own} == {"Bearer of-the-gateway"}
    asked = understood(listener.seen[1])[1]["params"]
    requests: dict[str, object] = {"sampling": {"createMessage": {}}, "elicitation": {"create": {}}}
    assert asked["protocolVersion"] == "2025-11-25"
    assert asked["capabilities"] == {**ABLE, "tasks": {"requests": requests}}
    assert "params" not in understood(listener.seen[3])[1]


def test_nothing_is_deleted_where_there_is_no_session() -> None:
    beginning = {"protocolVersion": "2025-11-25", "capabilities": {}}
    speeches = {**legacy(), "initialize": gives(beginning), "tools/list": gives(LIST)}

    listener = asyncio.run(listed(speeches))[1]

    assert methods(listener) == [*GREETING, "tools/list"]
    assert all("Mcp-Session-Id" not in headers_of(request) for request in listener.seen)


def test_a_session_is_ended_even_if_what_it_was_for_fails() -> None:
    listener: Listener | None = None

    async def run() -> None:
        nonlocal listener
        async with conversing(legacy()) as (_, listener):
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(run())

    assert listener is not None
    assert methods(listener)[-1] == "DELETE"


@pytest.mark.parametrize(
    "farewell", [whole(b"gone", status=b"405 Method Not Allowed"), whole(b"", status=b"500 No")]
)
def test_a_server_that_keeps_its_sessions_spoils_nothing(farewell: bytes) -> None:
    speeches = {**legacy(tools={}), "tools/list": gives(LIST), "DELETE": says(farewell)}

    assert asyncio.run(listed(speeches))[0] == LIST


@pytest.mark.parametrize("spoken", ["2024-11-05", "2025-03-26", "2099-01-01", "2026-07-28", "", 7])
def test_a_version_that_we_do_not_speak_ends_the_session_at_once(spoken: object) -> None:
    beginning = {"protocolVersion": spoken, "capabilities": {}}
    speeches = {**legacy(), "initialize": gives(beginning, more=b"Mcp-Session-Id: s-1\r\n")}

    error, asked = asyncio.run(turned_away(speeches))

    assert isinstance(error, UpstreamError)
    assert (error.code, error.kind) == (Code.HOSTILE, Kind.MALFORMED)
    assert asked == ["server/discover", "initialize", "DELETE"]


def test_a_server_that_refuses_to_be_initialized_is_told_so() -> None:
    refusal = says(whole(b"no", status=b"400 Bad Request"))

    error, asked = asyncio.run(turned_away({**legacy(), "notifications/initialized": refusal}))

    assert isinstance(error, UpstreamError)
    assert (error.kind, asked) == (Kind.MALFORMED, [*GREETING, "DELETE"])


# Which era it is.


@pytest.mark.parametrize(
    "speech",
    [
        refuses(-32000, status=b"400 Bad Request"),
        refuses(-32601, status=b"404 Not Found"),
        refuses(-32601),
        refuses(-32022, data={"supported": ["2025-11-25"], "requested": "2026-07-28"}),
        refuses(-32022, data="2025-11-25"),
        says(whole(b"<html>", media=b"text/html", status=b"404 Not Found")),
        says(whole(b"<html>", media=b"text/html")),
        says(whole(b"", status=b"405 Method Not Allowed")),
        says(whole(b'{"jsonrpc":')),
        says(ACCEPTED),
        gives({}),
        gives({"supportedVersions": "2026-07-28"}),
        gives({"supportedVersions": ["2025-06-18"], "capabilities": {}}),
        lambda asked: whole(written(result_of({**asked, "id": "other"}, {}))),
        lambda asked: whole(written({**error_of(asked, -32000), "id": None}), status=b"400 No"),
    ],
)
def test_an_answer_that_is_not_a_modern_one_means_legacy(speech: Speech) -> None:
    speeches = {**legacy(tools={}), "server/discover": speech, "tools/list": gives(LIST)}

    found, listener = asyncio.run(listed(speeches))

    assert found == LIST
    assert methods(listener)[:3] == GREETING


@pytest.mark.parametrize(
    ("speech", "code", "kind"),
    [
        (refuses(-32601, status=b"500 Internal"), Code.UNREACHABLE, Kind.ANSWER),
        (says(whole(b"", status=b"503 Busy")), Code.UNREACHABLE, Kind.ANSWER),
        (says(whole(b"", status=b"429 Slow down")), Code.UNREACHABLE, Kind.ANSWER),
        (refuses(-32000, status=b"401 Unauthorized"), Code.HOSTILE, Kind.ANSWER),
        (says(whole(b"", status=b"403 Forbidden")), Code.HOSTILE, Kind.ANSWER),
        (says(whole(b"", status=b"307 Elsewhere")), Code.HOSTILE, Kind.REDIRECT),
        (refuses(-32022, data={"supported": ["2027-01-01"]}), Code.HOSTILE, Kind.MALFORMED),
        (refuses(-32022, data={"supported": ["2026-07-28"]}), Code.HOSTILE, Kind.MALFORMED),
        (
            gives({"supportedVersions": ["2027-01-01"], "capabilities": {}}),
            Code.HOSTILE,
            Kind.MALFORMED,
        ),
        (gives({"supportedVersions": ["2026-07-28"]}), Code.HOSTILE, Kind.MALFORMED),
        (
            gives({"supportedVersions": ["2026-07-28"], "resultType": "x", "capabilities": {}}),
            Code.HOSTILE,
            Kind.MALFORMED,
        ),
        (says(head(media=SSE, more=CHUNKED) + b"0\r\n\r\n"), Code.UNREACHABLE, Kind.CUT),
    ],
)
def test_trouble_is_not_taken_for_a_legacy_answer(speech: Speech, code: Code, kind: Kind) -> None:
    error, asked = asyncio.run(turned_away({**legacy(), "server/discover": speech}))

    assert isinstance(error, UpstreamError)
    assert (error.code, error.kind, asked) == (code, kind, ["server/discover"])


@pytest.mark.parametrize("code", [-32020, -32021])
def test_a_refusal_that_only_a_modern_server_gives_is_final(code: int) -> None:
    speech = refuses(code, status=b"400 Bad Request")

    error, asked = asyncio.run(turned_away({**legacy(), "server/discover": speech}))

    assert isinstance(error, RefusedRequestError)
    assert (error.rpc_code, asked) == (code, ["server/discover"])


def test_a_silent_server_is_not_taken_for_a_legacy_one() -> None:
    async def run() -> tuple[Code, list[str]]:
        async with listening(speaking({"server/discover": says(b"")})) as listener:
            pool = Pool(listener.upstream)
            with pytest.raises(UpstreamError) as caught:
                async with converse(pool, [], deadline=0.5):
                    pass
            pool.close()
            return caught.value.code, methods(listener)

    assert asyncio.run(run()) == (Code.TIMED_OUT, ["server/discover"])


# What is an answer.


def test_the_answer_in_a_stream_is_found_behind_whatever_else_the_server_says() -> None:
    notice = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "x"}}
    question = {"jsonrpc": "2.0", "id": 2, "method": "sampling/createMessage", "params": {}}

    found = answered(lambda asked: events(b"", notice, question, result_of(asked, LIST)))

    assert found == LIST


def test_an_answer_is_not_waited_for_beyond_itself() -> None:
    async def script(line: Line) -> None:
        _, asked = understood(await line.request())
        await line.send(modern(tools={})["server/discover"](asked))
        _, asked = understood(await line.request())
        event = b"data: %b\n\n" % written(result_of(asked, LIST))
        await line.send(head(media=SSE, more=CHUNKED), chunk(event))
        await line.until_hung_up()

    async def run() -> dict[str, Any]:
        async with listening(script) as listener:
            pool = Pool(listener.upstream)
            async with converse(pool, [], deadline=10) as conversation:
                found = await conversation.ask("tools/list")
            await asyncio.wait_for(listener.hung_up.wait(), 5)
            pool.close()
            return found

    assert asyncio.run(run()) == LIST


def other(asked: Message) -> Message:
    return result_of({**asked, "id": asked["id"] + 1}, LIST)


def as_text(asked: Message) -> Message:
    return result_of({**asked, "id": str(asked["id"])}, LIST)


@pytest.mark.parametrize(
    "speech",
    [
        lambda asked: whole(written(other(asked))),
        lambda asked: whole(written(as_text(asked))),
        lambda asked: events(other(asked), result_of(asked, LIST)),
        lambda asked: events(b"{", result_of(asked, LIST)),
        lambda asked: events(b"[]", result_of(asked, LIST)),
        lambda asked: whole(
            b"event: endpoint\ndata: %b\n\n" % written(result_of(asked, LIST)), media=SSE
        ),
        lambda asked: whole(written([result_of(asked, LIST)])),
        lambda asked: whole(written({**result_of(asked, LIST), "error": {}})),
        lambda asked: whole(b"%b{}" % written(result_of(asked, LIST))),
        lambda asked: whole(b'{"jsonrpc":"2.0","id":%d,"id":1,"result":{}}' % asked["id"]),
        says(whole(written({"jsonrpc": "2.0", "method": "notifications/progress"}))),
        lambda asked: whole(written(result_of(asked, LIST)), media=b"text/html"),
        lambda asked: whole(written(result_of(asked, [LIST]))),
        says(whole(b"<html>", media=b"text/html")),
        says(ACCEPTED),
        gives(LIST, status=b"404 Not Found"),
        gives({**LIST, "resultType": "input_required"}),
        gives({**LIST, "resultType": "task"}),
    ],
)
def test_what_is_no_answer_to_what_was_asked_is_refused(speech: Speech) -> None:
    assert failed(speech) == (Code.HOSTILE, Kind.MALFORMED)


def test_a_stream_that_ends_without_the_answer_is_cut() -> None:
    assert failed(says(events(b""))) == (Code.UNREACHABLE, Kind.CUT)


def test_a_stream_that_says_nothing_ends_with_the_conversations_time() -> None:
    silence = head(media=SSE, more=CHUNKED) + chunk(b": one moment\n\n")

    assert failed(says(silence), deadline=1) == (Code.TIMED_OUT, Kind.STREAM)


def test_the_time_of_a_conversation_is_not_renewed_by_answers() -> None:
    async def run() -> UpstreamError:
        speeches = {**modern(tools={}), "tools/list": gives(LIST)}
        async with conversing(speeches, deadline=0.5) as (conversation, _):
            return await exhausted(conversation)

    assert asyncio.run(run()).code is Code.TIMED_OUT


def test_a_conversation_reads_no_more_than_its_share() -> None:
    page = {"tools": [], "padding": "x" * (3 * 1024 * 1024)}

    async def run() -> tuple[Kind, int]:
        speeches = {**modern(tools={}), "tools/list": gives(page)}
        async with conversing(speeches, deadline=60) as (conversation, listener):
            error = await exhausted(conversation)
        return error.kind, len(listener.seen)

    kind, asked = asyncio.run(run())
    assert (kind, asked) == (Kind.TOO_LARGE, 1 + 8 // 3 + 1)


def test_the_error_of_an_upstream_is_told_apart_and_its_words_stay_inside() -> None:
    with pytest.raises(RefusedRequestError) as caught:
        answered(lambda asked: whole(written(error_of(asked, -32603, message="canary " * 999))))

    error = caught.value
    assert (error.method, error.rpc_code) == ("tools/list", -32603)
    assert error.detail.startswith("canary ")
    assert len(error.detail) == 512
    assert "canary" not in error.public


def test_a_question_that_an_old_connection_lost_is_asked_once_more() -> None:
    async def hangs_up(line: Line) -> None:
        speeches = {**modern(**EVERYTHING), "tools/list": gives(LIST)}
        method, asked = understood(await line.request())
        await line.send(speeches[method](asked))
        if line.number == 1:
            await line.request()

    async def run() -> tuple[dict[str, Any], list[str]]:
        async with listening(hangs_up) as listener:
            pool = Pool(listener.upstream)
            async with converse(pool, [], deadline=10) as conversation:
                found = await conversation.ask("tools/list")
            pool.close()
            return found, methods(listener)

    assert asyncio.run(run()) == (LIST, ["server/discover", "tools/list", "tools/list"])
