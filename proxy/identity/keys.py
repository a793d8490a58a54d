"""Signing keys: how they are made, named, checked and published (RFC 7517, 7518, 7638, 8037)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import NoReturn

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.api_jws import PyJWS

from proxy.identity.compact import canonical_text
from proxy.identity.sealing import Secret

SMALLEST_RSA_BITS = 3072

_P256_BYTES = 32
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
    private: PrivateKey
    match algorithm:
        case Algorithm.EDDSA:
            private = Ed25519PrivateKey.generate()
        case Algorithm.ES256:
            private = ec.generate_private_key(ec.SECP256R1())
        case Algorithm.RS256:
            private = rsa.generate_private_key(public_exponent=65537, key_size=SMALLEST_RSA_BITS)
    return SigningKey(algorithm, private)


def read_private(algorithm: Algorithm, content: Secret) -> SigningKey:
    """Return the key that `SigningKey.private_bytes` wrote; raises `UnfitKeyError`."""
    try:
        private = serialization.load_der_private_key(content.reveal(), password=None)
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
