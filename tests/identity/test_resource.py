"""Audiences, metadata and challenges of an endpoint (RFC 9728, RFC 6750)."""

from __future__ import annotations

import re

import pytest

from proxy.identity.issue import TokenRequest
from proxy.identity.principal import ActorType, Principal
from proxy.identity.refusal import Reason, RefusedError
from proxy.identity.resource import ProtectedResource
from tests.identity.workshop import ENDPOINT, GATEWAY, Plane, text_of

GITHUB = ProtectedResource(GATEWAY, "/servers/github/mcp")


def test_the_metadata_is_at_the_well_known_place_of_the_path() -> None:
    assert GITHUB.url == ENDPOINT
    assert GITHUB.metadata_url == (
        "https://gateway.example/.well-known/oauth-protected-resource/servers/github/mcp"
    )


def test_the_well_known_part_goes_before_a_path_of_the_public_url() -> None:
    behind = ProtectedResource("https://[::1]:8443/northgate", "/mcp")

    assert behind.url == "https://[::1]:8443/northgate/mcp"
    assert behind.metadata_url == (
        "https://[::1]:8443/.well-known/oauth-protected-resource/northgate/mcp"
    )


def test_the_metadata_names_the_resource_that_clients_type() -> None:
    assert GITHUB.metadata([GATEWAY], ["mcp"], "GitHub") == {
        "resource": ENDPOINT,
        "authorization_servers": [GATEWAY],
        "scopes_supported": ["mcp"],
        "bearer_methods_supported": ["header"],
        "resource_name": "GitHub",
    }
    assert "resource_name" not in GITHUB.metadata([GATEWAY], [])


def test_a_challenge_says_where_to_look_and_what_to_ask_for() -> None:
    start = f'Bearer resource_metadata="{GITHUB.metadata_url}"'

    assert GITHUB.challenge([]) == start
    assert GITHUB.challenge(["mcp"]) == f'{start}, scope="mcp"'
    assert GITHUB.challenge(["a", "b"], "invalid_token") == (
        f'{start}, scope="a b", error="invalid_token"'
    )


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.CREDENTIAL_ABSENT, None),
        (Reason.EXPIRED, "invalid_token"),
        (Reason.KEY_UNKNOWN, "invalid_token"),
        (Reason.CREDENTIAL_REPEATED, "invalid_request"),
    ],
)
def test_a_challenge_has_an_error_only_if_a_credential_was_sent(
    reason: Reason, error: str | None
) -> None:
    challenge = GITHUB.challenge(["mcp"], RefusedError(reason).code)

    assert re.findall('error="(.*?)"', challenge) == ([error] if error else [])


@pytest.mark.parametrize("text", ['a"', "a\\", "a\r\nSet-Cookie: x", "\u00e9", "a\x00"])
def test_nothing_breaks_out_of_the_quotes_of_a_challenge(text: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        GITHUB.challenge([text])
    with pytest.raises(ValueError, match="visible ASCII"):
        GITHUB.challenge(["mcp"], text)


@pytest.mark.parametrize(
    "url",
    [
        "", "gateway.example", "ftp://gateway.example", "https://gateway.example/", "https://",
        "https://u:p@gateway.example", "https://gateway.example?x", "https://gateway.example#x",
        'https://gateway.example"', "https://gateway.example\n", "https://gateway.example/a//b",
        "https://g\u0430teway.example", "https://gateway.example:123456",
    ],
)  # fmt: skip
def test_a_public_url_is_an_origin_and_a_plain_path(url: str) -> None:
    with pytest.raises(ValueError, match="public URL"):
        ProtectedResource(url, "/mcp")


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "mcp", "/mcp/", "//mcp", "/a/../b", "/..", "/a/.", "/a b", '/a"', "/a%2fb", "/a\n",
        "/a?b", "/a#b", "/a;b", "/\u0430",
    ],
)  # fmt: skip
def test_a_path_has_plain_segments(path: str) -> None:
    with pytest.raises(ValueError, match="plain segments"):
        ProtectedResource(GATEWAY, path)


def test_the_challenge_of_a_server_differs_from_another_by_its_name_alone() -> None:
    other = ProtectedResource(GATEWAY, "/servers/gitlab/mcp")

    assert other.challenge(["mcp"]).replace("gitlab", "github") == GITHUB.challenge(["mcp"])


@pytest.mark.parametrize(
    ("audience", "gateway_wide", "is_open"),
    [
        (ENDPOINT, True, True),
        (ENDPOINT, False, True),
        (GATEWAY, True, True),
        (GATEWAY, False, False),
        (f"{GATEWAY}/mcp", True, False),
        (f"{GATEWAY}/servers/gitlab/mcp", True, False),
        ("https://admin.gateway.example", True, False),
    ],
)
def test_a_token_opens_its_endpoint_and_a_wide_one_all_if_that_is_allowed(
    audience: str, *, gateway_wide: bool, is_open: bool
) -> None:
    plane = Plane()
    token = text_of(plane.issuer.issue(TokenRequest(ActorType.CLIENT, "ci", audience, 600)))
    audiences = GITHUB.audiences(gateway_wide=gateway_wide)

    try:
        found: object = plane.verifier.verify(token, audiences)
    except RefusedError as refused:
        found = refused.reason

    assert isinstance(found, Principal) == is_open
    assert is_open or found is Reason.AUDIENCE_OTHER
