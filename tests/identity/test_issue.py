"""What is issued, read by somebody else's eyes (RFC 9068)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from proxy.identity.issue import IssueError, Issuer, TokenRequest
from proxy.identity.keys import Algorithm, PublicKey
from proxy.identity.principal import ActorType
from tests.identity.workshop import ENDPOINT, GATEWAY, NOW, Plane, decoded, text_of

WANTED = TokenRequest(ActorType.CLIENT, "ci", ENDPOINT, 600)

each_algorithm = pytest.mark.parametrize("algorithm", list(Algorithm))


def check_by_hand(public: PublicKey, signature: bytes, content: bytes) -> None:
    """Check a signature with nothing but the primitives; raises `InvalidSignature`."""
    if isinstance(public, Ed25519PublicKey):
        public.verify(signature, content)
    elif isinstance(public, RSAPublicKey):
        public.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
    else:
        r, s = (int.from_bytes(signature[at : at + 32]) for at in (0, 32))
        public.verify(encode_dss_signature(r, s), content, ec.ECDSA(hashes.SHA256()))


@each_algorithm
def test_a_token_is_good_to_the_bare_primitives(algorithm: Algorithm) -> None:
    plane = Plane(algorithm)
    start, _, signature = plane.token().rpartition(".")

    check_by_hand(plane.key.public, decoded(signature), start.encode())
    with pytest.raises(InvalidSignature):
        check_by_hand(plane.key.public, decoded(signature), start.encode() + b"x")


def test_a_token_says_what_was_asked_and_nothing_else() -> None:
    plane = Plane()
    issued = plane.issuer.issue(replace(WANTED, scope=("mcp", "more")))
    header, claims = (json.loads(decoded(part)) for part in text_of(issued).split(".")[:2])

    assert header == {"alg": "EdDSA", "kid": plane.key.key_id, "typ": "at+jwt"}
    assert claims == {
        "iss": GATEWAY,
        "sub": "client:ci",
        "client_id": "ci",
        "aud": ENDPOINT,
        "iat": NOW,
        "exp": NOW + 600,
        "jti": issued.token_id,
        "scope": "mcp more",
    }
    assert (issued.subject, issued.issued_at, issued.expires_at) == ("client:ci", NOW, NOW + 600)
    assert issued.key_id == plane.key.key_id


def test_a_client_that_acts_for_a_user_is_named_as_the_holder() -> None:
    token = text_of(Plane().issuer.issue(replace(WANTED, acts_for="alice")))
    claims = json.loads(decoded(token.split(".")[1]))

    assert (claims["sub"], claims["client_id"]) == ("user:alice", "ci")
    assert claims["act"] == {"sub": "client:ci"}


def test_no_two_tokens_have_one_id() -> None:
    plane = Plane()

    assert len({plane.issue().token_id for _ in range(1000)}) == 1000


FINE = [
    WANTED,
    replace(WANTED, life=10),
    replace(WANTED, life=86_400),
    replace(WANTED, audience=GATEWAY),
    replace(WANTED, name="a" * 128),
    replace(WANTED, scope=("a:b", "c")),
    replace(WANTED, type=ActorType.USER, name="alice@example.com", client_id="cli"),
    replace(WANTED, acts_for="alice"),
]


@pytest.mark.parametrize("wanted", FINE, ids=range(len(FINE)))
def test_whatever_is_issued_verifies_as_what_was_asked(wanted: TokenRequest) -> None:
    plane = Plane()

    principal = plane.verify(text_of(plane.issuer.issue(wanted)))

    assert (principal.type, principal.id) == (wanted.type, wanted.name)
    assert (principal.audience, principal.acts_for) == (wanted.audience, wanted.acts_for)
    assert principal.scope == set(wanted.scope)


REFUSED = [
    replace(WANTED, life=0),
    replace(WANTED, life=-600),
    replace(WANTED, life=9),
    replace(WANTED, life=86_401),
    replace(WANTED, name=""),
    replace(WANTED, name="a" * 129),
    replace(WANTED, name="https://idp.example:alice"),
    replace(WANTED, name="a b"),
    replace(WANTED, name="a\n"),
    replace(WANTED, name="\u0430dmin"),
    replace(WANTED, client_id="another"),
    replace(WANTED, type=ActorType.USER, name="alice"),
    replace(WANTED, type=ActorType.USER, name="alice", client_id="cli", acts_for="bob"),
    replace(WANTED, acts_for=""),
    replace(WANTED, acts_for="a:b"),
    replace(WANTED, scope=("a b",)),
    replace(WANTED, scope=("",)),
    replace(WANTED, scope=('a"',)),
    replace(WANTED, audience=""),
    replace(WANTED, audience="gateway.example"),
    replace(WANTED, audience="ftp://gateway.example"),
    replace(WANTED, audience="https://"),
    replace(WANTED, audience="https://user:pass@gateway.example"),
    replace(WANTED, audience=f"{GATEWAY} https://other.example"),
    replace(WANTED, audience=f"{GATEWAY}#part"),
    replace(WANTED, audience=f"{GATEWAY}?x=1"),
    replace(WANTED, audience="https://gateway.example:port"),
    replace(WANTED, audience="https://gateway.example:99999"),
    replace(WANTED, audience="https://[::1"),
    replace(WANTED, audience="https://g\u0430teway.example"),
    replace(WANTED, audience=f"{GATEWAY}\n"),
]


@pytest.mark.parametrize("wanted", REFUSED, ids=range(len(REFUSED)))
def test_a_token_that_would_be_too_much_or_worth_nothing_is_not_issued(
    wanted: TokenRequest,
) -> None:
    with pytest.raises(IssueError):
        Plane().issuer.issue(wanted)


def test_the_longest_life_is_a_setting() -> None:
    plane = Plane()
    issuer = Issuer(GATEWAY, lambda: plane.key, plane.clock, longest_life=60)

    assert issuer.issue(replace(WANTED, life=60)).expires_at == NOW + 60
    with pytest.raises(IssueError, match="from 10 to 60 seconds"):
        issuer.issue(replace(WANTED, life=61))
