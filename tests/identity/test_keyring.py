"""Four states of a key, and a rotation that refuses no good token (T10, R19)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import PyJWK
from jwt.api_jws import PyJWS

from proxy.identity.claims import LEEWAY_SECONDS, Expectations
from proxy.identity.issue import Issuer, TokenRequest
from proxy.identity.keyring import (
    Keyring,
    KeyringError,
    KeyState,
    Plane,
    from_record,
    to_record,
)
from proxy.identity.keys import Algorithm, PrivateKey, SigningKey, UnfitKeyError, generate
from proxy.identity.principal import ActorType, Principal
from proxy.identity.refusal import Reason
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError, Secret
from proxy.identity.verify import Verifier
from tests.identity.workshop import ENDPOINT, GATEWAY, MASTER, NOW, Clock, outcome, text_of

LIFE = 3600
OVERLAP = LIFE + LEEWAY_SECONDS
OTHER_MASTER = MasterKey(Secret(bytes(32)))

each_algorithm = pytest.mark.parametrize("algorithm", list(Algorithm))


class Site:
    """A keyring on a clock, with the issuer and the verifier that live from it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ring = Keyring(Plane.DATA)
        self.issuer = Issuer(
            GATEWAY, lambda: self.ring.signing_key(MASTER), self.clock, longest_life=LIFE
        )
        self.verifier = Verifier(Expectations(GATEWAY, LIFE), self.clock)
        self.valid: list[tuple[str, int]] = []

    @property
    def now(self) -> int:
        return int(self.clock.now)

    def take(self, ring: Keyring) -> None:
        self.ring = ring
        self.verifier.trust(ring.trusted(self.clock.now))

    def prepare(self) -> str:
        made = generate(Algorithm.EDDSA)
        self.take(self.ring.prepare(made, MASTER, self.now))
        return made.key_id

    def rotate(self) -> None:
        self.take(self.ring.rotate(self.now, OVERLAP))

    def issue(self, life: int = LIFE) -> str:
        wanted = TokenRequest(ActorType.CLIENT, "ci", ENDPOINT, life)
        token = text_of(self.issuer.issue(wanted))
        self.valid.append((token, self.now + life))
        return token

    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    def refused(self) -> list[Reason]:
        """Return why tokens in their time were refused."""
        self.valid = [(token, end) for token, end in self.valid if end > self.clock.now]
        found = (outcome(self.verifier, token) for token, _ in self.valid)
        return [reason for reason in found if isinstance(reason, Reason)]

    def published(self) -> set[str]:
        return {key["kid"] for key in self.ring.jwks(self.clock.now)["keys"]}


def active_site() -> Site:
    site = Site()
    site.prepare()
    site.rotate()
    return site


def test_twelve_steps_of_rotation_refuse_no_good_token_and_every_dead_one() -> None:
    site = Site()
    first = site.prepare()  # 1
    assert site.published() == {first}
    site.rotate()  # 2
    oldest = site.issue()
    assert site.refused() == []

    second = site.prepare()  # 3: published before it signs
    assert site.published() == {first, second}
    assert site.refused() == []

    site.wait(600)  # 4
    site.issue()
    site.rotate()  # 5: both are trusted
    newest = site.issue()
    assert site.published() == {first, second}
    assert site.refused() == []

    site.wait(LIFE - 601)  # 6: the last second of the first token
    assert site.refused() == []

    site.wait(601)  # 7: the first key's last tokens are at their very end
    assert site.refused() == []
    assert outcome(site.verifier, oldest) is Reason.EXPIRED

    site.wait(LEEWAY_SECONDS)  # 8: retired is over, to the second
    assert outcome(site.verifier, oldest) is Reason.KEY_ENDED
    assert site.published() == {second}

    third = site.prepare()  # 9
    site.rotate()  # 10: what ended is gone from the record
    assert {key.key_id for key in site.ring.keys} == {second, third}
    token = site.issue()
    assert site.refused() == []

    site.take(site.ring.revoke(second, site.now))  # 11: tainted
    assert site.published() == {third}
    assert outcome(site.verifier, newest) is Reason.KEY_UNKNOWN
    assert isinstance(outcome(site.verifier, token), Principal)

    site.take(site.ring.revoke(third, site.now))  # 12: nothing is left to trust or sign with
    assert site.published() == set()
    assert outcome(site.verifier, token) is Reason.KEY_UNKNOWN
    with pytest.raises(KeyringError):
        site.issue()


def test_a_revoked_key_cannot_come_back() -> None:
    site = active_site()
    token = site.issue()
    active = site.ring.in_state(KeyState.ACTIVE)
    assert active is not None

    revoked = site.ring.revoke(active.key_id, site.now)

    assert revoked.revoke(active.key_id, site.now + 5) == revoked
    site.take(revoked.without_ended(NOW + 10**9))
    assert [key.state for key in site.ring.keys] == [KeyState.REVOKED]
    assert outcome(site.verifier, token) is Reason.KEY_UNKNOWN


def test_the_prepared_key_takes_the_place_of_a_revoked_active_one() -> None:
    site = active_site()
    first, second = site.ring.keys[0].key_id, site.prepare()

    site.take(site.ring.revoke(first, site.now))

    assert site.ring.signing_key(MASTER).key_id == second
    assert site.published() == {second}


def test_a_replica_that_is_behind_trusts_the_key_another_already_signs_with() -> None:
    site = active_site()
    site.prepare()
    behind = Verifier(Expectations(GATEWAY, LIFE), site.clock)
    behind.trust(site.ring.trusted(site.now))

    site.rotate()

    assert isinstance(outcome(behind, site.issue()), Principal)


def test_only_the_active_key_signs() -> None:
    site = active_site()
    active = site.ring.keys[0].key_id
    site.prepare()

    assert site.ring.signing_key(MASTER).key_id == active


def test_a_key_that_signs_no_more_is_kept_without_its_private_half() -> None:
    site = active_site()
    site.prepare()
    site.rotate()
    retired, active = site.ring.keys

    assert (retired.state, retired.sealed) == (KeyState.RETIRED, "")
    assert active.sealed.startswith("v1.")
    assert site.ring.revoke(active.key_id, site.now).keys[1].sealed == ""


def test_changes_that_a_state_forbids_are_refused() -> None:
    empty = Keyring(Plane.DATA)
    prepared = empty.prepare(generate(Algorithm.EDDSA), MASTER, NOW)

    with pytest.raises(KeyringError, match="No key is prepared"):
        empty.rotate(NOW, OVERLAP)
    with pytest.raises(KeyringError, match="prepared already"):
        prepared.prepare(generate(Algorithm.EDDSA), MASTER, NOW)
    with pytest.raises(KeyringError, match="No key has this id"):
        prepared.revoke("unknown", NOW)
    with pytest.raises(KeyringError, match="No key is active"):
        prepared.signing_key(MASTER)
    assert empty == Keyring(Plane.DATA)


@each_algorithm
def test_a_keyring_survives_its_record(algorithm: Algorithm) -> None:
    made = generate(algorithm)
    ring = Keyring(Plane.DATA).prepare(made, MASTER, NOW).rotate(NOW, OVERLAP)

    stored = json.loads(json.dumps(to_record(ring, MASTER)))
    back = from_record(stored, Plane.DATA, MASTER)

    assert back == ring
    assert back.signing_key(MASTER).key_id == made.key_id


@each_algorithm
def test_the_published_keys_serve_another_library(algorithm: Algorithm) -> None:
    made = generate(algorithm)
    ring = Keyring(Plane.DATA).prepare(made, MASTER, NOW)

    (published,) = ring.jwks(NOW)["keys"]

    assert published["kid"] == made.key_id
    assert published.keys() & {"d", "p", "q", "k"} == set()
    assert PyJWS().decode(made.sign(b"{}"), PyJWK(published), [algorithm.value]) == b"{}"


def test_a_wrong_master_key_is_named() -> None:
    ring = active_site().ring
    record = to_record(ring, MASTER)

    with pytest.raises(MasterKeyError, match=f"{MASTER.id}.*{OTHER_MASTER.id}"):
        from_record(record, Plane.DATA, OTHER_MASTER)
    with pytest.raises(MasterKeyError, match="master key"):
        ring.signing_key(OTHER_MASTER)


def test_the_keys_of_one_plane_are_not_those_of_the_other() -> None:
    ring = active_site().ring

    with pytest.raises(DamagedError):
        from_record(to_record(ring, MASTER), Plane.CONTROL, MASTER)
    with pytest.raises(DamagedError):
        replace(ring, plane=Plane.CONTROL).signing_key(MASTER)


def test_a_sealed_key_opens_for_its_own_id_and_algorithm_only() -> None:
    ring = active_site().ring
    (key,) = ring.keys
    other = active_site().ring.keys[0]

    for changed in (
        replace(key, algorithm=Algorithm.ES256),
        replace(key, key_id=other.key_id),
        replace(key, sealed=other.sealed),
        replace(key, sealed=key.sealed[:-2]),
        replace(key, sealed="v0" + key.sealed[2:]),
        replace(key, sealed=""),
    ):
        with pytest.raises(DamagedError):
            replace(ring, keys=(changed,)).signing_key(MASTER)


def test_a_private_key_that_is_not_its_records_own_never_signs() -> None:
    ring, thief = active_site().ring, generate(Algorithm.EDDSA)
    (key,) = ring.keys
    about = f'{{"alg":"EdDSA","kid":"{key.key_id}","plane":"data"}}'.encode()
    sealed = MASTER.seal("signing-key", thief.private_bytes(), about)

    with pytest.raises(DamagedError, match="not the one that its record names"):
        replace(ring, keys=(replace(key, sealed=sealed),)).signing_key(MASTER)


def test_any_change_to_a_record_is_noticed() -> None:
    site = active_site()
    site.prepare()
    site.rotate()
    text = json.dumps(to_record(site.ring, MASTER))

    def changed(before: str, after: str) -> str:
        assert before in text
        return text.replace(before, after, 1)

    damaged = [
        changed('"retired"', '"active"'),
        changed('"EdDSA"', '"ES256"'),
        changed(f'"since": {NOW}', f'"since": {NOW + 1}'),
        changed(f'"ends_at": {NOW + OVERLAP}', '"ends_at": null'),
        changed('"version": 1', '"version": 2'),
        changed('"mark": "', '"mark": "0'),
        changed('"mark": "', '"mork": "'),
        changed('"data"', '"control"'),
    ]
    for one in damaged:
        with pytest.raises(DamagedError):
            from_record(json.loads(one), Plane.DATA, MASTER)


def test_a_key_written_in_by_somebody_without_the_master_key_is_not_trusted() -> None:
    record = to_record(active_site().ring, MASTER)
    thief = to_record(active_site().ring, OTHER_MASTER)

    with pytest.raises(DamagedError):
        from_record(record | {"keys": thief["keys"]}, Plane.DATA, MASTER)


UNFIT: list[tuple[Algorithm, PrivateKey]] = [
    (Algorithm.RS256, rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    (Algorithm.ES256, ec.generate_private_key(ec.SECP384R1())),
    (Algorithm.ES256, ec.generate_private_key(ec.SECP256K1())),
    (Algorithm.ES256, Ed25519PrivateKey.generate()),
    (Algorithm.EDDSA, ec.generate_private_key(ec.SECP256R1())),
    (Algorithm.RS256, Ed25519PrivateKey.generate()),
]


@pytest.mark.parametrize(("algorithm", "private"), UNFIT, ids=range(len(UNFIT)))
def test_a_weak_or_wrong_kind_of_key_is_refused(algorithm: Algorithm, private: PrivateKey) -> None:
    with pytest.raises(UnfitKeyError):
        SigningKey(algorithm, private)
