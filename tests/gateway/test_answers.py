"""Each situation on the data listener and its one answer; what looks alike is alike to the byte."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from policies.model import Entity, Fact
from proxy.datadir import DataDirectory
from proxy.identity.issue import Issuer, TokenRequest
from proxy.identity.principal import ActorType
from proxy.identity.sealing import master_key
from tests.gateway.harness import PUBLIC_URL, Rig
from tests.gateway.raw import ERAS, LEGACY, MODERN, Header, Said, asking, request
from tests.gateway.worlds import EYE, FEW, NOBODY, answering


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with answering(tmp_path_factory.mktemp("answering")) as rig:
        yield rig


each_era = pytest.mark.parametrize("era", ERAS)


def alike(one: Said, other: Said) -> None:
    assert one.raw == other.raw


# Before anybody is identified.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Host", "evil.example")], 421),
        ([("Host", "evil.example:8080")], 421),
        ([("Host", "localhost")], 421),
        ([("Origin", "http://evil.example")], 403),
        ([("Origin", "null")], 403),
        ([("Origin", PUBLIC_URL), ("Origin", "http://evil.example")], 403),
    ],
)
def test_a_foreign_name_or_page_is_refused_whatever_token_it_has(
    rig: Rig, headers: list[Header], status: int
) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark
        own = [] if headers[0][0] == "Host" else [("Host", rig.host)]
        body, rest = asking("tools/list")
        rest += [("Authorization", rig.bearer()), ("Content-Length", str(len(body)))]

        said = await rig.say(request("POST", "/servers/up/mcp", [*own, *headers, *rest], body))

        assert (said.status, said.code) == (status, -32600)
        assert (rig.mark, len(rig.records())) == (seen, before)

    rig.run(story())


def expired(rig: Rig) -> str:
    key = rig.tokens.keyring.signing_key(master_key(DataDirectory(rig.directory).master_key, {}))
    issuer = Issuer(PUBLIC_URL, lambda: key, lambda: time.time() - 3600)
    wanted = TokenRequest(ActorType.CLIENT, "ci", PUBLIC_URL, 60)
    return issuer.issue(wanted).text.reveal().decode()


TOKENS = {
    "none": lambda _: "",
    "none of ours": lambda _: "Bearer abc.def.ghi",
    "another scheme": lambda rig: "Basic " + rig.token(),
    "expired": lambda rig: "Bearer " + expired(rig),
    "cut": lambda rig: "Bearer " + rig.token()[:-1],
    "for another server": lambda rig: "Bearer " + rig.token("ci", f"{PUBLIC_URL}/servers/x/mcp"),
    "for the control plane": lambda rig: "Bearer " + rig.token("ci", "http://localhost:8081"),
}


@pytest.mark.parametrize("make", TOKENS.values(), ids=TOKENS)
@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
def test_without_a_good_token_every_server_says_the_same(
    rig: Rig, make: type[str], verb: str
) -> None:
    async def story() -> None:
        before, seen, token = len(rig.records()), rig.mark, make(rig)
        body, headers = asking("tools/list")
        headers += [("Authorization", token)] if token else []

        body = body if verb == "POST" else b""

        known = await rig.post(headers, body, verb=verb)
        unknown = await rig.post(headers, body, path="/servers/nowhere/mcp", verb=verb)

        assert (known.status, known.code) == (401, 40101)
        metadata = f"{PUBLIC_URL}/.well-known/oauth-protected-resource/servers/up/mcp"
        assert f'resource_metadata="{metadata}"' in (known.header("www-authenticate") or "")
        assert known.raw.replace(b"/servers/up/", b"/servers/nowhere/") == unknown.raw
        assert (rig.mark, len(rig.records())) == (seen, before)

    rig.run(story())


def test_the_metadata_of_every_server_is_the_same_but_for_its_name(rig: Rig) -> None:
    async def story() -> None:
        place = "/.well-known/oauth-protected-resource/servers/{}/mcp"
        known = await rig.post([], b"", path=place.format("up"), verb="GET")
        unknown = await rig.post([], b"", path=place.format("nowhere"), verb="GET")

        assert known.status == 200
        assert known.message["resource"] == f"{PUBLIC_URL}/servers/up/mcp"
        assert known.message["authorization_servers"] == [PUBLIC_URL]
        shorter = known.body.replace(b"/up/", b"/nowhere/")
        assert shorter == unknown.body

    rig.run(story())


# Who may not connect.

ASKED = [
    ("initialize", {"protocolVersion": LEGACY}, LEGACY),
    ("server/discover", {}, MODERN),
    ("ping", {}, LEGACY),
    ("tools/list", {}, MODERN),
    ("tools/list", {}, LEGACY),
    ("tools/call", {"name": "echo"}, MODERN),
    ("tools/call", {"name": "echo"}, LEGACY),
    ("tools/call", {"name": "none"}, MODERN),
    ("prompts/get", {"name": "greet"}, MODERN),
    ("resources/read", {"uri": "note://one"}, MODERN),
    ("resources/read", {"uri": "note://one"}, LEGACY),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "greet"}}, MODERN),
    ("logging/setLevel", {"level": "info"}, LEGACY),
]


@pytest.mark.parametrize(("method", "params", "version"), ASKED)
def test_a_server_that_is_unknown_and_one_that_is_forbidden_are_one_answer(
    rig: Rig, method: str, params: dict[str, object], version: str
) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark

        forbidden = await rig.ask(method, params, version=version, client=NOBODY)
        unknown = await rig.ask(
            method, params, version=version, client=NOBODY, path="/servers/nowhere/mcp"
        )

        assert (forbidden.status, forbidden.code) == (404, 40401)
        assert forbidden.message["id"] == 7
        alike(forbidden, unknown)
        reasons = [one.payload["reason"] for one in rig.records()[before:]]
        assert reasons == ["not_visible", "not_visible"]
        assert rig.mark == seen

    rig.run(story())


@pytest.mark.parametrize(
    ("method", "params", "version"),
    [
        ("no/such", {}, MODERN),
        ("no/such", {}, LEGACY),
        ("notifications/initialized", {}, LEGACY),
        ("tools/call", {}, LEGACY),
        ("tools/list", {}, "2099-01-01"),
    ],
)
def test_even_a_wrong_message_does_not_tell_an_unknown_server_from_a_forbidden_one(
    rig: Rig, method: str, params: dict[str, object], version: str
) -> None:
    async def story() -> None:
        for id_ in (7, None):
            forbidden, unknown = [
                await rig.ask(method, params, version=version, client=NOBODY, path=path, id_=id_)
                for path in ("/servers/up/mcp", "/servers/nowhere/mcp")
            ]
            alike(forbidden, unknown)

    rig.run(story())


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_no_other_verb_tells_an_unknown_server_from_a_forbidden_one(rig: Rig, verb: str) -> None:
    async def story() -> None:
        headers = [
            ("Authorization", rig.bearer(NOBODY)),
            ("Accept", "text/event-stream"),
            ("MCP-Protocol-Version", LEGACY),
            rig.session(NOBODY),
        ]
        forbidden = await rig.post(headers, b"", verb=verb)
        unknown = await rig.post(headers, b"", path="/servers/nowhere/mcp", verb=verb)

        assert (forbidden.status, forbidden.code) == (404, 40401)
        alike(forbidden, unknown)

    rig.run(story())


@pytest.mark.parametrize(
    ("verb", "path", "era", "status", "reason"),
    [
        ("GET", "/servers/up/mcp", MODERN, 405, "unknown_method"),
        ("DELETE", "/servers/up/mcp", MODERN, 405, "unknown_method"),
        ("GET", "/servers/up/mcp?a=b", LEGACY, 404, "malformed"),
        ("POST", "/servers/up/mcp?a=b", MODERN, 404, "malformed"),
        ("DELETE", "/servers/up/mcp?a=b", LEGACY, 404, "malformed"),
        ("DELETE", "/servers/up/mcp", LEGACY, 400, "malformed"),
    ],
)
def test_whoever_is_identified_and_refused_is_in_the_record(
    rig: Rig, verb: str, path: str, era: str, status: int, reason: str
) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark
        body, headers = asking("tools/list", version=era)
        headers.append(("Authorization", rig.bearer()))

        said = await rig.post(headers, body if verb == "POST" else b"", path=path, verb=verb)

        assert said.status == status
        (record,) = [one.payload for one in rig.records()[before:]]
        assert (record["verdict"], record["reason"]) == ("deny", reason)
        assert (record["principal"]["id"], record["server"]) == ("ci", "up")
        assert rig.mark == seen

    rig.run(story())


# What may not be seen.

HIDDEN = [
    ("tools/call", {"name": "{}"}, "wipe", "mope", "Unknown tool: {}"),
    ("prompts/get", {"name": "{}"}, "plot", "glum", "Unknown prompt: {}"),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "{}"}}, "plot", "glum",
     "Unknown prompt: {}"),
]  # fmt: skip


def about(params: object, name: str) -> object:
    if isinstance(params, dict):
        return {key: about(value, name) for key, value in params.items()}
    return params.format(name) if isinstance(params, str) else params


@each_era
@pytest.mark.parametrize(("method", "params", "hidden", "absent", "message"), HIDDEN)
def test_what_is_hidden_and_what_is_not_there_are_one_answer(
    rig: Rig,
    era: str,
    method: str,
    params: dict[str, object],
    hidden: str,
    absent: str,
    message: str,
) -> None:
    async def story() -> None:
        before, seen, said = len(rig.records()), rig.mark, {}
        for name in (hidden, absent):
            asked = about(params, name)
            assert isinstance(asked, dict)
            said[name] = await rig.ask(method, asked, version=era, client=FEW)

        assert (said[hidden].status, said[hidden].code) == (200, -32602)
        assert said[hidden].message["error"]["message"] == message.format(hidden)
        assert said[hidden].raw.replace(hidden.encode(), absent.encode()) == said[absent].raw
        reasons = [one.payload["reason"] for one in rig.records()[before:]]
        assert reasons == ["not_visible", "not_visible"]
        assert rig.mark == seen

    rig.run(story())


@each_era
def test_a_hidden_tool_is_not_told_by_arguments_that_its_rules_would_refuse(
    rig: Rig, era: str
) -> None:
    async def story() -> None:
        for name, other in (("fetch", "patch"), ("wipe", "mope")):
            hidden, absent = [
                await rig.ask(
                    "tools/call",
                    {"name": one, "arguments": {"URL": "http://x.example/", "url": 1}},
                    version=era,
                    client=FEW,
                )
                for one in (name, other)
            ]
            assert hidden.raw.replace(name.encode(), other.encode()) == absent.raw

    rig.run(story())


@each_era
def test_a_document_that_is_hidden_and_one_that_is_not_there_are_one_answer(
    rig: Rig, era: str
) -> None:
    async def story() -> None:
        seen = rig.mark
        hidden = await rig.ask("resources/read", {"uri": "note://two"}, version=era, client=FEW)
        irregular = await rig.ask(
            "resources/read", {"uri": "note://x/../two"}, version=era, client=FEW
        )
        assert rig.mark == seen
        absent = await rig.ask("resources/read", {"uri": "note://six"}, version=era)
        assert rig.mark == seen + 1

        code = -32602 if era == MODERN else -32002
        assert (hidden.status, hidden.code) == (200, code)
        assert hidden.message["error"]["data"] == {"uri": "note://two"}
        assert hidden.raw.replace(b"two", b"six") == absent.raw
        assert irregular.message["error"]["data"] == {"uri": "note://x/../two"}
        assert irregular.message["error"]["code"] == code

    rig.run(story())


# What is seen and denied.


@each_era
@pytest.mark.parametrize(
    ("client", "method", "params"),
    [
        (EYE, "tools/call", {"name": "echo"}),
        (EYE, "prompts/get", {"name": "greet"}),
        (EYE, "resources/read", {"uri": "note://one"}),
        ("ci", "tools/call", {"name": "fetch", "arguments": {"url": "http://evil.example/"}}),
        ("ci", "tools/call", {"name": "fetch"}),
    ],
)
def test_a_denial_of_what_is_seen_says_why_and_names_its_record(
    rig: Rig, era: str, client: str, method: str, params: dict[str, object]
) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark

        said = await rig.ask(method, params, version=era, client=client)

        (record,) = rig.records()[before:]
        assert (said.status, said.code, said.message["id"]) == (200, 40301, 7)
        assert said.message["error"]["data"] == {
            "reason": "no_rule",
            "decision_id": record.id,
            "support_contact": "security@desk.example",
        }
        assert rig.mark == seen

    rig.run(story())


@each_era
def test_an_argument_decides(rig: Rig, era: str) -> None:
    async def story() -> Said:
        arguments = {"url": "https://ok.example/a"}
        return await rig.ask("tools/call", {"name": "fetch", "arguments": arguments}, version=era)

    said = rig.run(story())

    assert (said.status, said.code) == (200, None)


@each_era
def test_a_key_that_may_be_taken_for_a_tested_one_is_refused(rig: Rig, era: str) -> None:
    async def story() -> None:
        before, seen = len(rig.records()), rig.mark
        for key in ("URL", "url\0", "\uff55rl"):
            arguments = {"url": "https://ok.example/a", key: "http://evil.example/"}
            params = {"name": "fetch", "arguments": arguments}

            said = await rig.ask("tools/call", params, version=era)

            assert (said.status, said.code) == (400, -32602)
        assert {one.payload["reason"] for one in rig.records()[before:]} == {"malformed"}
        assert rig.mark == seen

    rig.run(story())


def test_a_suspended_client_is_told_nothing(rig: Rig) -> None:
    async def story() -> None:
        suspended = Fact("is_suspended", (Entity("Client", EYE),))
        await rig.state(suspended)
        try:
            before = len(rig.records())
            said = await rig.ask("tools/call", {"name": "echo"}, client=EYE)
            assert (said.status, said.code) == (404, 40401)
            assert rig.records()[before].payload["reason"] == "suspended"
        finally:
            await rig.unstate(suspended)

    rig.run(story())
