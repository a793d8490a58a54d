"""Forged, bent and unknown tokens (T01, T02)."""

from __future__ import annotations

import random

import pytest

from proxy.identity.keys import Algorithm, SigningKey, generate
from proxy.identity.principal import Principal
from proxy.identity.refusal import Reason
from tests.identity.forge import forged, header_of, mutated, signature_over
from tests.identity.workshop import Plane, encoded

PLANES = {algorithm: Plane(algorithm) for algorithm in Algorithm}

each_algorithm = pytest.mark.parametrize("algorithm", list(Algorithm))


@each_algorithm
def test_of_two_hundred_forged_tokens_and_a_genuine_one_only_that_passes(
    algorithm: Algorithm,
) -> None:
    plane = PLANES[algorithm]
    genuine = plane.token()
    matrix = list(forged(plane.key, genuine))

    passed = [name for name, token in matrix if isinstance(plane.outcome(token), Principal)]

    assert len({token for _, token in matrix}) >= 200
    assert passed == []
    assert plane.verify(genuine).id == "ci"
    assert len(plane.verifier) == 1


@each_algorithm
def test_the_forger_can_sign_so_what_stops_him_is_the_verifier(algorithm: Algorithm) -> None:
    plane = PLANES[algorithm]
    payload = plane.token().split(".")[1]
    start = f"{encoded(header_of(plane.key))}.{payload}"

    assert plane.verify(f"{start}.{signature_over(plane.key, start)}").id == "ci"


@pytest.mark.parametrize("kind", ["AT+JWT", "application/at+jwt"])
def test_the_type_of_a_token_is_a_media_type(kind: str) -> None:
    plane = PLANES[Algorithm.EDDSA]
    start = f"{encoded(header_of(plane.key, typ=kind))}.{plane.token().split('.')[1]}"

    assert plane.verify(f"{start}.{signature_over(plane.key, start)}").id == "ci"


HEADERS: list[tuple[Reason, dict[str, object]]] = [
    (Reason.HEADER_BRINGS_KEY, {"jku": "https://evil.example"}),
    (Reason.HEADER_BRINGS_KEY, {"jwk": {}, "crit": ["exp"]}),
    (Reason.HEADER_BRINGS_KEY, {"x5u": "https://evil.example"}),
    (Reason.HEADER_CRITICAL, {"crit": ["exp"]}),
    (Reason.HEADER_CRITICAL, {"crit": []}),
    (Reason.HEADER_UNKNOWN_FIELD, {"b64": True}),
    (Reason.HEADER_MALFORMED, {"kid": 7}),
    (Reason.HEADER_MALFORMED, {"alg": ...}),
    (Reason.TYPE_OTHER, {"typ": "JWT"}),
    (Reason.IDENTITY_ASSERTION, {"typ": "oauth-id-jag+jwt"}),
    (Reason.KEY_UNKNOWN, {"kid": "another"}),
    (Reason.ALGORITHM_OTHER, {"alg": "HS256"}),
    (Reason.ALGORITHM_OTHER, {"alg": "none"}),
]


@pytest.mark.parametrize(("reason", "changes"), HEADERS, ids=range(len(HEADERS)))
def test_a_header_that_is_not_ours_is_refused_for_its_own_reason(
    reason: Reason, changes: dict[str, object]
) -> None:
    plane = PLANES[Algorithm.EDDSA]
    start = f"{encoded(header_of(plane.key, **changes))}.{plane.token().split('.')[1]}"

    assert plane.outcome(f"{start}.{signature_over(plane.key, start)}") is reason


def test_ten_thousand_unknown_keys_are_looked_up_in_memory_and_leave_nothing_behind() -> None:
    plane = Plane()
    payload = plane.token().split(".")[1]
    rng = random.Random(2)

    reasons = set()
    for number in range(10_000):
        kid = rng.choice([f"kid-{number}", f"https://evil.example/{number}", f"../{number}"])
        reasons.add(plane.outcome(f"{encoded(header_of(plane.key, kid=kid))}.{payload}.AAAA"))

    assert reasons == {Reason.KEY_UNKNOWN}
    assert len(plane.verifier) == 0


def survivors(count: int, seed: int, algorithm: Algorithm) -> list[str]:
    plane, rng = PLANES[algorithm], random.Random(seed)
    genuine = plane.token()
    tokens = (mutated(rng, genuine) for _ in range(count))
    return [token for token in tokens if isinstance(plane.outcome(token), Principal)]


@pytest.mark.parametrize("algorithm", [Algorithm.EDDSA, Algorithm.ES256])
def test_no_mutated_token_passes(algorithm: Algorithm) -> None:
    assert survivors(2_000, 1, algorithm) == []


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(20))
def test_none_of_very_many_mutated_tokens_passes(seed: int) -> None:
    assert survivors(50_000, seed, Algorithm.EDDSA) == []


def test_a_key_of_the_other_plane_opens_nothing() -> None:
    data, control = Plane(), Plane()

    assert data.outcome(control.token()) is Reason.KEY_UNKNOWN


def test_the_same_key_id_with_another_key_is_a_wrong_signature() -> None:
    plane, thief = Plane(), generate(Algorithm.EDDSA)

    assert plane.outcome(as_if_by(plane.key, thief, plane.token())) is Reason.SIGNATURE_WRONG


def as_if_by(owner: SigningKey, thief: SigningKey, token: str) -> str:
    start = f"{encoded(header_of(owner))}.{token.split('.')[1]}"
    return f"{start}.{signature_over(thief, start)}"
