"""Secrets and public keys of clients: given, listed, taken away, never shown (T08, T09)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from policies.model import Entity, Fact
from proxy.identity.keys import Algorithm, generate, jwk
from proxy.identity.principal import ActorType
from tests.gateway.harness import PUBLIC_URL, Rig, gateway, shared, token_of
from tests.oauth.served import (
    FAST,
    Told,
    basic,
    control_token,
    manage,
    new_key,
    new_secret,
    post,
    wanting,
)

AUDITOR = Fact("has_role", (Entity("User", "eve"), "auditor"))
ROUTES: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("POST", "clients/role/secrets", {}),
    ("GET", "clients/role/secrets", None),
    ("DELETE", "clients/role/secrets/none", None),
    ("POST", "clients/role/keys", {"jwk": {}}),
    ("GET", "clients/role/keys", None),
    ("DELETE", "clients/role/keys/none", None),
    ("GET", "keys", None),
    ("POST", "keys/rotate", {"plane": "nowhere"}),
    ("POST", "keys/none/revoke", {"why": "test"}),
)
DONE = [201, 200, 404, 422, 200, 404, 200, 422, 404]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("credentials"), settings=FAST) as found:
        found.run(found.state(AUDITOR))
        yield found


def bearer_of(rig: Rig, caller: str) -> str:
    match caller:
        case "admin":
            return control_token(rig)
        case "auditor":
            return control_token(rig, "eve")
        case "client":
            return control_token(rig, "ci", ActorType.CLIENT)
        case "agent":
            return token_of(rig.tokens, "ci")
    return "a.b.c"


@pytest.mark.parametrize(
    ("caller", "statuses"),
    [
        ("admin", DONE),
        ("auditor", [403] * len(DONE)),
        ("client", [403] * len(DONE)),
        ("agent", [401] * len(DONE)),
        ("nobody", [401] * len(DONE)),
    ],
)
def test_t08_each_caller_gets_what_he_may(rig: Rig, caller: str, statuses: list[int]) -> None:
    async def story() -> list[int]:
        token = bearer_of(rig, caller)
        # At once: each may wait a while for a key that another process may have made.
        told = await asyncio.gather(*(manage(rig, *route, token=token) for route in ROUTES))
        return [one.status for one in told]

    assert rig.run(story()) == statuses


def test_a_secret_is_shown_once_and_has_256_bits(rig: Rig) -> None:
    async def story() -> tuple[Told, Told]:
        made = await manage(rig, "POST", "clients/shown/secrets", {"ttl_seconds": 3600})
        return made, await manage(rig, "GET", "clients/shown/secrets")

    made, listed = rig.run(story())
    document = made.document
    (one,) = listed.document["secrets"]

    assert len(document["client_secret"]) == 43
    assert document["client_id"] == "shown"
    assert document["expires_at"] - document["created_at"] == 3600
    secret_id = {name: document[name] for name in one}
    assert one == secret_id
    assert set(one) == {"secret_id", "created_at", "created_by", "expires_at"}
    assert one["created_by"] == "User:admin"


def test_a_secret_lives_a_year_unless_it_is_wanted_for_less(rig: Rig) -> None:
    made = rig.run(manage(rig, "POST", "clients/long/secrets")).document

    assert made["expires_at"] - made["created_at"] == 366 * 86_400


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("secrets", {"ttl_seconds": 59}, ["ttl_seconds"]),
    ("secrets", {"ttl_seconds": 366 * 86_400 + 1, "more": 1}, ["ttl_seconds", "more"]),
    ("secrets", {"ttl_seconds": "60"}, ["ttl_seconds"]),
    ("secrets", {"client_secret": "of mine"}, ["client_secret"]),
    ("keys", {}, ["jwk"]),
    ("keys", {"jwk": "text", "ttl_seconds": 1}, ["jwk", "ttl_seconds"]),
]


@pytest.mark.parametrize(("what", "wish", "fields"), WRONG, ids=range(len(WRONG)))
def test_every_mistake_of_a_wish_is_named(
    rig: Rig, what: str, wish: dict[str, Any], fields: list[str]
) -> None:
    told = rig.run(manage(rig, "POST", f"clients/ci/{what}", wish))

    assert told.status == 422
    assert [one["field"] for one in told.document["problems"]] == fields


PUBLIC = jwk(Algorithm.EDDSA, generate(Algorithm.EDDSA).public)
EC384 = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
WEAK = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048).public_key(), as_dict=True)
PRIVATE = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)

UNFIT: list[tuple[str, dict[str, Any]]] = [
    ("private", PRIVATE),
    ("shared secret", {"kty": "oct", "k": "c2VjcmV0"}),
    ("weak", WEAK),
    ("another curve", EC384),
    ("another algorithm", PUBLIC | {"alg": "ES256"}),
    ("for encryption", PUBLIC | {"use": "enc"}),
    ("for signing", PUBLIC | {"key_ops": ["sign"]}),
    ("no kind", {name: value for name, value in PUBLIC.items() if name != "kty"}),
    ("no point", {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
    ("no bytes", PUBLIC | {"x": "!!"}),
    ("short", PUBLIC | {"x": "AAAA"}),
    ("a number", PUBLIC | {"x": 7}),
    ("huge", {"kty": "RSA", "e": "AQAB", "n": "A" * 8000}),
    ("a kid that is no text", PUBLIC | {"kid": 7}),
    ("a long kid", PUBLIC | {"kid": "k" * 257}),
]


@pytest.mark.parametrize("key", [one for _, one in UNFIT], ids=[name for name, _ in UNFIT])
def test_t01_a_key_that_is_not_public_strong_and_for_signatures_is_refused(
    rig: Rig, key: dict[str, Any]
) -> None:
    told = rig.run(manage(rig, "POST", "clients/unfit/keys", {"jwk": key}))

    assert told.status == 422
    assert [one["field"] for one in told.document["problems"]] == ["jwk"]
    assert "c2VjcmV0" not in told.body.decode()
    assert str(PRIVATE["d"]) not in told.body.decode()


def test_a_key_is_kept_as_it_was_read_and_only_once(rig: Rig) -> None:
    async def story() -> tuple[Told, Told, Told]:
        sent = PUBLIC | {"kid": "mine", "x5t": "unread", "key_ops": ["verify"]}
        first = await manage(rig, "POST", "clients/kept/keys", {"jwk": sent})
        second = await manage(rig, "POST", "clients/kept/keys", {"jwk": sent})
        return first, second, await manage(rig, "GET", "clients/kept/keys")

    first, second, listed = rig.run(story())

    assert first.document["jwk"] == {name: PUBLIC[name] for name in ("kty", "crv", "x")} | {
        "kid": "mine",
        "alg": "EdDSA",
    }
    assert first.document["expires_at"] is None
    assert (second.status, second.document["code"]) == (409, "credential-known")
    assert listed.document["keys"] == [first.document]


def test_a_client_has_ten_of_a_kind_at_most(rig: Rig) -> None:
    async def story() -> tuple[Told, int]:
        for _ in range(10):
            await new_secret(rig, "many")
        await new_key(rig, "many")
        told = await manage(rig, "POST", "clients/many/secrets", {})
        changes = [one.payload for one in rig.records("change")]
        return told, sum((one.get("after") or {}).get("client") == "many" for one in changes)

    told, records = rig.run(story())

    assert (told.status, told.document["code"]) == (409, "too-many-credentials")
    assert records == 11


def test_what_is_added_and_removed_is_recorded_first(rig: Rig) -> None:
    async def story() -> list[dict[str, Any]]:
        made = await manage(rig, "POST", "clients/told/secrets", {"ttl_seconds": 60})
        path = f"clients/told/secrets/{made.document['secret_id']}"
        assert (await manage(rig, "DELETE", path)).status == 200
        assert (await manage(rig, "DELETE", path)).status == 404
        payloads = [dict(one.payload) for one in rig.records("change")]
        return [one for one in payloads if one["what"].startswith("credential.")][-2:]

    added, removed = rig.run(story())

    assert (added["what"], removed["what"]) == ("credential.added", "credential.removed")
    assert (added["who"]["type"], added["who"]["id"]) == ("User", "admin")
    assert added["after"] == removed["before"]
    assert added["after"]["client"] == "told"
    assert (added["before"], removed["after"]) == (None, None)


def test_a_credential_of_another_client_or_kind_is_not_removed(rig: Rig) -> None:
    async def story() -> list[int]:
        secret = await new_secret(rig, "mine")
        (one,) = (await manage(rig, "GET", "clients/mine/secrets")).document["secrets"]
        paths = [
            f"clients/other/secrets/{one['secret_id']}",
            f"clients/mine/keys/{one['secret_id']}",
        ]
        statuses = [(await manage(rig, "DELETE", path)).status for path in paths]
        return [*statuses, (await post(rig, wanting(), basic("mine", secret))).status]

    assert rig.run(story()) == [404, 404, 200]


def test_t09_no_secret_is_in_anything_that_is_kept(tmp_path: Path) -> None:
    async def story() -> tuple[str, str, list[str]]:
        async with gateway(tmp_path, settings={"telemetry.log_level": "debug"}) as rig:
            secret = await new_secret(rig, "canary")
            wrong = "wrong-" + secret[:20]
            token = (await post(rig, wanting(), basic("canary", secret))).document["access_token"]
            await post(rig, wanting(), basic("canary", wrong))
            await post(rig, wanting() | {"client_secret": secret})
            listed = await manage(rig, "GET", "clients/canary/secrets")
            signature = str(token).rpartition(".")[2]
            texts = [rig.log.getvalue(), listed.body.decode(), await rig.metrics()]
            files = [path for path in rig.directory.rglob("*") if path.is_file()]
            texts += [path.read_bytes().decode("latin-1") for path in files]
            return secret, signature, [wrong, *texts]

    secret, signature, [wrong, *texts] = asyncio.run(story())

    leaks = [one for one in (secret, signature, wrong) if any(one in text for text in texts)]
    assert leaks == []
    assert any("canary" in text for text in texts)


def test_secrets_and_keys_are_good_after_a_restart(tmp_path: Path) -> None:
    async def first() -> str:
        async with gateway(tmp_path) as rig:
            return await new_secret(rig)

    async def then(secret: str) -> int:
        async with gateway(tmp_path) as rig:
            told = await post(rig, wanting(resource=PUBLIC_URL), basic("ci", secret))
            return told.status

    assert asyncio.run(then(asyncio.run(first()))) == 200
