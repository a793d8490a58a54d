"""Signing keys: how they are made, named, checked and published (RFC 7517, 7518, 7638, 8037)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, NoReturn

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.api_jws import PyJWS

from proxy.identity.compact import canonical_bytes, canonical_text
from proxy.identity.sealing import Secret

SMALLEST_RSA_BITS = 3072

_P256_BYTES = 32
_MOST_RSA_BYTES = 1024
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_TYPE = "at+jwt"

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey


class Algorithm(StrEnum):
    """The signatures we make and take. All asymmetric: a public key verifies, it never signs."""

    EDDSA = "EdDSA"
    ES256 = "ES256"
    RS256 = "RS256"


class UnfitKeyError(Exception):
    """A key that is not what its algorithm needs."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key to verify by, with the one algorithm it is for.

    It is no good from `ends_at` on, in seconds since the epoch; None is never.
    """

    key_id: str
    algorithm: Algorithm
    public: PublicKey = field(repr=False)
    ends_at: int | None = None


class SigningKey:
    """A private key that signs access tokens, and shows itself to nobody."""

    __slots__ = ("_private", "algorithm", "key_id", "public")

    def __init__(self, algorithm: Algorithm, private: PrivateKey) -> None:
        """Take *private*; raises `UnfitKeyError` if it is no key for *algorithm*."""
        self.algorithm = algorithm
        self.public = private.public_key()
        require_fit(algorithm, self.public)
        self.key_id = thumbprint(self.public)
        self._private = private

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id}, {self.algorithm.value})"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("A signing key is neither copied nor pickled.")

    def sign(self, payload: bytes) -> str:
        """Return *payload* as an access token in compact form; its header is alg, kid and typ."""
        headers = {"kid": self.key_id, "typ": _TYPE}
        algorithm = self.algorithm.value
        return PyJWS(algorithms=[algorithm]).encode(payload, self._private, algorithm, headers)

    def private_bytes(self) -> Secret:
        """Return the private key in PKCS#8, to be sealed."""
        return Secret(
            self._private.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def generate(algorithm: Algorithm) -> SigningKey:
    """Return a new key for *algorithm*."""
    while True:
        key = SigningKey(algorithm, _generated(algorithm))
        # A command would take it for an option.
        if not key.key_id.startswith("-"):
            return key


def _generated(algorithm: Algorithm) -> PrivateKey:
    match algorithm:
        case Algorithm.EDDSA:
            return Ed25519PrivateKey.generate()
        case Algorithm.ES256:
            return ec.generate_private_key(ec.SECP256R1())
        case Algorithm.RS256:
            return rsa.generate_private_key(public_exponent=65537, key_size=SMALLEST_RSA_BITS)


def read_private(algorithm: Algorithm, content: Secret) -> SigningKey:
    """Return the key that `SigningKey.private_bytes` wrote; raises `UnfitKeyError`."""
    try:
        # What is sealed was generated here and is authenticated, so there is nothing to find out
        # by the checks of an RSA key, which take a tenth of a second.
        private = serialization.load_der_private_key(
            content.reveal(), password=None, unsafe_skip_rsa_key_validation=True
        )
    except (ValueError, TypeError):
        raise UnfitKeyError("This is no private key.") from None
    if not isinstance(private, PrivateKey):
        raise UnfitKeyError("This kind of private key signs nothing here.")
    return SigningKey(algorithm, private)


def public_bytes(public: PublicKey) -> bytes:
    """Return *public* as a SubjectPublicKeyInfo in DER."""
    return public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def read_public(algorithm: Algorithm, content: bytes) -> PublicKey:
    """Return the key that `public_bytes` wrote; raises `UnfitKeyError` unless *algorithm* fits."""
    try:
        public = serialization.load_der_public_key(content)
    except (ValueError, TypeError):
        raise UnfitKeyError("This is no public key.") from None
    if not isinstance(public, PublicKey):
        raise UnfitKeyError("This kind of public key verifies nothing here.")
    require_fit(algorithm, public)
    return public


def require_fit(algorithm: Algorithm, public: PublicKey) -> None:
    """Raise `UnfitKeyError` unless *public* is of the kind and size that *algorithm* is used with.

    Ed25519 for EdDSA, P-256 for ES256, RSA of 3072 bits and more for RS256.
    """
    match algorithm, public:
        case Algorithm.EDDSA, Ed25519PublicKey():
            return
        case Algorithm.ES256, EllipticCurvePublicKey(curve=ec.SECP256R1()):
            return
        case Algorithm.RS256, RSAPublicKey(key_size=bits) if bits >= SMALLEST_RSA_BITS:
            return
    raise UnfitKeyError(f"This key is not fit for {algorithm.value}.")


def thumbprint(public: PublicKey) -> str:
    """Return the SHA-256 thumbprint of *public* (RFC 7638), which is its `kid`."""
    members = json.dumps(_members(public), separators=(",", ":"), sort_keys=True)
    return canonical_text(sha256(members.encode()).digest())


def jwk(algorithm: Algorithm, public: PublicKey) -> dict[str, str]:
    """Return *public* as a JSON web key for verifying signatures."""
    names = {"alg": algorithm.value, "kid": thumbprint(public), "use": "sig"}
    return _members(public) | names


def read_jwk(document: Mapping[str, Any]) -> tuple[Algorithm, PublicKey]:
    """Return the key that a JSON web key is, and the one algorithm that it is used with.

    Raises `UnfitKeyError` for a private key, for one of another kind or size, and for members that
    contradict that it verifies signatures.
    """
    if document.keys() & _PRIVATE_MEMBERS:
        raise UnfitKeyError("This key is private: keep it, and send its public half.")
    if document.get("use", "sig") != "sig" or document.get("key_ops", ["verify"]) != ["verify"]:
        raise UnfitKeyError("This key is not for verifying signatures.")
    algorithm, public = _kind(document)
    if document.get("alg", algorithm.value) != algorithm.value:
        raise UnfitKeyError(f"A key of this kind is used with {algorithm.value} here.")
    require_fit(algorithm, public)
    return algorithm, public


def _kind(document: Mapping[str, Any]) -> tuple[Algorithm, PublicKey]:
    try:
        match document.get("kty"), document.get("crv"):
            case "OKP", "Ed25519":
                raw = canonical_bytes(document["x"])
                return Algorithm.EDDSA, Ed25519PublicKey.from_public_bytes(raw)
            case "EC", "P-256":
                x, y = (_integer(document[name], _P256_BYTES) for name in ("x", "y"))
                return (
                    Algorithm.ES256,
                    ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key(),
                )
            case "RSA", None:
                n, e = (_integer(document[name], _MOST_RSA_BYTES) for name in ("n", "e"))
                return Algorithm.RS256, rsa.RSAPublicNumbers(e, n).public_key()
    except (KeyError, ValueError, TypeError, AttributeError):
        raise UnfitKeyError("The members of this key make no key.") from None
    raise UnfitKeyError("A key is an Ed25519, a P-256 or an RSA one.")


def _integer(text: str, most_bytes: int) -> int:
    content = canonical_bytes(text)
    if len(content) > most_bytes:
        raise ValueError("too long")
    return int.from_bytes(content)


def _members(public: PublicKey) -> dict[str, str]:
    match public:
        case Ed25519PublicKey():
            return {"kty": "OKP", "crv": "Ed25519", "x": canonical_text(public.public_bytes_raw())}
        case EllipticCurvePublicKey():
            point = public.public_numbers()
            x, y = (canonical_text(one.to_bytes(_P256_BYTES)) for one in (point.x, point.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
        case RSAPublicKey():
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": _shortest(numbers.n), "e": _shortest(numbers.e)}


def _shortest(number: int) -> str:
    return canonical_text(number.to_bytes((number.bit_length() + 7) // 8))
