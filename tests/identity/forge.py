"""A forger: tokens that look like a genuine one and are not (T01)."""

from __future__ import annotations

import hmac
import json
import random
from collections.abc import Iterator
from itertools import product
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from proxy.identity.keys import Algorithm, SigningKey, generate, jwk, public_bytes
from tests.identity.workshop import NOW, decoded, encoded, good_claims

EVERY_NAME = (
    "none", "None", "NONE", "nOnE", "", "HS256", "HS384", "HS512", "hs256", "RS256", "RS384",
    "PS256", "ES256", "ES256K", "ES384", "ES512", "EdDSA", "eddsa", "Ed25519", "EdDSA ", "RSA-OAEP",
)  # fmt: skip

Forged = tuple[str, str]


def forged(key: SigningKey, genuine: str) -> Iterator[Forged]:
    """Yield names and tokens that nobody signed with *key*, all unlike *genuine*."""
    yield from unsigned(key, genuine)
    yield from signed_with_public_key(key, genuine)
    yield from signed_by_others(key, genuine)
    yield from with_own_key(key, genuine)
    yield from with_wrong_headers(key, genuine)
    yield from with_altered_parts(genuine)
    yield from in_other_forms(genuine)


def header_of(key: SigningKey, **changes: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    header = {"alg": key.algorithm.value, "kid": key.key_id, "typ": "at+jwt"} | changes
    return {name: value for name, value in header.items() if value is not ...}


def unsigned(key: SigningKey, genuine: str) -> Iterator[Forged]:
    _, payload, signature = genuine.split(".")
    for name, kept in product(EVERY_NAME, ("", encoded(b"x"), signature)):
        if name == key.algorithm.value and kept == signature:
            continue
        yield f"alg {name!r}", f"{encoded(header_of(key, alg=name))}.{payload}.{kept}"


def public_spellings(key: SigningKey) -> dict[str, bytes]:
    public, pem = key.public, PublicFormat.SubjectPublicKeyInfo
    spellings = {
        "PEM": public.public_bytes(Encoding.PEM, pem),
        "stripped PEM": public.public_bytes(Encoding.PEM, pem).strip(),
        "DER": public_bytes(public),
        "JWK": json.dumps(jwk(key.algorithm, public)).encode(),
        "sorted JWK": json.dumps(jwk(key.algorithm, public), sort_keys=True).encode(),
        "kid": key.key_id.encode(),
        "nothing": b"",
    }
    if key.algorithm is Algorithm.EDDSA:
        spellings["raw"] = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    if isinstance(public, EllipticCurvePublicKey):
        spellings["point"] = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return spellings


def signed_with_public_key(key: SigningKey, genuine: str) -> Iterator[Forged]:
    payload = genuine.split(".")[1]
    for (spelling, secret), (name, digest) in product(
        public_spellings(key).items(),
        {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512", "EdDSA": "sha256"}.items(),
    ):
        start = f"{encoded(header_of(key, alg=name))}.{payload}"
        mark = hmac.digest(secret, start.encode(), digest)
        yield f"{name} with {spelling}", f"{start}.{encoded(mark)}"


def signed_by_others(key: SigningKey, genuine: str) -> Iterator[Forged]:
    payload = decoded(genuine.split(".")[1])
    for algorithm in Algorithm:
        other = generate(algorithm)
        yield f"another {algorithm} key", other.sign(payload)
        _, middle, _ = other.sign(payload).split(".")
        for name in {algorithm.value, key.algorithm.value}:
            start = f"{encoded(header_of(key, alg=name))}.{middle}"
            # The signature is right for this very header, but by a key that we never trusted.
            yield f"{algorithm} under our kid as {name}", f"{start}.{signature_over(other, start)}"


def signature_over(key: SigningKey, start: str) -> str:
    """Return *key*'s own signature over *start*, whatever header that holds."""
    algorithm = get_default_algorithms()[key.algorithm.value]
    return encoded(algorithm.sign(start.encode(), key._private))  # noqa: SLF001  a forger's way


def with_own_key(key: SigningKey, genuine: str) -> Iterator[Forged]:
    payload, thief = genuine.split(".")[1], generate(key.algorithm)
    brought: dict[str, Any] = {
        "jwk": jwk(thief.algorithm, thief.public),
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/chain.pem",
        "x5c": ["MIIB"],
        "x5t": "AAAA",
        "x5t#S256": "AAAA",
        "crit": ["exp"],
        "b64": False,
        "zip": "DEF",
        "cty": "JWT",
        "enc": "A256GCM",
        "epk": {},
    }
    for (name, value), kid in product(brought.items(), (key.key_id, thief.key_id)):
        start = f"{encoded(header_of(key, kid=kid) | {name: value})}.{payload}"
        yield f"header {name}", f"{start}.{signature_over(thief, start)}"
        # Even our own signature does not make such a header one of ours.
        yield f"own header {name}", f"{start}.{signature_over(key, start)}"


def with_wrong_headers(key: SigningKey, genuine: str) -> Iterator[Forged]:
    payload = genuine.split(".")[1]
    changes: list[dict[str, Any]] = [
        {"kid": ...}, {"kid": None}, {"kid": ""}, {"kid": 7}, {"kid": [key.key_id]},
        {"kid": key.key_id.lower()}, {"kid": key.key_id + " "}, {"kid": "../../etc/passwd"},
        {"kid": "' OR 1=1 --"}, {"kid": key.key_id + "\x00"}, {"alg": ...}, {"alg": None},
        {"alg": [key.algorithm.value]}, {"alg": key.algorithm.value.lower()}, {"typ": ...},
        {"typ": None}, {"typ": ""}, {"typ": "JWT"}, {"typ": "oauth-id-jag+jwt"},
        {"typ": "application/oauth-id-jag+jwt"}, {"typ": "client-authentication+jwt"},
        {"typ": "dpop+jwt"}, {"typ": "logout+jwt"}, {"typ": ["at+jwt"]},
    ]  # fmt: skip
    for change in changes:
        start = f"{encoded(header_of(key, **change))}.{payload}"
        yield f"header {change}", f"{start}.{signature_over(key, start)}"
    repeated = f'{{"alg":"none",{json.dumps(header_of(key))[1:]}'
    for text in (repeated, "[]", "null", "", "{", "\ufeff" + json.dumps(header_of(key))):
        start = f"{encoded(text)}.{payload}"
        yield f"header text {text!r}", f"{start}.{signature_over(key, start)}"


def with_altered_parts(genuine: str) -> Iterator[Forged]:
    header, payload, signature = genuine.split(".")
    richer = encoded(good_claims(sub="client:admin", client_id="admin", exp=NOW + 900))
    raw = decoded(signature)
    yield "other claims", f"{header}.{richer}.{signature}"
    yield "no claims", f"{header}..{signature}"
    yield "no signature", f"{header}.{payload}."
    yield "no header", f".{payload}.{signature}"
    for name, changed in {
        "zeros": bytes(len(raw)),
        "ones": b"\xff" * len(raw),
        "shorter": raw[:-1],
        "longer": raw + b"\0",
        "reversed": raw[::-1],
        "doubled": raw * 2,
        "halves": raw[len(raw) // 2 :] + raw[: len(raw) // 2],
        "half": raw[: len(raw) // 2],
        "one byte": b"\0",
    }.items():
        yield f"signature {name}", f"{header}.{payload}.{encoded(changed)}"


def in_other_forms(genuine: str) -> Iterator[Forged]:
    header, payload, signature = genuine.split(".")
    flat = {"protected": header, "payload": payload, "signature": signature}
    yield "nested", f"{header}.{encoded(genuine)}.{signature}"
    yield "JSON form", json.dumps(flat)
    yield "general JSON form", json.dumps({"payload": payload, "signatures": [flat]})
    yield "five parts", f"{header}..{payload}.{signature}.x"
    yield "four parts", f"{genuine}.{signature}"
    yield "two parts", f"{header}.{payload}"
    yield "detached", f"{header}..{signature}"
    yield "with padding", f"{header}.{payload}.{signature}=="
    yield "padded header", f"{header}=.{payload}.{signature}"
    yield "with a space", f" {genuine}"
    yield "with a newline", f"{genuine}\n"
    yield "with NUL", f"{genuine}\0"
    yield "standard alphabet", f"{header}.{payload}.{signature[:-3]}+/+"
    yield "fullwidth dot", genuine.replace(".", "\uff0e")
    yield "lone surrogate", genuine + "\ud800"
    yield "twice", genuine + genuine
    yield "nothing", ""
    yield "dots", ".."
    yield "huge", genuine + "A" * 9000
    # The last sign of a part may carry bits that no byte holds: a second spelling of one token.
    bits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if len(signature) % 4:
        other = bits[bits.index(signature[-1]) ^ 1]
        yield "other spelling", f"{header}.{payload}.{signature[:-1]}{other}"


def mutated(rng: random.Random, genuine: str) -> str:
    """Return *genuine* with one to three random changes; never itself."""
    signs = list(genuine)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(signs))
        match rng.randrange(5):
            case 0:
                signs[at] = rng.choice("ABCxyz019-_.=+/ \0\xe9")
            case 1:
                del signs[at]
            case 2:
                signs.insert(at, rng.choice("ABCxyz019-_."))
            case 3:
                other = rng.randrange(len(signs))
                signs[at], signs[other] = signs[other], signs[at]
            case _:
                del signs[at : at + rng.randrange(1, 40)]
        signs = signs or ["A"]
    text = "".join(signs)
    return text if text != genuine else text[:-1]
