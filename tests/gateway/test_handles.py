"""T28, T29: what a client comes back with works for that client, for what it was given for."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.desk import document, offering, prompt, template, tool
from tests.gateway.handles import (
    OWN,
    Sessions,
    able,
    attentive,
    bare,
    begun,
    in_form,
    in_session,
    messages_of,
    overheard,
    told,
)
from tests.gateway.harness import CI, PATH, Rig, gateway, may, shared
from tests.gateway.raw import ERAS, LEGACY, Header, Said, asking, request
from tests.upstream.scripted import SSE, whole
from tests.upstream.speaking import Message, Speech, gives, result_of, written

OTHER = "/servers/other/mcp"
CROWD = [f"client-{n}" for n in range(50)]
FACTS = (
    may(CI, "caller", "Server", "up"),
    may(CI, "caller", "Server", "other"),
    *(may(one, "caller", "Server", "up") for one in ("other", *CROWD)),
)
VERBS = ("POST", "GET", "DELETE")

each_era = pytest.mark.parametrize("era", ERAS)
each_carrier = pytest.mark.parametrize("carrier", ["json", "stream"])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Yield a gateway that is listened to: nothing that it tells may be an upstream's own."""
    up, other = offering(), offering()
    up |= {"initialize": Sessions().initialize, "GET": quiet}
    other |= {"initialize": Sessions().initialize}
    with (
        attentive(),
        overheard() as heard,
        shared(
            tmp_path_factory.mktemp("handles"),
            speeches={"up": up, "other": other},
            settings={"record.arguments": "full"},
            facts=FACTS,
        ) as rig,
    ):
        yield rig
        assert OWN.encode() not in b"".join(heard)


def quiet(_asked: Message) -> bytes:
    """Answer a GET with a stream that ends at once."""
    return whole(b"", media=SSE)


def alike(said: Said) -> tuple[int, tuple[Header, ...], bytes]:
    return said.status, said.headers, said.body


async def shown(rig: Rig, verb: str, handle: str, client: str = CI) -> Said:
    """Let *client* do something in the session *handle*."""
    if verb == "POST":
        return await rig.ask("ping", version=LEGACY, client=client, more=in_session(handle))
    return await bare(rig, verb, handle, client)


# T29: sessions.


def raw_of(rig: Rig, verb: str, handle: str, client: str) -> bytes:
    headers = [("Host", rig.host), ("Authorization", rig.bearer(client)), *in_session(handle)]
    if verb == "POST":
        body, more = asking("ping", version=LEGACY)
        return request(verb, PATH, [*headers, *more, ("Content-Length", str(len(body)))], body)
    headers += [("Accept", "text/event-stream"), ("MCP-Protocol-Version", LEGACY)]
    return request(verb, PATH, headers)


async def stolen(rig: Rig, client: str, handles: dict[str, str]) -> set[Any]:
    """Return how *client* is answered in the sessions of all the others."""
    answers = set()
    async with rig.line() as line:
        for owner, handle in handles.items():
            for verb in VERBS if owner != client else ():
                await line.send(raw_of(rig, verb, handle, client))
                answers.add((verb, alike(await line.answer())))
    return answers


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Rig]:
    """Yield a gateway of its own, for the record is going to be long."""
    facts = [may(one, "caller", "Server", "up") for one in CROWD]
    speeches = offering() | {"initialize": Sessions().initialize, "GET": quiet}
    with attentive(), shared(tmp_path, speeches={"up": speeches}, facts=facts) as rig:
        yield rig


def test_of_fifty_sessions_of_fifty_clients_each_opens_for_its_own_client_alone(
    crowded: Rig,
) -> None:
    rig = crowded

    async def story() -> None:
        handles = {one: await begun(rig, one) for one in CROWD}
        assert len(set(handles.values())) == len(CROWD)
        seen, before = rig.mark, len(rig.records())

        found = await asyncio.gather(*(stolen(rig, one, handles) for one in CROWD))

        assert rig.mark == seen
        never = {(verb, alike(await shown(rig, verb, "A" * 64, CROWD[0]))) for verb in VERBS}
        assert {answer[0] for _, answer in never} == {404}
        assert set().union(*found) == never
        denied = [one.payload for one in rig.records()[before:]]
        assert len(denied) == (50 * 49 + 1) * 3
        assert {(one["verdict"], one["reason"]) for one in denied} == {("deny", "not_visible")}
        for client, handle in handles.items():
            for verb in VERBS:
                assert (await shown(rig, verb, handle, client)).status == 200
        own = [one for one in rig.upstream.seen[seen:] if OWN.encode() in one]
        assert len(own) == 50 * 3

    rig.run(story())


def test_an_answer_for_a_stolen_session_differs_from_a_lost_one_in_nothing(rig: Rig) -> None:
    async def story() -> None:
        handle = await begun(rig)
        for method, params in (
            ("tools/call", {"name": "echo"}),
            ("tools/list", {}),
            ("notifications/initialized", {}),
            ("no/such", {}),
        ):
            id_ = None if method.startswith("notifications") else 7
            seen = rig.mark
            answers = [
                await rig.ask(
                    method, params, version=LEGACY, client="client-1", id_=id_, more=in_session(one)
                )
                for one in (handle, "never-minted", handle[:-4] + "AAAA")
            ]
            assert len({alike(one) for one in answers}) == 1
            assert (answers[0].status, answers[0].code) == (404, 40401)
            assert answers[0].message["id"] == id_
            assert rig.mark == seen

    rig.run(story())


def test_a_session_of_one_server_is_none_of_another(rig: Rig) -> None:
    async def story() -> None:
        handle, others = await begun(rig), await begun(rig, path=OTHER)
        for path, foreign in ((PATH, others), (OTHER, handle)):
            seen = [len(one.seen) for one in rig.listeners.values()]
            said = await rig.ask("ping", version=LEGACY, path=path, more=in_session(foreign))
            assert (said.status, said.code) == (404, 40401)
            assert [len(one.seen) for one in rig.listeners.values()] == seen

    rig.run(story())


def test_a_session_goes_on_with_a_fresh_token_of_the_same_client(rig: Rig) -> None:
    async def story() -> None:
        handle = await begun(rig)
        body, headers = asking("ping", version=LEGACY)
        for token in (rig.token(), rig.token(audience=f"http://localhost:8080{PATH}")):
            fresh = ("Authorization", f"Bearer {token}")
            said = await rig.post([fresh, *headers, *in_session(handle)], body)
            assert said.status == 200
            assert b"Mcp-Session-Id: own-7c41d9-session-" in rig.upstream.seen[-1]

    rig.run(story())


def test_whatever_a_session_was_told_goes_upstream_under_its_own_id(rig: Rig) -> None:
    async def story() -> None:
        handle = await begun(rig)
        own = f"Mcp-Session-Id: {OWN}-session-".encode()
        for verb in VERBS:
            await shown(rig, verb, handle)
            assert rig.upstream.seen[-1].count(own) == 1
            assert handle.encode() not in rig.upstream.seen[-1]
            assert rig.upstream.seen[-1].startswith(verb.encode())

    rig.run(story())


def test_a_session_that_the_upstream_does_not_know_any_more_is_over(rig: Rig) -> None:
    async def story() -> None:
        handle = await begun(rig)
        with rig.saying({"ping": lambda _: whole(b"{}", status=b"404 Gone")}):
            gone = await shown(rig, "POST", handle)
        lost = await shown(rig, "POST", "never-minted")
        assert alike(gone) == alike(lost)

    rig.run(story())


def of_sessions() -> dict[str, dict[str, Speech]]:
    speeches = offering() | {"initialize": Sessions().initialize}
    speeches["tools/list"] = gives({"tools": [tool("echo")], "nextCursor": f"{OWN}-cursor"})
    return {"up": speeches}


def test_a_handle_given_by_one_gateway_opens_in_another_that_shares_its_key(tmp_path: Path) -> None:
    """Two at once, one of which has never heard of the session; and one after a restart."""

    async def used(rig: Rig, session: str, cursor: str) -> None:
        seen = rig.mark
        assert (await shown(rig, "POST", session)).status == 200
        assert f"Mcp-Session-Id: {OWN}-session-1\r\n".encode() in rig.upstream.seen[-1]
        with rig.saying({"tools/list": gives({"tools": []})}):
            said = await rig.ask("tools/list", {"cursor": cursor}, version=LEGACY)
        assert said.status == 200
        assert told(rig)["params"]["cursor"] == f"{OWN}-cursor"
        assert (await shown(rig, "POST", session, "guest")).status == 404
        assert (await shown(rig, "DELETE", session)).status == 200
        assert rig.mark == seen + 3

    async def story() -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        facts = (may(CI, "caller", "Server", "up"), may("guest", "caller", "Server", "up"))
        async with gateway(first, of_sessions(), facts=facts) as rig:
            session = await begun(rig)
            said = await rig.ask("tools/list", version=LEGACY)
            cursor = said.message["result"]["nextCursor"]
            (second / "data").mkdir(parents=True, mode=0o700)
            shutil.copy2(first / "data" / "master.key", second / "data" / "master.key")
            async with gateway(second, of_sessions(), facts=facts) as other:
                await used(other, session, cursor)
        async with gateway(first, of_sessions(), facts=()) as rig:
            await used(rig, session, cursor)

    asyncio.run(story())


def test_a_gateway_with_another_key_knows_nothing_of_a_session(tmp_path: Path) -> None:
    async def story() -> None:
        async with gateway(tmp_path / "first", of_sessions()) as rig:
            session = await begun(rig)
        async with gateway(tmp_path / "second", of_sessions()) as rig:
            seen = rig.mark
            assert (await shown(rig, "POST", session)).status == 404
            assert rig.mark == seen

    asyncio.run(story())


# Cursors.

LISTS: list[tuple[str, str, Message]] = [
    ("tools/list", "tools", tool("echo")),
    ("prompts/list", "prompts", prompt("greet")),
    ("resources/list", "resources", document("note://one")),
    ("resources/templates/list", "resourceTemplates", template("note://{id}")),
]
each_list = pytest.mark.parametrize(
    ("method", "member", "item"), LISTS, ids=[one[0] for one in LISTS]
)
CURSORS = (
    f"{OWN}-cursor",
    "",
    '{"offset": 5, "of": "own-7c41d9"}',
    f"{OWN} \u00e4\n\u2028\0",
    "n" * 5000,
)


def pages(carrier: str, member: str, item: Message, cursor: str) -> Speech:
    """Answer with a page that has another one after it, which is asked for by *cursor*."""

    def speech(asked: Message) -> bytes:
        is_second = (asked.get("params") or {}).get("cursor") == cursor
        result: Message = {member: [item]} | ({} if is_second else {"nextCursor": cursor})
        return in_form(carrier, result)(asked)

    return speech


@each_list
@each_era
@each_carrier
def test_the_next_page_is_asked_for_by_the_upstreams_own_cursor(
    rig: Rig, carrier: str, era: str, method: str, member: str, item: Message
) -> None:
    async def story() -> None:
        for cursor in CURSORS:
            with rig.saying({method: pages(carrier, member, item, cursor)}):
                first = (await rig.ask(method, version=era)).message["result"]
                again = (await rig.ask(method, version=era)).message["result"]
                handle = first["nextCursor"]
                second = (await rig.ask(method, {"cursor": handle}, version=era)).message["result"]

            assert (first[member], second[member]) == ([item], [item])
            assert again == first
            assert handle != cursor
            assert "nextCursor" not in second
            assert told(rig)["params"]["cursor"] == cursor

    rig.run(story())


async def given(
    rig: Rig, era: str, method: str, member: str, item: Message, client: str = CI
) -> str:
    with rig.saying({method: pages("json", member, item, f"{OWN}-cursor")}):
        said = await rig.ask(method, version=era, client=client)
    handle: str = said.message["result"]["nextCursor"]
    return handle


@each_list
@each_era
def test_a_cursor_of_another_client_server_or_list_is_unknown_and_goes_nowhere(
    rig: Rig, era: str, method: str, member: str, item: Message
) -> None:
    async def story() -> None:
        own = await given(rig, era, method, member, item)
        theirs = await given(rig, era, method, member, item, client="client-3")
        rig.desks["other"].speeches[method] = pages("json", member, item, f"{OWN}-cursor")
        of_other = (await rig.ask(method, version=era, path=OTHER)).message["result"]["nextCursor"]
        session = await begun(rig)
        of_lists = [await given(rig, era, *one) for one in LISTS if one[0] != method]
        foreign = [theirs, of_other, session, *of_lists, f"{OWN}-cursor", "", own[:-1], f"{own}="]
        seen, answers = rig.mark, set()
        for one in foreign:
            said = await rig.ask(method, {"cursor": one}, version=era)
            answers.add((said.status, said.code, said.body))
        assert rig.mark == seen
        told_off = rig.records()[-len(foreign) :]
        assert {one.payload["reason"] for one in told_off} == {"not_visible"}
        ((status, code, _),) = answers
        assert (status, code) == (200, -32602)

    rig.run(story())


@each_era
@pytest.mark.parametrize("cursor", [None, 5, 0, True, ["x"], {"a": 1}, 1.5])
def test_a_cursor_that_is_no_text_is_malformed(rig: Rig, era: str, cursor: object) -> None:
    async def story() -> None:
        seen = rig.mark
        said = await rig.ask("tools/list", {"cursor": cursor}, version=era)
        assert (said.status, said.code) == (400, -32602)
        assert rig.records()[-1].payload["reason"] == "malformed"
        assert rig.mark == seen

    rig.run(story())


@each_era
@each_carrier
@pytest.mark.parametrize(
    "cursor", [5, ["x"], {}, False, "c" * 400_000], ids=lambda one: str(one)[:5]
)
def test_a_list_whose_next_page_could_not_be_asked_for_is_not_passed_on(
    rig: Rig, carrier: str, era: str, cursor: object
) -> None:
    async def story() -> None:
        result = {"tools": [tool("echo")], "nextCursor": cursor}
        with rig.saying({"tools/list": in_form(carrier, result)}):
            said = await rig.ask("tools/list", version=era)
        assert said.code == 50201

    rig.run(story())


# T28: the state of a request.

CONTINUED: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    (
        "tools/call",
        {"name": "echo", "arguments": {"a": 1, "b": ["x"]}},
        [
            {"name": "wipe", "arguments": {"a": 1, "b": ["x"]}},
            {"name": "echo", "arguments": {"a": 2, "b": ["x"]}},
            {"name": "echo", "arguments": {"a": 1, "b": ["x", "y"]}},
            {"name": "echo", "arguments": {"a": True, "b": ["x"]}},
            {"name": "echo", "arguments": {"a": 1, "b": ["x"], "c": None}},
            {"name": "echo", "arguments": {}},
            {"name": "echo"},
        ],
    ),
    (
        "prompts/get",
        {"name": "greet", "arguments": {"a": "1"}},
        [{"name": "plot", "arguments": {"a": "1"}}, {"name": "greet", "arguments": {"a": "2"}}],
    ),
    ("resources/read", {"uri": "note://one"}, [{"uri": "note://two"}]),
]
each_continued = pytest.mark.parametrize(
    ("method", "params", "others"), CONTINUED, ids=[one[0] for one in CONTINUED]
)
STATES = (f"{OWN}-state", "", f'{{"{OWN}": "\u00e4\\n\0"}}', f"{OWN}" * 3000)
DONE: dict[str, Any] = {"content": [], "messages": [], "contents": []}
ASKS = {"a": {"method": "elicitation/create", "params": {"message": "Sure?"}}}


def wants(state: object, **more: object) -> Speech:
    """Want *state* back once, and then be done."""

    def speech(asked: Message) -> bytes:
        params = asked["params"]
        if "requestState" in params or "inputResponses" in params:
            return whole(written(result_of(asked, DONE)))
        result: dict[str, Any] = {"resultType": "input_required"} | more
        if state is not None:
            result["requestState"] = state
        return whole(written(result_of(asked, result)))

    return speech


@each_continued
def test_a_request_goes_on_with_the_state_exactly_as_the_upstream_sent_it(
    rig: Rig, method: str, params: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    del others

    async def story() -> None:
        for state in STATES:
            with rig.saying({method: wants(state, inputRequests=ASKS)}):
                first = await rig.ask(method, able("elicitation") | params)
                handle = first.message["result"]["requestState"]
                assert first.message["result"]["inputRequests"] == ASKS
                assert handle != state
                more = {"requestState": handle, "inputResponses": {"a": {"action": "accept"}}}
                second = await rig.ask(method, able("elicitation") | params | more, id_="other")

            assert second.message["result"] == DONE | (
                {"cacheScope": "private", "ttlMs": 0} if method == "resources/read" else {}
            )
            sent = told(rig)["params"]
            assert sent["requestState"] == state
            assert sent["inputResponses"] == more["inputResponses"]

    rig.run(story())


async def state_of(rig: Rig, method: str, params: dict[str, Any], client: str = CI) -> str:
    with rig.saying({method: wants(f"{OWN}-state")}):
        said = await rig.ask(method, able() | params, client=client)
    handle: str = said.message["result"]["requestState"]
    return handle


@each_continued
def test_a_state_is_good_for_the_request_that_it_was_given_for_and_no_other(
    rig: Rig, method: str, params: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    async def story() -> None:
        handle = await state_of(rig, method, params)
        theirs = await state_of(rig, method, params, client="client-4")
        rig.desks["other"].speeches[method] = wants(f"{OWN}-state")
        said = await rig.ask(method, able() | params, path=OTHER)
        of_other = said.message["result"]["requestState"]
        tries = [(each, handle) for each in others]
        tries += [(params, one) for one in (theirs, of_other, f"{OWN}-state", "", "junk")]
        tries += [
            (params, handle[:at] + ("A" if handle[at] != "A" else "B") + handle[at + 1 :])
            for at in (0, len(handle) // 2, len(handle) - 2)
        ]
        seen, answers = rig.mark, set()
        for each, shown_state in tries:
            said = await rig.ask(method, able() | each | {"requestState": shown_state})
            answers.add((said.status, said.code, said.body))
        assert rig.mark == seen
        ((status, code, _),) = answers
        assert (status, code) == (200, -32602)
        # And for that one it is good again and again, as far as the upstream lets it.
        for order in (params, dict(reversed(params.items()))):
            said = await rig.ask(method, able() | order | {"requestState": handle})
            assert said.status == 200
            assert told(rig)["params"]["requestState"] == f"{OWN}-state"

    rig.run(story())


def test_a_state_of_one_method_is_none_of_another(rig: Rig) -> None:
    async def story() -> None:
        tool_state = await state_of(rig, "tools/call", {"name": "echo"})
        seen = rig.mark
        said = await rig.ask("prompts/get", able() | {"name": "greet", "requestState": tool_state})
        assert (said.status, said.code) == (200, -32602)
        assert rig.mark == seen

    rig.run(story())


@pytest.mark.parametrize("state", [None, 5, ["x"], {"a": 1}, True])
def test_a_state_that_is_no_text_is_malformed(rig: Rig, state: object) -> None:
    async def story() -> None:
        seen = rig.mark
        said = await rig.ask("tools/call", {"name": "echo", "requestState": state})
        assert (said.status, said.code) == (400, -32602)
        assert rig.mark == seen

    rig.run(story())


@each_continued
def test_where_the_upstream_sent_no_state_there_is_none_and_none_is_wanted(
    rig: Rig, method: str, params: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    del others

    async def story() -> None:
        with rig.saying({method: wants(None, inputRequests=ASKS)}):
            first = await rig.ask(method, able("elicitation") | params)
            assert "requestState" not in first.message["result"]
            more = {"inputResponses": {"a": {"action": "decline"}}}
            second = await rig.ask(method, able("elicitation") | params | more)
        assert "resultType" not in second.message["result"]
        sent = told(rig)["params"]
        assert sent["inputResponses"] == more["inputResponses"]
        assert "requestState" not in sent

    rig.run(story())


def test_each_round_of_a_request_is_decided_and_recorded_by_itself(rig: Rig) -> None:
    grant = may("rounds", "caller", "Tool", "up__echo")

    async def story() -> None:
        await rig.state(grant)
        params = {"name": "echo", "arguments": {"n": 1}}
        handle = await state_of(rig, "tools/call", params, client="rounds")
        again = able() | params | {"requestState": handle}
        before = len(rig.records())
        for _ in range(2):
            assert (await rig.ask("tools/call", again, client="rounds")).status == 200
        records = rig.records()[before:]
        assert [one.payload["verdict"] for one in records] == ["allow", "allow"]
        assert {one.payload["resource"]["id"] for one in records} == {"up__echo"}
        assert records[0].payload["args_digest"] == records[1].payload["args_digest"]
        for one in records:
            assert (await rig.outcome_of(one))["status"] == 200

        await rig.unstate(grant)
        await rig.state(may("rounds", "viewer", "Tool", "up__echo"))
        seen = rig.mark
        said = await rig.ask("tools/call", again, client="rounds")
        assert said.code == 40301
        assert rig.mark == seen

    rig.run(story())


# Events, and what an upstream asked.


QUESTION = 47_110_815
"""The upstream's own id of a question; a client that guesses it is shown it again."""


def counting(asked: Message) -> bytes:
    """Answer as a legacy upstream: with events that have ids, and a question among them."""
    question = {"jsonrpc": "2.0", "id": QUESTION, "method": "roots/list", "params": {}}
    blocks = (
        f"id: {OWN}-e0\ndata:\n\n".encode(),
        b"id: %b-e1\ndata: %b\n\n" % (OWN.encode(), written(question)),
        b"id: %b-e2\ndata: %b\n\n" % (OWN.encode(), written(result_of(asked, {"content": []}))),
    )
    return whole(b"".join(blocks), media=SSE)


async def heard(rig: Rig, session: str, client: str = CI) -> tuple[list[str], str]:
    """Return the ids of the events of a call, and that of the question among them."""
    with rig.saying({"tools/call": counting}):
        said = await rig.ask(
            "tools/call",
            {"name": "echo"},
            version=LEGACY,
            client=client,
            more=in_session(session),
        )
    lines = said.body.split(b"\n")
    ids = [one[4:].decode() for one in lines if one.startswith(b"id: ")]
    question, answer = messages_of(said)
    assert (question["method"], answer["result"]) == ("roots/list", {"content": []})
    assert len(ids) == 3
    return ids, question["id"]


def test_an_event_of_another_client_or_session_is_none_to_go_on_from(rig: Rig) -> None:
    async def story() -> None:
        own, second, theirs = await begun(rig), await begun(rig), await begun(rig, "client-5")
        ids, _ = await heard(rig, own)
        foreign, _ = await heard(rig, theirs, "client-5")
        of_second, _ = await heard(rig, second)
        seen, answers = rig.mark, set()
        for one in (*foreign, *of_second, own, f"{OWN}-e1", "1", ids[0][:-1], f"{ids[0]}A"):
            said = await bare(rig, "GET", own, more=[("Last-Event-ID", one)])
            answers.add(alike(said))
        assert rig.mark == seen
        ((status, _, body),) = answers
        assert (status, json.loads(body)["error"]["code"]) == (400, -32602)
        assert rig.records()[-1].payload["reason"] == "not_visible"
        for at, one in enumerate(ids):
            said = await bare(rig, "GET", own, more=[("Last-Event-ID", one)])
            assert said.status == 200
            assert f"Last-Event-ID: {OWN}-e{at}\r\n".encode() in rig.upstream.seen[-1]
            assert one.encode() not in rig.upstream.seen[-1]

    rig.run(story())


async def respond(rig: Rig, session: str, id_: object, client: str = CI) -> Said:
    message = {"jsonrpc": "2.0", "id": id_, "result": {"roots": []}}
    _, headers = asking("ping", version=LEGACY)
    fields = [("Authorization", rig.bearer(client)), *headers, *in_session(session)]
    return await rig.post(fields, written(message))


def test_a_question_is_answered_by_the_client_and_in_the_session_that_it_was_put_in(
    rig: Rig,
) -> None:
    async def story() -> None:
        own, second, theirs = await begun(rig), await begun(rig), await begun(rig, "client-6")
        (_, question), (_, of_second) = await heard(rig, own), await heard(rig, second)
        _, foreign = await heard(rig, theirs, "client-6")
        ids, _ = await heard(rig, own)
        foreigners = [
            foreign,
            of_second,
            QUESTION,
            question[:-1],
            str(QUESTION),
            0,
            "junk",
            own,
            *ids,
        ]
        seen, answers = rig.mark, set()
        for one in foreigners:
            said = await respond(rig, own, one)
            answers.add((said.status, said.code, said.message["error"]["message"]))
        assert rig.mark == seen
        assert {(status, code) for status, code, _ in answers} == {(400, -32600)}

        said = await respond(rig, own, question)
        assert (said.status, said.body) == (202, b"")
        assert told(rig) == {"jsonrpc": "2.0", "id": QUESTION, "result": {"roots": []}}
        assert rig.mark == seen + 1

    rig.run(story())


# What is an upstream's own stays there.


@each_era
def test_no_handle_of_the_upstreams_own_reaches_a_client(rig: Rig, era: str) -> None:
    async def story() -> list[bytes]:
        with overheard() as heard_now:
            session = await begun(rig)
            for method, member, item in LISTS:
                for carrier in ("json", "stream"):
                    with rig.saying({method: pages(carrier, member, item, f"{OWN}-c")}):
                        said = await rig.ask(method, version=era)
                        assert "nextCursor" in said.message["result"]
            await heard(rig, session)
            for method, params, _ in CONTINUED:
                await state_of(rig, method, params)
        return heard_now

    spoken = b"".join(rig.run(story()))
    seen = b"".join(rig.upstream.seen)
    assert OWN.encode() in seen
    assert OWN.encode() not in spoken
    assert b"nextCursor" in spoken
