"""Opaque tokens: texts that came from elsewhere, good for whoever was given them here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from policies.model import Entity
from proxy.identity.bearer import bearer
from proxy.identity.keyring import Plane
from proxy.identity.marking import Marks
from proxy.identity.principal import ActorType, Principal
from proxy.identity.refusal import Reason, RefusedError
from storage.opaque import OpaqueLedger, OpaqueToken

SHORTEST: Final = 8
LONGEST: Final = 4096
"""Characters that an opaque token may have."""

_NEVER: Final = 2**53
"""When a token ends that has no end."""

_MOST_SECONDS: Final = 86_400.0
"""Before it is looked again whether a token ended."""

_PLANES: Final = {"Client": Plane.DATA, "User": Plane.CONTROL}


def is_opaque(text: str) -> bool:
    """Tell whether *text* may be an opaque token.

    It is none if no request could carry it, or if it has the form of a signed token: whatever is
    presented is one or the other by its form alone.
    """
    if not SHORTEST <= len(text) <= LONGEST or _is_compact(text):
        return False
    try:
        return bearer([("Authorization", f"Bearer {text}")]) == text
    except RefusedError:
        return False


class OpaqueTokens:
    """All opaque tokens that are good, in memory, so that to know one costs no query.

    *addresses* are the audiences of each plane: clients' tokens are good for that of the data
    plane, users' for that of the control plane. *holder* is the client that holds a user's.
    *clock* tells the seconds since the epoch. `on_end` is told the ids of those that ended.
    """

    def __init__(
        self,
        ledger: OpaqueLedger,
        marks: Marks,
        addresses: Mapping[Plane, str],
        holder: str,
        clock: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._marks = marks
        self._addresses = addresses
        self._holder = holder
        self._clock = clock
        self._tokens: Sequence[OpaqueToken] = ()
        self._by_mark: Mapping[str, tuple[OpaqueToken, Principal]] = MappingProxyType({})
        self._by_owner: Mapping[Entity, Sequence[OpaqueToken]] = MappingProxyType({})
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self.on_end: Callable[..., None] = lambda *_: None

    def known(self, text: str, plane: Plane, audiences: Collection[str]) -> Principal | None:
        """Return who presents *text* on *plane*; None if it is no opaque token that is known.

        Raises `RefusedError` for one that ended, or is not for *plane* and *audiences*.
        """
        if _is_compact(text) or len(text) > LONGEST:
            return None
        # What is looked up is a keyed hash of all of it, so that time tells nothing of any other.
        found = self._by_mark.get(self._marks.mark(text))
        if found is None:
            return None
        token, principal = found
        if not token.is_good(self._clock()):
            raise RefusedError(Reason.EXPIRED)
        if _PLANES[token.owner_type] is not plane or principal.audience not in audiences:
            raise RefusedError(Reason.AUDIENCE_OTHER)
        return principal

    def of(self, owner: Entity) -> Sequence[OpaqueToken]:
        """Return the tokens of *owner* that are good, the one he got last at the end."""
        now = self._clock()
        return [token for token in self._by_owner.get(owner, ()) if token.is_good(now)]

    def holding(self, mark: str) -> OpaqueToken | None:
        """Return the token that *mark* marks."""
        found = self._by_mark.get(mark)
        return None if found is None else found[0]

    async def catch_up(self) -> None:
        """Know what is in the ledger by now. Raises `StateError`."""
        # One after the other: whoever began later has read what is newer.
        async with self._turn:
            self._know(await self._ledger.all())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _know(self, tokens: Iterable[OpaqueToken]) -> None:
        before = {token.id for token in self._tokens}
        self._tokens = tuple(tokens)
        by_owner: dict[Entity, list[OpaqueToken]] = {}
        by_mark = {token.mark: (token, self._principal(token)) for token in self._tokens}
        for token, principal in by_mark.values():
            by_owner.setdefault(principal.actor, []).append(token)
        self._by_mark, self._by_owner = MappingProxyType(by_mark), MappingProxyType(by_owner)
        gone = before - {token.id for token in self._tokens}
        if gone:
            self.on_end(*gone)
        self._look_at_the_next_end()

    def _look_at_the_next_end(self) -> None:
        self.close()
        ends = [token.expires_at for token in self._tokens if token.expires_at is not None]
        if ends:
            wait = min(max(min(ends) - self._clock(), 0.0), _MOST_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(wait, self._forget_ended)

    def _forget_ended(self) -> None:
        now = self._clock()
        self._know(token for token in self._tokens if token.is_good(now))

    def _principal(self, token: OpaqueToken) -> Principal:
        known = self._by_mark.get(token.mark)
        if known is not None and known[0] == token:
            return known[1]  # to make thousands anew would hold up calls
        type_ = ActorType(token.owner_type)
        address = self._addresses[_PLANES[token.owner_type]]
        return Principal(
            type=type_,
            id=token.owner,
            issuer=address,
            subject=type_.prefix + token.owner,
            client_id=token.owner if type_ is ActorType.CLIENT else self._holder,
            token_id=token.id,
            expires_at=_NEVER if token.expires_at is None else token.expires_at,
            audience=address,
        )


def _is_compact(text: str) -> bool:
    return text.count(".") == 2  # noqa: PLR2004  three parts (RFC 7515 section 7.1)
