"""What the identity tests share: a clock to turn, a plane of keys, and a forger's tools."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.identity.claims import Expectations
from proxy.identity.issue import IssuedToken, Issuer, TokenRequest
from proxy.identity.keys import Algorithm, SigningKey, TrustedKey, generate
from proxy.identity.principal import ActorType, Principal
from proxy.identity.refusal import Reason, RefusedError
from proxy.identity.sealing import MasterKey, Secret
from proxy.identity.verify import Verifier

GATEWAY = "https://gateway.example"
ENDPOINT = f"{GATEWAY}/servers/github/mcp"
AUDIENCES = frozenset({ENDPOINT, GATEWAY})
NOW = 1_800_000_000
MASTER = MasterKey(Secret(bytes(range(32))))


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


def trusted(*keys: SigningKey, ends_at: int | None = None) -> list[TrustedKey]:
    return [TrustedKey(key.key_id, key.algorithm, key.public, ends_at) for key in keys]


@dataclass
class Plane:
    """A key, an issuer and a verifier that belong together."""

    algorithm: Algorithm = Algorithm.EDDSA
    remembered: int = 10_000
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.key = generate(self.algorithm)
        self.issuer = Issuer(GATEWAY, lambda: self.key, self.clock)
        self.verifier = self.another_verifier()

    def another_verifier(self) -> Verifier:
        verifier = Verifier(Expectations(GATEWAY), self.clock, remembered=self.remembered)
        verifier.trust(trusted(self.key))
        return verifier

    def issue(self, name: str = "ci", audience: str = ENDPOINT, life: int = 600) -> IssuedToken:
        return self.issuer.issue(TokenRequest(ActorType.CLIENT, name, audience, life))

    def token(self, name: str = "ci", audience: str = ENDPOINT, life: int = 600) -> str:
        return text_of(self.issue(name, audience, life))

    def signed(self, claims: Mapping[str, Any]) -> str:
        return self.key.sign(json.dumps(claims).encode())

    def verify(self, token: str) -> Principal:
        return self.verifier.verify(token, AUDIENCES)

    def outcome(self, token: str) -> Principal | Reason:
        return outcome(self.verifier, token)


def outcome(verifier: Verifier, token: str) -> Principal | Reason:
    try:
        return verifier.verify(token, AUDIENCES)
    except RefusedError as refused:
        return refused.reason


def text_of(issued: IssuedToken) -> str:
    return issued.text.reveal().decode()


def good_claims(**changes: Any) -> dict[str, Any]:  # noqa: ANN401  claims hold any JSON
    """Return claims that verify at `NOW`, but for *changes*; a change to `...` drops the claim."""
    claims: dict[str, Any] = {
        "iss": GATEWAY,
        "sub": "client:ci",
        "client_id": "ci",
        "aud": ENDPOINT,
        "iat": NOW,
        "exp": NOW + 600,
        "jti": "token-1",
    }
    return {name: value for name, value in (claims | changes).items() if value is not ...}


def encoded(content: bytes | str | Mapping[str, Any]) -> str:
    if isinstance(content, Mapping):
        content = json.dumps(content)
    if isinstance(content, str):
        content = content.encode()
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
