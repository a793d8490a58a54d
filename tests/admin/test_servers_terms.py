"""What may be said of a server: its name, its URL, its headers and its token (T31)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.admin.server_terms import NewServer, ServerChanges
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError, Secret
from proxy.upstream.presented import MOST_HEADERS, MOST_VALUE
from proxy.upstream.terms import Terms, opened, profile_of, sealed, settings_of

CANARY = "canary-91e0"
GOOD: dict[str, Any] = {"name": "a", "url": "https://a.example/mcp"}
MASTER = MasterKey(Secret(bytes(range(32))))


def wrong(values: dict[str, Any]) -> set[str]:
    """Return the fields that are refused."""
    try:
        NewServer.model_validate(GOOD | values)
    except ValidationError as error:
        found = error
    else:
        return set()
    assert CANARY not in str(found)
    return {str(one["loc"][0]) for one in found.errors()}


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a__b", "a_", "_" * 2, "a/b", "a.b", "a|b", "a\n", "ä", "\u0430", "a" * 129,
     "..", "a%20", "a:b", "-\0", "a__", "{a}"],
)  # fmt: skip
def test_a_name_that_no_policy_can_split_off_is_refused(name: str) -> None:
    assert wrong({"name": name}) == {"name"}


@pytest.mark.parametrize("name", ["a", "-", "A-b_c", "a-", "0", "_a", "a" * 128])
def test_a_plain_name_is_taken(name: str) -> None:
    assert wrong({"name": name}) == set()


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://a.example/", "http://", "https://", "https:///mcp", "//a.example/mcp",
     "HTTPS://a.example/mcp", "https://A.example/mcp", "https://u@a.example/mcp",
     f"https://u:{CANARY}@a.example/mcp", "https://a.example/mcp#x", "https://a.example/../mcp",
     "https://a.example/%2e%2e/mcp", "https://a.example\\@b.example/", "https://a.example:0/mcp",
     "https://a.example:99999/mcp", "https://a.example/mcp ", "https://a.example/m\r\nX: y",
     "https://a_b.example./mcp", "http://a.example/mcp", "http://8.8.8.8/mcp",
     "http://169.254.169.254/latest", "https://0x7f000001/mcp", "https://2130706433/mcp",
     "https://127.1/mcp", "http://[fe80::1%25eth0]/mcp", "http://metadata/",
     "file:///etc/passwd", "https://a.example/mcp?(hidden)", f"https://a.example/{'a' * 2048}",
     "https://ä.example/mcp", "http://127.0.0.1.example.com/mcp"],
)  # fmt: skip
def test_a_url_that_is_not_plainly_one_place_or_leads_where_none_may_be_is_refused(
    url: str,
) -> None:
    assert wrong({"url": url}) == {"url"}


@pytest.mark.parametrize(
    ("url", "network"),
    [
        ("https://a.example/mcp", "public"),
        ("https://a.example:8443/mcp?key=x", "public"),
        ("http://localhost:3000/mcp", "public"),
        ("http://127.0.0.1:3000/mcp", "public"),
        ("http://10.1.2.3/mcp", "public"),
        ("http://mcp.internal/mcp", "private"),
    ],
)
def test_a_url_of_a_place_that_is_allowed_is_taken(url: str, network: str) -> None:
    assert wrong({"url": url, "network": network}) == set()


@pytest.mark.parametrize(
    "headers",
    [{"": "x"}, {"a b": "x"}, {"a:": "x"}, {"ä": "x"}, {"a\r\nb": "x"}, {"a" * 129: "x"},
     {"Host": "x"}, {"content-length": "x"}, {"Content-Type": "x"}, {"Accept": "x"},
     {"Connection": "x"}, {"Transfer-Encoding": "x"}, {"TE": "x"}, {"Trailer": "x"},
     {"Upgrade": "x"}, {"Keep-Alive": "x"}, {"Expect": "x"}, {"Cookie": "x"},
     {"Proxy-Authorization": "x"}, {"Mcp-Session-Id": "x"}, {"MCP-Protocol-Version": "x"},
     {"mcp-name": "x"}, {"Last-Event-ID": "x"}, {"traceparent": "x"},
     {"X": ""}, {"X": " "}, {"X": "x "}, {"X": f"{CANARY}\r\nY: z"}, {"X": "ä"}, {"X": "\0"},
     {"X": "\t"}, {"X": "x" * (MOST_VALUE + 1)}, {"X": 1}, {"X": None}, {"X": "1", "x": "2"},
     {f"X-{n}": "x" for n in range(MOST_HEADERS + 1)}, [], "X: y"],
)  # fmt: skip
def test_a_header_that_is_none_or_the_gateways_own_is_refused(headers: object) -> None:
    assert wrong({"headers": headers}) == {"headers"}


@pytest.mark.parametrize(
    "headers",
    [{}, None, {"X-Key": "a b"}, {"Authorization": "Basic dTpw"}, {"X": "x" * MOST_VALUE},
     {f"X-{n}": "x" for n in range(MOST_HEADERS)}],
)  # fmt: skip
def test_other_headers_are_taken(headers: object) -> None:
    assert wrong({"headers": headers}) == set()


@pytest.mark.parametrize("token", ["Bearer x", "x\n", "ä", "x y", " ", "x" * (MOST_VALUE + 1), 1])
def test_a_token_that_cannot_stand_in_a_header_is_refused(token: object) -> None:
    assert wrong({"bearer_token": token}) == {"bearer_token"}


@pytest.mark.parametrize(
    "values",
    [{"transport": "sse"}, {"transport": "stdio"}, {"transport": "HTTP"}, {"transport": ""},
     {"session_mode": "x"}, {"network": "lan"}, {"command": "npx"}, {"args": ["-y"]},
     {"env": {"A": "b"}}, {"oauth_redirect_uri": "x"}, {"oauth_client_id": "x"},
     {"oauth_client_secret": CANARY}, {"oauth_scopes": ["x"]}, {"force": "yes"},
     {"description": "a\nb"}, {"unheard_of": 1}],
)  # fmt: skip
def test_what_is_not_served_is_refused_by_its_name(values: dict[str, Any]) -> None:
    assert wrong(values) == set(values)


def test_a_registration_of_mcpjungle_is_taken_as_it_is_where_it_asks_for_what_is_served() -> None:
    theirs = {
        "transport": "streamable_http", "description": "", "bearer_token": "", "headers": {},
        "command": "", "args": [], "env": {}, "session_mode": "stateless",
        "oauth_redirect_uri": "", "oauth_client_id": "", "oauth_client_secret": "",
        "oauth_scopes": [],
    }  # fmt: skip

    new = NewServer.model_validate(GOOD | theirs)

    assert new.terms.profile.has_bearer is False


def test_no_secret_shows_in_what_was_said_or_made_of_it() -> None:
    secret = {"bearer_token": CANARY, "headers": {"X": CANARY}}
    url = f"https://a.example/mcp?key={CANARY}"
    new = NewServer.model_validate(GOOD | secret | {"url": url})
    changes = ServerChanges.model_validate(secret)
    terms = new.terms

    assert CANARY not in "".join(map(repr, (changes, terms, terms.presented, terms.profile)))
    assert CANARY not in settings_of(terms.profile)
    assert CANARY not in repr(sealed(terms, MASTER, "upstream:a"))
    assert (b"X", CANARY.encode()) in terms.presented.lines


def test_terms_are_the_same_once_they_were_kept_and_open_for_their_own_server_alone() -> None:
    secret = {"bearer_token": CANARY, "headers": {"X": CANARY}}
    new = NewServer.model_validate(GOOD | secret | {"url": "https://a.example/mcp?key=1"})
    kept, text = settings_of(new.terms.profile), sealed(new.terms, MASTER, "upstream:a")

    again = opened(profile_of(kept), text, MASTER, "upstream:a")

    assert (again.url, again.profile) == (new.url, new.terms.profile)
    assert again.presented.lines == new.terms.presented.lines
    with pytest.raises(DamagedError):
        opened(profile_of(kept), text, MASTER, "upstream:b")
    with pytest.raises(MasterKeyError):
        opened(profile_of(kept), text, MasterKey(Secret(bytes(32))), "upstream:a")


def test_terms_without_a_secret_are_kept_without_one() -> None:
    assert sealed(Terms("https://a.example/mcp"), MASTER, "upstream:a") is None
