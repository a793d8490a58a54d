"""The token endpoint of a running gateway: who gets a token, for what, and who does not."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from policies.model import Entity, Fact
from proxy.identity.keys import Algorithm, generate
from tests.gateway.harness import PUBLIC_URL, Rig, gateway, shared
from tests.gateway.raw import asking
from tests.oauth.served import (
    ADMIN_URL,
    ASSERTION_TYPE,
    FAST,
    RESOURCE,
    TOKEN_URL,
    Told,
    ask,
    basic,
    by_key,
    claims,
    manage,
    new_key,
    new_secret,
    post,
    signed,
    wanting,
)

SUSPENDED = Fact("is_suspended", (Entity("Client", "ci"),))


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("oauth"), settings=FAST) as found:
        yield found


@pytest.fixture(scope="module")
def secret(rig: Rig) -> str:
    return rig.run(new_secret(rig))


async def call(rig: Rig, token: str, path: str = "/servers/up/mcp") -> int:
    body, headers = asking("tools/list")
    bearer = ("Authorization", f"Bearer {token}")
    return (await rig.post([bearer, *headers], body, path=path)).status


def principal(rig: Rig, token: str) -> Any:  # noqa: ANN401  only shown
    return rig.tokens.verifier.verify(token, frozenset({RESOURCE, PUBLIC_URL}))


def test_a_client_with_its_secret_gets_a_token_that_opens_what_it_asked_for(
    rig: Rig, secret: str
) -> None:
    async def story() -> tuple[Told, list[int]]:
        told = await post(rig, wanting(scope="read write"), basic("ci", secret))
        token = told.document["access_token"]
        return told, [await call(rig, token), await call(rig, token, "/servers/other/mcp")]

    told, statuses = rig.run(story())
    token = told.document.pop("access_token")

    assert told.status == 200
    assert told.headers["Cache-Control"] == "no-store"
    assert told.headers["Pragma"] == "no-cache"
    assert told.headers["Content-Type"] == "application/json"
    shown = {name: value for name, value in told.document.items() if name != "access_token"}
    assert shown == {"token_type": "Bearer", "expires_in": 3600, "scope": "read write"}
    assert statuses == [200, 401]
    assert principal(rig, token).actor == ("Client", "ci")
    assert principal(rig, token).scope == {"read", "write"}


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("audience", [PUBLIC_URL, TOKEN_URL])
def test_a_client_with_a_key_gets_a_token(rig: Rig, algorithm: Algorithm, audience: str) -> None:
    async def story() -> tuple[Told, int]:
        key = await new_key(rig, f"keyed-{algorithm.value}", algorithm)
        name = f"keyed-{algorithm.value}"
        told = await post(rig, by_key(signed(key, claims(name, aud=audience)), client_id=name))
        return told, await call(rig, told.document["access_token"])

    told, status = rig.run(story())

    assert (told.status, status) == (200, 404), "known, and without a grant"


def test_an_assertion_is_good_once(rig: Rig) -> None:
    async def story() -> list[int]:
        key = await new_key(rig, "once")
        form = by_key(signed(key, claims("once")))
        many = await asyncio.gather(*(post(rig, form) for _ in range(5)))
        another = await post(rig, by_key(signed(key, claims("once"))))
        return [*sorted(told.status for told in many), another.status]

    assert rig.run(story()) == [200, 401, 401, 401, 401, 200]


GOOD = wanting()
REFUSED: list[tuple[str, dict[str, str] | str, int, str]] = [
    ("no body", "", 400, "invalid_request"),
    ("no grant", wanting(grant_type=None), 400, "invalid_request"),
    ("empty grant", wanting(grant_type=""), 400, "invalid_request"),
    ("another grant", wanting(grant_type="authorization_code"), 400, "unsupported_grant_type"),
    ("refresh", wanting(grant_type="refresh_token"), 400, "unsupported_grant_type"),
    ("twice", f"resource={RESOURCE}&grant_type=client_credentials&resource={RESOURCE}", 400,
     "invalid_request"),
    ("no resource", wanting(resource=None), 400, "invalid_target"),
    ("empty resource", wanting(resource=""), 400, "invalid_target"),
    ("elsewhere", wanting(resource="https://evil.example"), 400, "invalid_target"),
    ("with a slash", wanting(resource=f"{RESOURCE}/"), 400, "invalid_target"),
    ("upper case", wanting(resource=RESOURCE.upper()), 400, "invalid_target"),
    ("with a query", wanting(resource=f"{RESOURCE}?a=b"), 400, "invalid_target"),
    ("with a fragment", wanting(resource=f"{RESOURCE}#a"), 400, "invalid_target"),
    ("no such path", wanting(resource=f"{PUBLIC_URL}/elsewhere"), 400, "invalid_target"),
    ("the control plane", wanting(resource=ADMIN_URL), 400, "invalid_target"),
    ("a quote in the scope", wanting(scope='a"b'), 400, "invalid_scope"),
    ("a backslash in the scope", wanting(scope="a\\b"), 400, "invalid_scope"),
    ("two spaces in the scope", wanting(scope="a  b"), 400, "invalid_scope"),
    ("a control in the scope", wanting(scope="a\nb"), 400, "invalid_scope"),
    ("an accent in the scope", wanting(scope="\u00e9"), 400, "invalid_scope"),
    ("33 words", wanting(scope=" ".join(f"s{n}" for n in range(33))), 400, "invalid_scope"),
    ("a long word", wanting(scope="s" * 129), 400, "invalid_scope"),
    ("another client", wanting(client_id="other"), 401, "invalid_client"),
    ("a secret as well", GOOD | {"client_secret": "x"}, 400, "invalid_request"),
    ("an assertion as well", by_key("a.b.c"), 400, "invalid_request"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_t03_a_request_that_asks_wrongly_is_told_how(
    rig: Rig, secret: str, form: dict[str, str] | str, status: int, error: str
) -> None:
    told = rig.run(post(rig, form, basic("ci", secret)))

    assert (told.status, told.error) == (status, error)
    assert set(told.document) == {"error", "error_description"}
    assert told.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "media",
    ["", "text/plain", "application/json", "application/x-www-form-urlencoded;charset=utf-16"],
)
def test_a_body_of_another_kind_is_refused(rig: Rig, secret: str, media: str) -> None:
    told = rig.run(post(rig, GOOD, basic("ci", secret) | {"Content-Type": media}))

    assert (told.status, told.error) == (400, "invalid_request")


def test_parameters_in_the_address_are_refused(rig: Rig, secret: str) -> None:
    path = f"/oauth/token?resource={RESOURCE}"

    told = rig.run(post(rig, wanting(resource=None), basic("ci", secret), path=path))

    assert (told.status, told.error) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_token_is_asked_for_by_a_post(rig: Rig, method: str) -> None:
    told = rig.run(ask(f"http://{rig.host}/oauth/token", method))

    assert (told.status, told.headers["Allow"]) == (405, "POST")


def strangers(secret: str) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Return forms and headers of whoever is not known, by what is wrong with him."""

    def coded(text: str) -> dict[str, str]:
        return {"Authorization": f"Basic {b64encode(text.encode()).decode()}"}

    key = generate(Algorithm.EDDSA)
    return {
        "wrong secret": (GOOD, basic("ci", secret[:-1] + ("A" if secret[-1] != "A" else "B"))),
        "secret in part": (GOOD, basic("ci", secret[:-1])),
        "no secret": (GOOD, basic("ci", "")),
        "unknown client": (GOOD, basic("nobody", secret)),
        "client in capitals": (GOOD, basic("CI", secret)),
        "no client": (GOOD, basic("", secret)),
        "client that cannot be": (GOOD, basic("a b\0", secret)),
        "a user's name": (GOOD, basic("user:ci", secret)),
        "no colon": (GOOD, coded("ci")),
        "no base64": (GOOD, {"Authorization": "Basic !!!"}),
        "not text": (GOOD, {"Authorization": f"Basic {b64encode(b'ci:' + bytes([255])).decode()}"}),
        "another scheme": (GOOD, {"Authorization": f"Bearer {secret}"}),
        "nothing": (GOOD, {}),
        "only an id": (wanting(client_id="ci"), {}),
        "secret in the body": (wanting(client_id="ci", client_secret=secret), {}),
        "assertion of nobody": (by_key(signed(key, claims("nobody"))), {}),
        "assertion by another key": (by_key(signed(key, claims("ci"))), {}),
        "assertion without a type": (GOOD | {"client_assertion": signed(key, claims())}, {}),
        "another type": (by_key("x.y.z") | {"client_assertion_type": "saml"}, {}),
        "no assertion": (wanting(client_assertion_type=ASSERTION_TYPE), {}),
        "garbage": (by_key("x.y.z"), {}),
    }  # fmt: skip


def test_t06_whoever_is_not_known_gets_one_answer_and_leaves_no_record(
    rig: Rig, secret: str
) -> None:
    async def story() -> tuple[dict[str, Told], int]:
        before = len(rig.records("change"))
        said = {name: await post(rig, *shown) for name, shown in strangers(secret).items()}
        return said, len(rig.records("change")) - before

    said, records = rig.run(story())

    assert {name: told.status for name, told in said.items()} == dict.fromkeys(said, 401)
    answers = {(told.body, tuple(sorted(told.headers.items()))) for told in said.values()}
    assert len(answers) == 1
    assert said["nothing"].error == "invalid_client"
    assert said["nothing"].headers["WWW-Authenticate"].startswith("Basic ")
    assert records == 0


def test_two_credentials_in_two_headers_are_refused(rig: Rig, secret: str) -> None:
    async def story() -> bytes:
        lines = [("Authorization", basic("ci", one)["Authorization"]) for one in (secret, "x")]
        media = ("Content-Type", "application/x-www-form-urlencoded")
        body = f"grant_type=client_credentials&resource={RESOURCE}".encode()
        said = await rig.post([*lines, media], body, path="/oauth/token")
        return b"%d %b" % (said.status, said.body)

    assert b"400" in rig.run(story())[:3]
    assert b"invalid_request" in rig.run(story())


def test_secrets_overlap_and_each_dies_alone_and_at_once(rig: Rig) -> None:
    async def story() -> list[list[int]]:
        first, second = [await new_secret(rig, "rotating") for _ in range(2)]
        listed = (await manage(rig, "GET", "clients/rotating/secrets")).document["secrets"]

        async def statuses() -> list[int]:
            each = [basic("rotating", one) for one in (first, second)]
            return [(await post(rig, GOOD, one)).status for one in each]

        found = [await statuses()]
        for one in listed:
            path = f"clients/rotating/secrets/{one['secret_id']}"
            assert (await manage(rig, "DELETE", path)).status == 200
            found.append(await statuses())
        return found

    assert rig.run(story()) == [[200, 200], [401, 200], [401, 401]]


def test_a_suspended_client_is_a_stranger_until_it_is_not(rig: Rig, secret: str) -> None:
    async def story() -> list[Told]:
        key = await new_key(rig, "ci")
        found = []
        for change in (rig.state, rig.unstate):
            await change(SUSPENDED)
            found.append(await post(rig, GOOD, basic("ci", secret)))
            found.append(await post(rig, by_key(signed(key, claims()))))
        return [*found, await post(rig, GOOD, basic("nobody", secret))]

    *found, stranger = rig.run(story())

    assert [told.status for told in found] == [401, 401, 200, 200]
    assert found[0].body == found[1].body == stranger.body


def test_what_is_issued_is_recorded_listed_and_can_be_revoked(rig: Rig) -> None:
    async def story() -> tuple[list[Any], list[Any], list[int]]:
        secret = await new_secret(rig, "ci")
        token = (await post(rig, GOOD, basic("ci", secret))).document["access_token"]
        token_id = principal(rig, token).token_id
        records = [one.payload for one in rig.records("change")]
        mine = [one for one in records if (one.get("after") or {}).get("token_id") == token_id]
        listed = await manage(rig, "GET", "tokens?subject=client:ci&limit=500")
        found = [one for one in listed.document["tokens"] if one["token_id"] == token_id]
        before = await call(rig, token)
        assert (await manage(rig, "DELETE", f"tokens/{token_id}")).status == 200
        return mine, found, [before, await call(rig, token)]

    records, listed, statuses = rig.run(story())

    assert [one["what"] for one in records] == ["token.issued"]
    assert (records[0]["who"]["type"], records[0]["who"]["id"]) == ("Client", "ci")
    assert records[0]["why"] == "client_credentials"
    assert [one["issued_by"] for one in listed] == ["Client:ci"]
    assert statuses == [200, 401]


@pytest.mark.parametrize("resource", [PUBLIC_URL, f"{PUBLIC_URL}/servers/nowhere/mcp"])
def test_a_token_is_for_any_endpoint_that_could_be_here(
    rig: Rig, secret: str, resource: str
) -> None:
    """Whether a server is there is not told by what tokens are issued."""
    assert rig.run(post(rig, wanting(resource=resource), basic("ci", secret))).status == 200


def test_t40_whoever_asks_too_often_is_told_to_wait_and_nobody_else_is(tmp_path: Path) -> None:
    async def story() -> tuple[list[Told], int, str]:
        settings = {"tokens.requests_per_second": 3}
        async with gateway(tmp_path, settings=settings) as rig:
            said = [await post(rig, GOOD, basic("ci", "wrong")) for _ in range(8)]
            connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.post(f"http://{rig.host}/oauth/token", data=GOOD) as other,
            ):
                return said, other.status, await rig.metrics()

    said, other, metrics = asyncio.run(story())

    assert [told.status for told in said[:3]] == [401, 401, 401]
    last = said[-1]
    assert (last.status, last.headers["Retry-After"]) == (429, "1")
    assert last.error == "temporarily_unavailable"
    assert other == 401
    assert 'reason="token_request_too_fast"' in metrics
    assert 'reason="token_client_refused"' in metrics


def test_without_the_stored_state_no_token_is_issued_and_it_is_said(tmp_path: Path) -> None:
    async def story() -> Told:
        async with gateway(tmp_path) as rig:
            secret = await new_secret(rig)
            await rig.gateway.issuing.ledger._database.close()  # noqa: SLF001  as an outage has it
            return await post(rig, GOOD, basic("ci", secret))

    told = asyncio.run(story())

    assert (told.status, told.error) == (503, "temporarily_unavailable")
    assert told.headers["Retry-After"] == "1"


def test_the_metadata_names_the_gateway_and_what_it_offers(rig: Rig) -> None:
    async def story() -> tuple[Told, Told]:
        base = f"http://{rig.host}/.well-known"
        resource = f"{base}/oauth-protected-resource/servers/up/mcp"
        return await ask(f"{base}/oauth-authorization-server", "GET"), await ask(resource, "GET")

    server, resource = rig.run(story())

    assert server.document == {
        "issuer": PUBLIC_URL,
        "token_endpoint": TOKEN_URL,
        "jwks_uri": f"{PUBLIC_URL}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["EdDSA", "ES256", "RS256"],
        "authorization_endpoint": f"{PUBLIC_URL}/oauth/authorize",
        "response_types_supported": [],
    }
    assert resource.document["authorization_servers"] == [server.document["issuer"]]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/.well-known/oauth-authorization-server", 405),
        ("GET", "/.well-known/oauth-authorization-server?x=y", 404),
        ("GET", "/.well-known/oauth-authorization-server/servers/up/mcp", 404),
        ("GET", "/oauth/token/", 404),
        ("GET", "/oauth", 404),
        ("GET", "/oauth/authorize?response_type=code", 400),
    ],
)
def test_nothing_else_is_there(rig: Rig, method: str, path: str, status: int) -> None:
    assert rig.run(ask(f"http://{rig.host}{path}", method)).status == status


def test_r01_where_it_cannot_be_said_whether_a_client_is_suspended_it_gets_no_token(
    tmp_path: Path,
) -> None:
    policy = """
    declare number(Integer);
    is_suspended(client: Client) if client = Client{"slow"}
      and number(a) and number(b) and a > b and number(c) and b > c and c > a;
    """
    facts = [Fact("number", (n,)) for n in range(600)]

    async def story() -> list[tuple[int, str | None]]:
        settings = {"policy.portable": False}
        async with gateway(tmp_path, policy=policy, facts=facts, settings=settings) as rig:
            clients = ("ci", "slow")
            secrets = {client: await new_secret(rig, client) for client in clients}
            told = [await post(rig, wanting(), basic(one, secrets[one])) for one in clients]
            return [(one.status, one.error) for one in told]

    assert asyncio.run(story()) == [(200, None), (503, "temporarily_unavailable")]
