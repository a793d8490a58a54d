"""Which requests are for which upstream, and with whose credential: everything but one spelling."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.gateway.desk import offering
from tests.gateway.harness import PATH, PUBLIC_URL, Rig, may, shared
from tests.gateway.raw import LEGACY, Header, Said, asking, request

CALL = {"name": "echo", "arguments": {}}
GRANTS = (may("ci", "caller", "Server", "up"), may("ci", "caller", "Server", "other"))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    speeches = {"up": offering(), "other": offering()}
    with shared(tmp_path_factory.mktemp("routes"), speeches=speeches, facts=GRANTS) as rig:
        yield rig


def seen(rig: Rig) -> tuple[int, int]:
    return len(rig.listeners["up"].seen), len(rig.listeners["other"].seen)


# T17: the path.


def encoded() -> Iterator[str]:
    for at, sign in enumerate(PATH):
        for form in (f"%{ord(sign):02x}", f"%{ord(sign):02X}", f"%25{ord(sign):02x}"):
            yield PATH[:at] + form + PATH[at + 1 :]
        yield f"{PATH[:at]}%u00{ord(sign):02x}{PATH[at + 1 :]}"


def inserted() -> Iterator[str]:
    odd = (
        "/", "//", "/.", "/./", "/..", "/../", ";", ";a=b", "\\", "%2f", "%5c", "%00", "%0a", "%20",
        "%2e", "%2e%2e/", "..;/", "+", "~", "\u00ad", "\u00ff", "*", "'", "|", "^", "{}",
    )  # fmt: skip
    for at in range(1, len(PATH) + 1):
        for one in odd:
            if at in (1, 3, 8, 9, 10, 11, 12, 15):
                yield PATH[:at] + one + PATH[at:]


def changed() -> Iterator[str]:
    yield from (PATH[:at] + PATH[at].upper() + PATH[at + 1 :] for at in range(len(PATH)))
    yield from (PATH[:at] + PATH[at + 1 :] for at in range(len(PATH)))
    yield from (PATH[:at] for at in range(1, len(PATH)))


def composed() -> Iterator[str]:
    for end in ("?", "?a", "?a=b", "#", "#a", "/", "/.", "/..", "/../mcp", "/x", ".", ";", ":80"):
        yield PATH + end
    for start in (
        "//evil.example", "/.", "/x/..", "/%2e", "/servers/other/..", "/servers/other", "/proxy",
        "/servers/other/mcp/../..", "\\", "/\\", "/;", ".", "*", "//",
    ):  # fmt: skip
        yield start + PATH
    yield from (
        "/servers/up/../other/mcp", "/servers/other/../up/mcp", "/servers/other%2f..%2fup/mcp",
        "/servers/up%00other/mcp", "/servers/up,other/mcp", "/servers/up/mcp/servers/other/mcp",
        "/servers/up\t/mcp", "/servers/./mcp", "/servers/../mcp", "/servers//mcp", "/servers/mcp",
        "/servers/up__echo/mcp", "/servers/up_/mcp", "/servers/u\u0070\u0301/mcp", "/mcp", "/sse",
        "/message", "/toolsets/up/mcp", "/v0/groups/up/mcp", "/api/v0/servers", "/metrics", "/",
        "*", "/servers/up/MCP", "/Servers/up/mcp", "/servers/UP/mcp", "/servers/\uff55p/mcp",
    )  # fmt: skip
    for url in ("http://evil.example", "http://localhost:1", "https://evil.example:443",
                "http://localhost:8080@evil.example", "HTTP://localhost:8080", "ftp://localhost:8080",
                "http:", "http://", "//localhost:8080", "localhost:8080"):  # fmt: skip
        yield url + PATH


def guessed() -> Iterator[str]:
    chance = random.Random("paths")
    for _ in range(200):
        letters = list(PATH)
        for _ in range(chance.randint(1, 3)):
            letters.insert(
                chance.randint(1, len(letters)), chance.choice("%/.;\\?#:@&=+ ~!$'(),A2f0")
            )
        yield "".join(letters)


SPELLINGS = {
    "encoded": list(encoded()),
    "inserted": list(inserted()),
    "changed": list(changed()),
    "composed": list(composed()),
    "guessed": list(guessed()),
}


def test_there_are_five_hundred_spellings() -> None:
    every = {one for spellings in SPELLINGS.values() for one in spellings}

    assert len(every - {PATH}) >= 500


@pytest.mark.parametrize("family", SPELLINGS)
def test_no_other_spelling_of_a_path_reaches_an_upstream(rig: Rig, family: str) -> None:
    async def story() -> dict[str, int]:
        body, headers = asking("tools/call", CALL, version=LEGACY)
        headers += [("Authorization", rig.bearer()), ("Content-Length", str(len(body)))]
        fields = [("Host", "localhost:8080"), *headers, ("Allow-Me", "yes")]
        answers = {}
        for path in SPELLINGS[family]:
            raw = request("POST", "PATH", fields, body)
            answers[path] = (await rig.say(raw.replace(b"PATH", path.encode(), 1))).status
        return answers

    before = seen(rig)
    answers = rig.run(story())

    answers.pop(PATH, None)
    assert {path: status for path, status in answers.items() if status < 400} == {}
    assert seen(rig)[1] == before[1]
    assert seen(rig)[0] - before[0] == SPELLINGS[family].count(PATH)


STEERING = (
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Prefix", "/servers/other"),
    ("X-Forwarded-Path", "/servers/other/mcp"),
    ("X-Forwarded-Uri", "/servers/other/mcp"),
    ("X-Original-URL", "/servers/other/mcp"),
    ("X-Rewrite-URL", "/servers/other/mcp"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Forwarded-Proto", "https"),
    ("X-Real-IP", "127.0.0.1"),
    ("Forwarded", "for=127.0.0.1;host=evil.example"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Forwarded-User", "admin"),
)


def test_no_header_steers_a_request_elsewhere_or_lets_it_in(rig: Rig) -> None:
    async def story() -> None:
        before, records = seen(rig), len(rig.records())
        body, headers = asking("tools/call", CALL)
        token = [("Authorization", rig.bearer())]
        for steering in STEERING:
            assert (await rig.post([*token, *headers, steering], body)).status == 200
            lost = await rig.post([*token, *headers, steering], body, path="/servers/x/mcp")
            assert lost.status == 404
            assert (await rig.post([*headers, steering], body)).status == 401
        assert seen(rig) == (before[0] + len(STEERING), before[1])
        assert {one.payload["server"] for one in rig.records()[records:]} == {"up", "x"}

    rig.run(story())


# T14: the media type.

MEDIA = (
    "", "application", "json", "application/", "/json", "application/jso", "application/jsonp",
    "application/json5", "application/x-json", "application/ld+json", "application/json-seq",
    "application/json-rpc", "application/problem+json", "application/vnd.api+json", "text/json",
    "text/plain", "text/x-json", "text/html", "text/event-stream", "*/*", "application/*",
    "application/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data",
    "multipart/form-data; boundary=application/json", "text/plain; application/json",
    "text/plain, application/json", "application/json, text/plain", "application/json,",
    "application/json;", "application/json; charset", "application/json; charset=",
    "application/json; charset=utf-16", "application/json; charset=utf-7",
    "application/json; charset=iso-8859-1", "application/json; charset=us-ascii",
    "application/json; charset='utf-8'", "application/json; charset=utf-8; charset=utf-16",
    "application/json; boundary=x", "application/json; version=1", "application /json",
    "application/j\u017fon", '"application/json"', "application/json/", "application\\json",
)  # fmt: skip


@pytest.mark.parametrize("media", MEDIA)
def test_a_message_of_another_media_type_reaches_nobody(rig: Rig, media: str) -> None:
    async def story() -> None:
        before = seen(rig)
        body, headers = asking("tools/call", CALL, version=LEGACY)
        fields = [("Host", rig.host), ("Authorization", rig.bearer()), *headers]
        fields = [(key, "MEDIA" if key == "Content-Type" else value) for key, value in fields]
        raw = request("POST", PATH, [*fields, ("Content-Length", str(len(body)))], body)

        said = await rig.say(raw.replace(b"MEDIA", media.encode(), 1))

        assert (said.status, said.code) == (415, -32600)
        assert seen(rig) == before

    rig.run(story())


@pytest.mark.parametrize(
    "media",
    ["application/json", "Application/JSON", "application/json;charset=utf-8",
     'application/json ; charset="UTF-8"', " application/json\t"],
)  # fmt: skip
def test_json_by_its_own_name_is_served(rig: Rig, media: str) -> None:
    async def story() -> Said:
        body, headers = asking("tools/call", CALL, version=LEGACY)
        headers = [("Content-Type", media), *headers[1:], ("Authorization", rig.bearer())]
        return await rig.post(headers, body)

    assert rig.run(story()).status == 200


@pytest.mark.parametrize(
    "coding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "x", "chunked"]
)
def test_a_message_in_another_coding_reaches_nobody(rig: Rig, coding: str) -> None:
    async def story() -> None:
        before = seen(rig)
        more = [("Content-Encoding", coding)]
        said = await rig.ask("tools/call", CALL, more=more)
        assert (said.status, said.code) == (415, -32600)
        assert seen(rig) == before

    rig.run(story())


# T06, T07: the credential.

GOOD, BAD = "GOOD", "Bearer abc.def.ghi"

PAIRS: list[tuple[str, list[Header], str, int]] = [
    ("two good ones", [("Authorization", GOOD), ("Authorization", GOOD)], "", 400),
    ("a good one and a bad one", [("Authorization", GOOD), ("Authorization", BAD)], "", 400),
    ("a bad one and a good one", [("Authorization", BAD), ("authorization", GOOD)], "", 400),
    ("two in one line", [("Authorization", f"{GOOD}, {BAD}")], "", 400),
    ("one of another scheme beside it", [("Authorization", GOOD), ("Authorization", "Basic eDp5")],
     "", 400),
    ("one in the query too", [("Authorization", GOOD)], "?access_token=abc", 400),
    ("one in the query, escaped", [("Authorization", GOOD)], "?access%5ftoken=abc", 400),
    ("one in the query alone", [], "?access_token=GOOD", 400),
    ("one in the query as authorization", [], "?Authorization=GOOD", 400),
    ("one in a cookie too", [("Authorization", GOOD), ("Cookie", "a=b; access_token=abc")], "",
     400),
    ("one in a cookie alone", [("Cookie", "access_token=GOOD")], "", 400),
    ("one in a header of another name", [("X-Authorization", GOOD)], "", 401),
    ("one for proxies", [("Proxy-Authorization", GOOD)], "", 401),
    ("one in an underscored header", [("Authorization_", GOOD)], "", 401),
    ("one without its scheme", [("Authorization", "TOKEN")], "", 401),
    ("one of another scheme", [("Authorization", "Token TOKEN")], "", 401),
    ("one twice in its line", [("Authorization", f"{GOOD} TOKEN")], "", 401),
    ("an empty one", [("Authorization", "")], "", 401),
    ("the scheme alone", [("Authorization", "Bearer")], "", 401),
    ("the scheme and a space", [("Authorization", "Bearer ")], "", 401),
    ("one in quotes", [("Authorization", 'Bearer "TOKEN"')], "", 401),
    ("none", [], "", 401),
]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "query", "status"), [one[1:] for one in PAIRS], ids=[one[0] for one in PAIRS]
)
def test_a_request_has_one_credential_in_its_one_place(
    rig: Rig, headers: list[Header], query: str, status: int
) -> None:
    async def story() -> None:
        before, records = seen(rig), len(rig.records())
        token = rig.bearer().partition(" ")[2]
        body, rest = asking("tools/call", CALL)
        given = [
            (name, value.replace(GOOD, f"Bearer {token}").replace("TOKEN", token))
            for name, value in headers
        ]

        said = await rig.post([*given, *rest], body, path=PATH + query.replace(GOOD, token))

        assert said.status == status
        assert token.encode() not in said.raw
        assert (seen(rig), len(rig.records())) == (before, records)

    rig.run(story())


def odd_credentials(token: str) -> Iterator[bytes]:
    """Yield values that are no credential, most of them near to one."""
    chance = random.Random("credentials")
    text = f"Bearer {token}".encode()
    letters = bytes(range(0x21, 0x7F)) + b" \t" + bytes(range(0x80, 0x100))
    for _ in range(1500):
        value = bytearray(text)
        match chance.randrange(4):
            case 0:
                value[chance.randrange(len(value))] = chance.choice(letters)
            case 1:
                del value[chance.randrange(len(value)) :]
            case 2:
                value.insert(chance.randrange(len(value)), chance.choice(letters))
            case _:
                value = bytearray(chance.choices(letters, k=chance.randint(0, 200)))
        if bytes(value).strip(b" \t") != text and not is_same(bytes(value), token):
            yield bytes(value)


def is_same(value: bytes, token: str) -> bool:
    """Tell whether *value* differs from the credential in nothing that counts."""
    scheme, _, rest = value.strip(b" \t").partition(b" ")
    return scheme.lower() == b"bearer" and rest.lstrip(b" ") == token.encode()


def test_no_other_value_of_the_header_lets_anybody_in(rig: Rig) -> None:
    async def story() -> set[int]:
        token = rig.bearer().partition(" ")[2]
        body, headers = asking("tools/call", CALL)
        fields = [("Host", rig.host), ("Authorization", "VALUE"), *headers]
        raw = request("POST", PATH, [*fields, ("Content-Length", str(len(body)))], body)
        statuses = set()
        async with rig.line() as line:
            for value in odd_credentials(token):
                await line.send(raw.replace(b"VALUE", value, 1))
                statuses.add((await line.answer()).status)
        return statuses

    before, records = seen(rig), len(rig.records())

    assert rig.run(story()) <= {400, 401}
    assert (seen(rig), len(rig.records())) == (before, records)


# T18: names and pages.


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8080", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1:PORT", 200),
        ("[::1]:PORT", 200),
        ("localhost:PORT", 200),
        ("localhost", 421),
        ("localhost:8081", 421),
        ("localhost.:8080", 421),
        ("localhost:8080.evil.example", 421),
        ("evil.example", 421),
        ("evil.example:PORT", 421),
        ("127.0.0.1.nip.io:PORT", 421),
        ("127.1:PORT", 421),
        ("2130706433:PORT", 421),
        ("0.0.0.0:PORT", 421),
        ("user@localhost:8080", 421),
        ("localhost:8080/", 421),
        ("localhost:8080, evil.example", 421),
        ("", 421),
    ],
)
def test_the_gateway_answers_to_its_own_names_alone(rig: Rig, host: str, status: int) -> None:
    async def story() -> None:
        before = seen(rig)
        body, headers = asking("tools/call", CALL)
        port = str(rig.gateway.data[1])
        headers = [("Host", host.replace("PORT", port)), *headers]
        headers += [("Authorization", rig.bearer()), ("Content-Length", str(len(body)))]

        said = await rig.say(request("POST", PATH, headers, body))

        assert said.status == status
        assert seen(rig)[0] - before[0] == (status == 200)

    rig.run(story())


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (PUBLIC_URL, 200),
        ("http://localhost:8081", 403),
        ("http://localhost", 403),
        ("https://localhost:8080", 403),
        ("HTTP://LOCALHOST:8080", 403),
        ("http://localhost:8080/", 403),
        ("http://localhost:8080.evil.example", 403),
        ("http://evil.example", 403),
        ("null", 403),
        ("*", 403),
        ("", 403),
        ("file://", 403),
        ("chrome-extension://abcdef", 403),
    ],
)
@pytest.mark.parametrize("verb", ["POST", "GET", "DELETE"])
def test_a_page_of_another_origin_calls_nothing(
    rig: Rig, origin: str, status: int, verb: str
) -> None:
    async def story() -> None:
        before = seen(rig)
        body, headers = asking("tools/call", CALL)
        headers += [("Authorization", rig.bearer()), ("Origin", origin)]

        said = await rig.post(headers, body if verb == "POST" else b"", verb=verb)

        assert (said.status == 403) == (status == 403)
        assert said.header("access-control-allow-origin") is None
        assert seen(rig)[0] - before[0] == (verb == "POST" and status == 200)

    rig.run(story())
