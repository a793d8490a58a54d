"""Assertions of clients: which prove something, and every way in which one does not (T01-T03)."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from proxy.identity.keys import Algorithm, SigningKey, TrustedKey, generate, jwk, public_bytes
from proxy.oauth.assertions import BadAssertionError, Proof, proved, read_assertion
from tests.gateway.harness import PUBLIC_URL
from tests.identity.forge import signature_over
from tests.identity.workshop import encoded
from tests.oauth.served import TOKEN_URL, claims, signed

AUDIENCES = frozenset({PUBLIC_URL, TOKEN_URL})
KEY = generate(Algorithm.EDDSA)
NOW = int(time.time())


def trusted(key: SigningKey, key_id: str = "k1") -> TrustedKey:
    return TrustedKey(key_id, key.algorithm, key.public)


def proof(text: str, *keys: SigningKey, now: float | None = None) -> Proof:
    held = [trusted(key) for key in keys or (KEY,)]
    return proved(read_assertion(text), held, AUDIENCES, time.time() if now is None else now)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("audience", [PUBLIC_URL, TOKEN_URL, [PUBLIC_URL]])
def test_an_assertion_of_each_kind_of_key_proves_who_made_it(
    algorithm: Algorithm, audience: object
) -> None:
    key = generate(algorithm) if algorithm is not KEY.algorithm else KEY
    text = signed(key, claims(aud=audience, jti="once"))

    found = proof(text, key)

    assert read_assertion(text).subject == "ci"
    assert found.key.public is key.public
    assert found.assertion_id == "once"


@pytest.mark.parametrize(
    "headers", [{"kid": "k1"}, {"typ": "client-authentication+jwt"}, {"typ": None}, {"typ": "jwt"}]
)
def test_the_usual_headers_are_taken(headers: dict[str, Any]) -> None:
    assert proof(signed(KEY, claims(), headers)).key.key_id == "k1"


WRONG_CLAIMS: list[dict[str, Any]] = [
    {"iss": "other"}, {"iss": ...}, {"sub": "other"}, {"iss": 1, "sub": 1},
    {"aud": ...}, {"aud": "https://evil.example"}, {"aud": f"{PUBLIC_URL}/"},
    {"aud": [PUBLIC_URL, "https://evil.example"]}, {"aud": []}, {"aud": [[PUBLIC_URL]]},
    {"aud": {PUBLIC_URL: 1}}, {"aud": PUBLIC_URL.upper()},
    {"exp": ...}, {"exp": NOW - 31}, {"exp": NOW + 600}, {"exp": str(NOW + 60)}, {"exp": True},
    {"exp": float(NOW + 60)}, {"exp": None}, {"exp": -1}, {"exp": 10**18},
    {"iat": NOW + 300}, {"iat": str(NOW)}, {"iat": True}, {"nbf": NOW + 300}, {"nbf": "soon"},
    {"jti": ...}, {"jti": ""}, {"jti": 7}, {"jti": "a b"}, {"jti": "x" * 257}, {"jti": "\u00e9"},
]  # fmt: skip


@pytest.mark.parametrize("changes", WRONG_CLAIMS, ids=range(len(WRONG_CLAIMS)))
def test_an_assertion_with_a_wrong_claim_proves_nothing(changes: dict[str, Any]) -> None:
    # The rows were written at one moment, and are read at another.
    said = claims("ci", **({"iat": NOW, "exp": NOW + 60} | changes))

    with pytest.raises(BadAssertionError):
        proof(raw(KEY, {"alg": "EdDSA"}, said), now=NOW)
    assert proof(raw(KEY, {"alg": "EdDSA"}, claims("ci", iat=NOW, exp=NOW + 60)), now=NOW)


def raw(key: SigningKey, header: Mapping[str, object], said: Mapping[str, object]) -> str:
    """Sign what no library would write."""
    start = f"{encoded(json.dumps(header))}.{encoded(json.dumps(said))}"
    return f"{start}.{signature_over(key, start)}"


WRONG_HEADERS: list[dict[str, object]] = [
    {}, {"alg": None}, {"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256"}, {"alg": "eddsa"},
    {"alg": ["EdDSA"]}, {"alg": "EdDSA", "kid": "other"}, {"alg": "EdDSA", "kid": 1},
    {"alg": "EdDSA", "typ": "at+jwt"}, {"alg": "EdDSA", "typ": "oauth-id-jag+jwt"},
    {"alg": "EdDSA", "typ": None}, {"alg": "EdDSA", "crit": ["exp"]}, {"alg": "EdDSA", "b64": True},
    {"alg": "EdDSA", "jwk": jwk(KEY.algorithm, KEY.public)}, {"alg": "EdDSA", "zip": "DEF"},
    {"alg": "EdDSA", "jku": "https://evil.example"}, {"alg": "EdDSA", "x5c": ["MIIB"]},
]  # fmt: skip


@pytest.mark.parametrize("header", WRONG_HEADERS, ids=range(len(WRONG_HEADERS)))
def test_an_assertion_with_a_wrong_header_proves_nothing(header: dict[str, object]) -> None:
    with pytest.raises(BadAssertionError):
        proof(raw(KEY, header, claims()))


def test_the_public_key_is_no_secret_to_sign_with() -> None:
    with pytest.raises(BadAssertionError):
        proof(forged_with(public_bytes(KEY.public)))


def forged_with(secret: bytes) -> str:
    start = f"{encoded({'alg': 'HS256'})}.{encoded(json.dumps(claims()))}"
    return f"{start}.{encoded(hmac.digest(secret, start.encode(), 'sha256'))}"


def test_the_key_of_somebody_else_proves_nothing() -> None:
    with pytest.raises(BadAssertionError):
        proof(signed(generate(Algorithm.EDDSA), claims()))
    with pytest.raises(BadAssertionError):
        proved(read_assertion(signed(KEY, claims())), [], AUDIENCES, NOW)


def test_of_several_keys_the_one_that_signed_is_found() -> None:
    other = generate(Algorithm.EDDSA)

    assert proof(signed(KEY, claims()), other, KEY).key.public is KEY.public


@pytest.mark.parametrize("text", ["", ".", "a.b", "a.b.c.d", "e30.e30.", "e30.e30.x" * 3000, "..."])
def test_what_is_no_compact_form_proves_nothing(text: str) -> None:
    with pytest.raises(BadAssertionError):
        proof(text)


def test_an_assertion_is_good_to_its_last_second_and_a_little_more() -> None:
    text = signed(KEY, claims(exp=NOW + 60, iat=NOW))

    assert proof(text, now=NOW + 89).ends_at == NOW + 90
    with pytest.raises(BadAssertionError):
        proof(text, now=NOW + 90)
