"""The signing keys of one plane and their four states. Values: every change makes a new one."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from proxy.identity.compact import canonical_bytes, canonical_text
from proxy.identity.keys import (
    Algorithm,
    SigningKey,
    TrustedKey,
    UnfitKeyError,
    jwk,
    public_bytes,
    read_private,
    read_public,
    thumbprint,
)
from proxy.identity.sealing import DamagedError, MasterKey

_PURPOSE_SEAL = "signing-key"
_PURPOSE_MARK = "keyring"


class Plane(StrEnum):
    """Which listener's tokens a keyring signs; no key is ever in both."""

    DATA = "data"
    CONTROL = "control"


class KeyState(StrEnum):
    """Prepared is published and trusted but signs nothing; retired is trusted until its end."""

    PREPARED = "prepared"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class KeyringError(Exception):
    """A change that the keyring's state does not allow."""


@dataclass(frozen=True)
class Key:
    """One signing key as it is kept. Moments are in seconds since the epoch.

    `sealed` is the private key under the master key; it is empty once the key signs no more.
    `since` is when `state` began; `ends_at` is set for a retired key.
    """

    key_id: str
    algorithm: Algorithm
    public: bytes = field(repr=False)
    sealed: str = field(repr=False)
    state: KeyState
    made_at: int
    since: int
    ends_at: int | None = None

    @cached_property
    def trusted(self) -> TrustedKey:
        """The key to verify by. Raises `UnfitKeyError` if the record contradicts itself."""
        public = read_public(self.algorithm, self.public)
        if thumbprint(public) != self.key_id:
            raise UnfitKeyError("The key is not the one that its id names.")
        return TrustedKey(self.key_id, self.algorithm, public, self.ends_at)

    def is_trusted(self, now: float) -> bool:
        if self.state is KeyState.REVOKED:
            return False
        return self.ends_at is None or now < self.ends_at


@dataclass(frozen=True)
class Keyring:
    """The keys of one plane, oldest first; at most one is prepared and one active."""

    plane: Plane
    keys: tuple[Key, ...] = ()

    def in_state(self, state: KeyState) -> Key | None:
        """Return the newest key in *state*."""
        return next((key for key in reversed(self.keys) if key.state is state), None)

    @property
    def revoked(self) -> frozenset[str]:
        """The ids of the keys that are trusted no more, and of which tokens may be about."""
        return frozenset(key.key_id for key in self.keys if key.state is KeyState.REVOKED)

    def prepare(self, made: SigningKey, master: MasterKey, now: int) -> Keyring:
        """Publish *made*, to become active later. Raises `KeyringError` if one is prepared."""
        if self.in_state(KeyState.PREPARED) is not None:
            raise KeyringError("A key is prepared already: rotate to it, or revoke it.")
        about = _about(self.plane, made.key_id, made.algorithm)
        key = Key(
            key_id=made.key_id,
            algorithm=made.algorithm,
            public=public_bytes(made.public),
            sealed=master.seal(_PURPOSE_SEAL, made.private_bytes(), about),
            state=KeyState.PREPARED,
            made_at=now,
            since=now,
        )
        return replace(self, keys=(*self.keys, key))

    def withdraw(self) -> Keyring:
        """Drop the key that is prepared: nothing was ever signed with it."""
        kept = (key for key in self.keys if key.state is not KeyState.PREPARED)
        return replace(self, keys=tuple(kept))

    def rotate(self, now: int, overlap: int) -> Keyring:
        """Make the prepared key active; the active one retires and is trusted *overlap* s more.

        The overlap must be the longest life of a token and the leeway at least, or good tokens die
        with their key. Raises `KeyringError` if no key is prepared.
        """
        if self.in_state(KeyState.PREPARED) is None:
            raise KeyringError("No key is prepared: prepare one, and let every replica see it.")
        changed = tuple(_rotated(key, now, overlap) for key in self.keys)
        return replace(self, keys=changed).without_ended(now)

    def revoke(self, key_id: str, now: int) -> Keyring:
        """Trust *key_id* no more, nor any token it signed.

        A prepared key takes the place of an active one; with none prepared nothing can be issued
        until one is. Raises `KeyringError` for a key that is not here.
        """
        revoked = next((key for key in self.keys if key.key_id == key_id), None)
        if revoked is None:
            raise KeyringError("No key has this id.")
        if revoked.state is KeyState.REVOKED:
            return self
        end = replace(revoked, state=KeyState.REVOKED, since=now, sealed="", ends_at=None)
        left = replace(self, keys=tuple(end if key is revoked else key for key in self.keys))
        is_gap = revoked.state is KeyState.ACTIVE
        has_next = left.in_state(KeyState.PREPARED) is not None
        return left.rotate(now, overlap=0) if is_gap and has_next else left

    def without_ended(self, now: float) -> Keyring:
        """Drop retired keys past their end. Revoked ones stay on record."""
        kept = (key for key in self.keys if key.ends_at is None or now < key.ends_at)
        return replace(self, keys=tuple(kept))

    def trusted(self, now: float) -> tuple[TrustedKey, ...]:
        """Return the keys to verify by: prepared ones too, for another replica may be ahead."""
        return tuple(key.trusted for key in self.keys if key.is_trusted(now))

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """Return the document to publish (RFC 7517 section 5): the keys that are trusted."""
        return {"keys": [jwk(key.algorithm, key.public) for key in self.trusted(now)]}

    def reseal(self, old: MasterKey, new: MasterKey) -> Keyring:
        """Return the same keys under the master key *new*. Raises as `signing_key` does."""
        return replace(self, keys=tuple(self._resealed(key, old, new) for key in self.keys))

    def _resealed(self, key: Key, old: MasterKey, new: MasterKey) -> Key:
        if not key.sealed:
            return key
        about = _about(self.plane, key.key_id, key.algorithm)
        opened = old.open(_PURPOSE_SEAL, key.sealed, about)
        return replace(key, sealed=new.seal(_PURPOSE_SEAL, opened, about))

    def signing_key(self, master: MasterKey) -> SigningKey:
        """Return the active key, opened.

        Raises `KeyringError` if none is active, `MasterKeyError` or `DamagedError` if it cannot be
        opened.
        """
        active = self.in_state(KeyState.ACTIVE)
        if active is None:
            raise KeyringError("No key is active: prepare one and rotate to it.")
        about = _about(self.plane, active.key_id, active.algorithm)
        opened = master.open(_PURPOSE_SEAL, active.sealed, about)
        key = read_private(active.algorithm, opened)
        if key.key_id != active.key_id:
            raise DamagedError("The private key is not the one that its record names.")
        return key


def to_record(keyring: Keyring, master: MasterKey) -> dict[str, Any]:
    """Return *keyring* for storage, in the types of JSON, marked so that changes show."""
    content = {
        "version": 1,
        "plane": keyring.plane.value,
        "keys": [_key_record(key) for key in keyring.keys],
        "master": master.id,
    }
    return content | {"mark": master.mark(_PURPOSE_MARK, _canonical(content))}


def from_record(record: Mapping[str, Any], plane: Plane, master: MasterKey) -> Keyring:
    """Return the keyring of *plane* that `to_record` wrote.

    Raises `MasterKeyError` if another master key marked it; `DamagedError` if it was changed, by
    whoever has no master key, or belongs to another plane.
    """
    content = {name: value for name, value in record.items() if name != "mark"}
    master.require(str(content.get("master")))
    try:
        mark = master.mark(_PURPOSE_MARK, _canonical(content))
        whole = hmac.compare_digest(record["mark"], mark)
        if not whole or content["version"] != 1 or Plane(content["plane"]) is not plane:
            raise DamagedError("The keyring was changed, or is another plane's.")
        return Keyring(plane, tuple(_key(found) for found in content["keys"]))
    except (KeyError, TypeError, ValueError, UnfitKeyError):
        raise DamagedError("The keyring cannot be read.") from None


def _rotated(key: Key, now: int, overlap: int) -> Key:
    if key.state is KeyState.PREPARED:
        return replace(key, state=KeyState.ACTIVE, since=now)
    if key.state is KeyState.ACTIVE:
        return replace(key, state=KeyState.RETIRED, since=now, ends_at=now + overlap, sealed="")
    return key


def _about(plane: Plane, key_id: str, algorithm: Algorithm) -> bytes:
    return _canonical({"plane": plane.value, "kid": key_id, "alg": algorithm.value})


def _key_record(key: Key) -> dict[str, Any]:
    return {
        "kid": key.key_id,
        "alg": key.algorithm.value,
        "public": canonical_text(key.public),
        "sealed": key.sealed,
        "state": key.state.value,
        "made_at": key.made_at,
        "since": key.since,
        "ends_at": key.ends_at,
    }


def _key(found: Mapping[str, Any]) -> Key:
    key = Key(
        key_id=found["kid"],
        algorithm=Algorithm(found["alg"]),
        public=canonical_bytes(found["public"]),
        sealed=found["sealed"],
        state=KeyState(found["state"]),
        made_at=found["made_at"],
        since=found["since"],
        ends_at=found["ends_at"],
    )
    # Asked for now, so that a record which contradicts itself is refused before it is used.
    _ = key.trusted
    return key


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
