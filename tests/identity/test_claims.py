"""Claims that are absent, of the wrong type or out of bounds (T03)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.identity.claims import Expectations, read_claims
from proxy.identity.principal import ActorType
from proxy.identity.refusal import Reason, RefusedError
from tests.identity.workshop import ENDPOINT, GATEWAY, NOW, Plane, good_claims

PLANE = Plane()

Case = tuple[Reason, dict[str, Any]]

CASES: list[Case] = [
    (Reason.ISSUER_ABSENT, {"iss": ...}),
    (Reason.ISSUER_ABSENT, {"iss": None}),
    (Reason.ISSUER_OTHER, {"iss": "https://other.example"}),
    (Reason.ISSUER_OTHER, {"iss": GATEWAY + "/"}),
    (Reason.ISSUER_OTHER, {"iss": GATEWAY + ".evil.example"}),
    (Reason.ISSUER_OTHER, {"iss": GATEWAY[:-1]}),
    (Reason.ISSUER_OTHER, {"iss": GATEWAY.upper()}),
    (Reason.ISSUER_OTHER, {"iss": [GATEWAY]}),
    (Reason.AUDIENCE_ABSENT, {"aud": ...}),
    (Reason.AUDIENCE_ABSENT, {"aud": None}),
    (Reason.AUDIENCE_MALFORMED, {"aud": [ENDPOINT]}),
    (Reason.AUDIENCE_MALFORMED, {"aud": [ENDPOINT, "https://other.example"]}),
    (Reason.AUDIENCE_MALFORMED, {"aud": {"url": ENDPOINT}}),
    (Reason.AUDIENCE_MALFORMED, {"aud": ""}),
    (Reason.AUDIENCE_OTHER, {"aud": ENDPOINT + "/"}),
    (Reason.AUDIENCE_OTHER, {"aud": ENDPOINT[:-1]}),
    (Reason.AUDIENCE_OTHER, {"aud": "https://gateway.example/servers/gitlab/mcp"}),
    (Reason.AUDIENCE_OTHER, {"aud": "https://admin.gateway.example"}),
    (Reason.SUBJECT_ABSENT, {"sub": ...}),
    (Reason.SUBJECT_ABSENT, {"sub": None}),
    (Reason.SUBJECT_MALFORMED, {"sub": ""}),
    (Reason.SUBJECT_MALFORMED, {"sub": "ci"}),
    (Reason.SUBJECT_MALFORMED, {"sub": "client:"}),
    (Reason.SUBJECT_MALFORMED, {"sub": "Client:ci"}),
    (Reason.SUBJECT_MALFORMED, {"sub": "team:ci"}),
    (Reason.SUBJECT_MALFORMED, {"sub": "user:https://idp.example:alice"}),
    (Reason.SUBJECT_MALFORMED, {"sub": "client:ci\n"}),
    (Reason.SUBJECT_MALFORMED, {"sub": "client:c\u0456"}),
    (Reason.SUBJECT_MALFORMED, {"sub": "client:" + "a" * 129}),
    (Reason.SUBJECT_MALFORMED, {"sub": ["client:ci"]}),
    (Reason.SUBJECT_MALFORMED, {"sub": 7}),
    (Reason.CLIENT_ABSENT, {"client_id": ...}),
    (Reason.CLIENT_MALFORMED, {"client_id": ""}),
    (Reason.CLIENT_MALFORMED, {"client_id": 1}),
    (Reason.CLIENT_OTHER, {"client_id": "cd"}),
    (Reason.EXPIRY_ABSENT, {"exp": ...}),
    (Reason.EXPIRY_MALFORMED, {"exp": None}),
    (Reason.EXPIRY_MALFORMED, {"exp": str(NOW + 600)}),
    (Reason.EXPIRY_MALFORMED, {"exp": NOW + 600.5}),
    (Reason.EXPIRY_MALFORMED, {"exp": float(NOW + 600)}),
    (Reason.EXPIRY_MALFORMED, {"exp": True}),
    (Reason.EXPIRY_MALFORMED, {"exp": 10**18}),
    (Reason.EXPIRY_MALFORMED, {"exp": -1}),
    (Reason.EXPIRY_MALFORMED, {"exp": [NOW + 600]}),
    (Reason.EXPIRED, {"exp": NOW - 30, "iat": NOW - 600}),
    (Reason.LIFE_NOT_POSITIVE, {"exp": NOW}),
    (Reason.LIFE_NOT_POSITIVE, {"exp": NOW - 5}),
    (Reason.LIFE_TOO_LONG, {"exp": NOW + 86_401}),
    (Reason.LIFE_TOO_LONG, {"exp": 2**53 - 1}),
    (Reason.ISSUED_ABSENT, {"iat": ...}),
    (Reason.ISSUED_MALFORMED, {"iat": False}),
    (Reason.ISSUED_MALFORMED, {"iat": 0}),
    (Reason.ISSUED_MALFORMED, {"iat": str(NOW)}),
    (Reason.ISSUED_MALFORMED, {"iat": float(NOW)}),
    (Reason.ISSUED_LATER, {"iat": NOW + 31}),
    (Reason.NOT_BEFORE_MALFORMED, {"nbf": None}),
    (Reason.NOT_BEFORE_MALFORMED, {"nbf": str(NOW)}),
    (Reason.NOT_BEFORE_MALFORMED, {"nbf": True}),
    (Reason.NOT_YET_VALID, {"nbf": NOW + 31}),
    (Reason.TOKEN_ID_ABSENT, {"jti": ...}),
    (Reason.TOKEN_ID_ABSENT, {"jti": None}),
    (Reason.TOKEN_ID_MALFORMED, {"jti": ""}),
    (Reason.TOKEN_ID_MALFORMED, {"jti": 7}),
    (Reason.TOKEN_ID_MALFORMED, {"jti": "a b"}),
    (Reason.TOKEN_ID_MALFORMED, {"jti": "a" * 129}),
    (Reason.SCOPE_MALFORMED, {"scope": ""}),
    (Reason.SCOPE_MALFORMED, {"scope": ["mcp"]}),
    (Reason.SCOPE_MALFORMED, {"scope": "mcp  more"}),
    (Reason.SCOPE_MALFORMED, {"scope": 'mcp"'}),
    (Reason.SCOPE_MALFORMED, {"scope": None}),
    (Reason.ID_TOKEN, {"nonce": "n"}),
    (Reason.ID_TOKEN, {"at_hash": "h"}),
    (Reason.CLIENT_ASSERTION, {"iss": "client:ci"}),
    (Reason.CLIENT_ASSERTION, {"iss": "ci", "sub": "ci"}),
    (Reason.PROOF_ABSENT, {"cnf": {"jkt": "thumbprint"}}),
    (Reason.PROOF_ABSENT, {"cnf": None}),
    (Reason.DELEGATION_MALFORMED, {"act": {"sub": "client:ci"}}),
    (Reason.DELEGATION_MALFORMED, {"sub": "user:alice", "act": {"sub": "client:cd"}}),
    (Reason.DELEGATION_MALFORMED, {"sub": "user:alice", "act": "client:ci"}),
    (Reason.DELEGATION_MALFORMED, {"sub": "user:alice", "act": None}),
    (
        Reason.DELEGATION_MALFORMED,
        {"sub": "user:alice", "act": {"sub": "client:ci", "act": {"sub": "client:cd"}}},
    ),
]


def names(cases: list[Case]) -> Iterator[str]:
    return (f"{reason}-{number}" for number, (reason, _) in enumerate(cases))


@pytest.mark.parametrize(("reason", "changes"), CASES, ids=names(CASES))
def test_a_claim_that_is_wrong_is_refused_for_its_own_reason(
    reason: Reason, changes: dict[str, Any]
) -> None:
    assert PLANE.outcome(PLANE.signed(good_claims(**changes))) is reason


def test_every_refused_claim_gets_the_same_public_answer() -> None:
    answers = set()
    for _, changes in CASES:
        with pytest.raises(RefusedError) as caught:
            PLANE.verify(PLANE.signed(good_claims(**changes)))
        answers.add((caught.value.status, caught.value.code, caught.value.public))

    assert len(answers) == 1


FINE: list[dict[str, Any]] = [
    {},
    {"exp": NOW - 29, "iat": NOW - 600},
    {"iat": NOW + 30},
    {"nbf": NOW + 30},
    {"exp": NOW + 86_400},
    {"aud": GATEWAY},
    {"scope": "mcp more"},
    {"jti": "~" * 128},
    {"something_else": [1, 2]},
]


@pytest.mark.parametrize("changes", FINE)
def test_a_claim_at_its_bound_is_taken(changes: dict[str, Any]) -> None:
    assert PLANE.verify(PLANE.signed(good_claims(**changes))).id == "ci"


PAYLOADS = [
    b"",
    b"[]",
    b"null",
    b'"text"',
    b"{",
    b'{"exp": NaN}',
    b'{"sub": "client:a", "sub": "client:ci"}',
    b'\xef\xbb\xbf{"sub": "client:ci"}',
    '{"sub": "client:ci"}'.encode("utf-16"),
    b'{"sub": "\xff"}',
    b'{"exp": ' + b"9" * 5000 + b"}",
    b'{"a":' + b"[" * 2900 + b"]" * 2900 + b"}",
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_signed_content_that_is_no_strict_json_object_is_refused(payload: bytes) -> None:
    refused = PLANE.outcome(PLANE.key.sign(payload))

    assert refused in {Reason.PAYLOAD_MALFORMED, Reason.NOT_COMPACT}


VALUES: list[Any] = [
    ..., None, True, False, 0, 1, -1, NOW, NOW + 1, NOW + 600, NOW - 31, 2**53, 10**30, 1.5, "",
    "x", str(NOW), "client:ci", "user:alice", "ci", "alice", ENDPOINT, GATEWAY, [], {}, [ENDPOINT],
    {"sub": "client:ci"}, {"sub": "client:ci", "x": 1}, [[]], "\ud800", "a b", "\u0000",
]  # fmt: skip

NAMES = [*good_claims(), "nbf", "scope", "act", "cnf", "nonce"]


def test_twenty_thousand_random_claims_are_refused_or_whole() -> None:
    rng, expected, passed = random.Random(3), Expectations(GATEWAY), 0
    for _ in range(20_000):
        changes = {rng.choice(NAMES): rng.choice(VALUES) for _ in range(rng.randrange(1, 4))}
        claims = good_claims(**changes)
        try:
            found = read_claims(claims, expected, NOW)
        except RefusedError:
            continue
        passed += 1
        principal = found.principal
        assert (claims["iss"], claims["aud"]) == (GATEWAY, principal.audience)
        assert NOW - 30 < principal.expires_at == claims["exp"] <= claims["iat"] + 86_400
        assert type(claims["exp"]) is type(claims["iat"]) is int
        assert claims["sub"] in found.identities
        assert str(principal.actor) in {'Client{"ci"}', 'User{"alice"}'}
        assert claims.keys().isdisjoint({"cnf", "nonce"})
    assert 100 < passed < 6_000


def test_a_client_is_a_client() -> None:
    principal = PLANE.verify(PLANE.signed(good_claims(scope="b a")))

    assert (principal.type, principal.id, principal.acts_for) == (ActorType.CLIENT, "ci", None)
    assert principal.scope == {"a", "b"}
    assert str(principal.actor) == 'Client{"ci"}'


def test_a_user_named_like_a_client_stays_a_user() -> None:
    principal = PLANE.verify(PLANE.signed(good_claims(sub="user:ci")))

    assert (principal.type, principal.id) == (ActorType.USER, "ci")


def test_a_client_that_acts_for_a_user_is_the_actor() -> None:
    claims = good_claims(sub="user:alice", act={"sub": "client:ci"})

    principal = PLANE.verify(PLANE.signed(claims))

    assert str(principal.actor) == 'Client{"ci"}'
    assert (principal.acts_for, principal.subject) == ("alice", "user:alice")
