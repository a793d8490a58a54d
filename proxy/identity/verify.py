"""From a bearer token to a principal, or nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jwt import PyJWTError
from jwt.api_jws import PyJWS

from proxy.identity.claims import Expectations, read_claims
from proxy.identity.compact import LONGEST_TOKEN, read_header, strict_object
from proxy.identity.keys import Algorithm, TrustedKey
from proxy.identity.principal import Principal
from proxy.identity.refusal import KeyUnknownError, Reason, RefusedError
from proxy.identity.revocations import Revocations

REMEMBERED_SECONDS = 60
REMEMBERED_TOKENS = 10_000

_SIGNATURES = {algorithm: PyJWS(algorithms=[algorithm.value]) for algorithm in Algorithm}


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A verified token, good from when it was verified, so that a clock set back revives none."""

    principal: Principal
    since: float
    until: float


class Verifier:
    """Verifies the access tokens of one issuer, by keys and revocations held in memory.

    *clock* tells the seconds since the epoch. Tokens that were verified are remembered for at most
    60 s, under the SHA-256 of the whole token, until keys or revocations change. For one thread.

    *look_again* looks for keys that another process made, and calls `trust` if there are any.
    Strangers choose when, so many who ask together must cost no more than one.
    """

    def __init__(
        self,
        expected: Expectations,
        clock: Callable[[], float],
        *,
        remembered: int = REMEMBERED_TOKENS,
        look_again: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._expected = expected
        self._clock = clock
        self._look_again = look_again
        self._capacity = remembered
        self._keys: dict[str, TrustedKey] = {}
        self._revoked: frozenset[str] = frozenset()
        self._revocations = Revocations()
        self._known: OrderedDict[bytes, _Remembered] = OrderedDict()

    def __len__(self) -> int:
        """Return how many tokens are remembered."""
        return len(self._known)

    def trust(self, keys: Iterable[TrustedKey], revoked: Iterable[str] = ()) -> None:
        """Verify by *keys* alone from now on. Nobody need look for those that were *revoked*."""
        self._keys = {key.key_id: key for key in keys}
        self._revoked = frozenset(revoked)
        self._known.clear()

    def refuse(self, revocations: Revocations) -> None:
        """Refuse what *revocations* name from now on, and nothing else that was refused before."""
        self._revocations = revocations
        self._known.clear()

    async def look_again(self) -> None:
        """Return when every key is known that was there when this was called.

        Then verify once more what raised `KeyUnknownError`.
        """
        if self._look_again is not None:
            await self._look_again()

    def verify(self, token: str, audiences: Collection[str]) -> Principal:
        """Return who presents *token* at a place that answers to *audiences*.

        Give a set: one lookup is what a token costs that was verified before. Raises
        `RefusedError` for every token that is not genuine, in time, unrevoked and for this place;
        `KeyUnknownError` among them.
        """
        principal = self._principal(token)
        if principal.audience not in audiences:
            raise RefusedError(Reason.AUDIENCE_OTHER)
        return principal

    def _principal(self, token: str) -> Principal:
        if len(token) > LONGEST_TOKEN:
            raise RefusedError(Reason.TOO_LONG)
        if not token.isascii():
            raise RefusedError(Reason.NOT_COMPACT)
        digest = sha256(token.encode()).digest()
        now = self._clock()
        known = self._known.get(digest)
        if known is not None:
            if known.since <= now < known.until:
                self._known.move_to_end(digest)
                return known.principal
            del self._known[digest]
        return self._remember(digest, token, now)

    def _remember(self, digest: bytes, token: str, now: float) -> Principal:
        key = self._key(token, now)
        payload = signed_object(token, key)
        claims = read_claims(payload, self._expected, now, key.key_id)
        principal = claims.principal
        reason = self._revocations.reason(principal.token_id, claims.issued_at, claims.identities)
        if reason is not None:
            raise RefusedError(reason)
        ends = [now + REMEMBERED_SECONDS, principal.expires_at]
        until = min(ends if key.ends_at is None else [*ends, key.ends_at])
        if until > now:
            self._known[digest] = _Remembered(principal, now, until)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)
        return principal

    def _key(self, token: str, now: float) -> TrustedKey:
        header = read_header(token)
        key = self._keys.get(header.key_id)
        if header.key_id in self._revoked:
            raise RefusedError(Reason.KEY_ENDED)
        if key is None:
            raise KeyUnknownError
        if key.ends_at is not None and now >= key.ends_at:
            raise RefusedError(Reason.KEY_ENDED)
        # Our record chose the algorithm when the key was made; the token only has to agree.
        if header.algorithm != key.algorithm.value:
            raise RefusedError(Reason.ALGORITHM_OTHER)
        return key


def signed_object(token: str, key: TrustedKey) -> dict[str, Any]:
    """Return the object that *key* signed as *token*, in compact form. Raises `RefusedError`."""
    try:
        signed = _SIGNATURES[key.algorithm].decode(
            token, key.public, algorithms=[key.algorithm.value]
        )
    except (PyJWTError, ValueError, TypeError):
        # Whatever the library had to say stays here: its words may quote the token.
        raise RefusedError(Reason.SIGNATURE_WRONG) from None
    try:
        return strict_object(signed)
    except ValueError:
        raise RefusedError(Reason.PAYLOAD_MALFORMED) from None
