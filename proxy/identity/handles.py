"""What clients are given to come back with, sealed so that nobody else can use it.

A session id, a cursor or the id of a task of an upstream would work for whoever shows it. What a
client holds instead names the upstream's own, and what is needed to go on, encrypted together with
its holder, under a key that all workers share; so nothing need be kept to read it. The same thing
is sealed to the same text every time (RFC 5297), so that clients can compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from proxy.identity.compact import canonical_bytes, canonical_text
from proxy.identity.principal import Principal
from proxy.identity.sealing import Secret

LONGEST_HANDLE = 272 * 1024
"""Characters of a handle that is looked at: room for 32 Ki characters, six bytes each in JSON."""


class Kind(StrEnum):
    """What a handle stands for. None can be used as another."""

    SESSION = "session"
    CURSOR = "cursor"
    STATE = "state"
    TASK = "task"
    EVENT = "event"
    ASKED = "asked"


class UnknownHandleError(Exception):
    """A handle that was not sealed here, or not for this holder and purpose: which, it is not told.

    `kind` is what it was shown as.
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind.value)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Holder:
    """Who may use a handle, and at which server.

    Whoever acts for another user, or comes from another issuer, is another holder; a new token of
    the same identity is the same one.
    """

    principal: Principal
    server: str

    @property
    def name(self) -> str:
        """What names the principal alone, exactly."""
        one = self.principal
        parts = [one.type.value, one.id, one.issuer, one.subject, one.client_id, one.acts_for]
        return orjson.dumps(parts).decode()


class Handles:
    """Seals and opens under *key*, 32 bytes."""

    def __init__(self, key: Secret) -> None:
        self._cipher = AESSIV(key.reveal())

    def seal(self, kind: Kind, holder: Holder, content: Any, about: bytes = b"") -> str:  # noqa: ANN401  JSON
        """Return the handle of *content*, any JSON, in visible ASCII.

        *about* is what it belongs to besides its holder, such as a session or a request.
        """
        sealed = self._cipher.encrypt(orjson.dumps(content), _bound(kind, holder, about))
        return canonical_text(sealed)

    def open(self, kind: Kind, holder: Holder, handle: str, about: bytes = b"") -> Any:  # noqa: ANN401  JSON
        """Return what `seal` was given. Raises `UnknownHandleError`."""
        if len(handle) > LONGEST_HANDLE:
            raise UnknownHandleError(kind)
        try:
            sealed = canonical_bytes(handle)
            return orjson.loads(self._cipher.decrypt(sealed, _bound(kind, holder, about)))
        except (ValueError, InvalidTag):
            raise UnknownHandleError(kind) from None


def _bound(kind: Kind, holder: Holder, about: bytes) -> list[bytes]:
    # Each is authenticated by itself, so no two lists of parts can be taken for each other.
    return [kind.value.encode(), holder.server.encode(), holder.name.encode(), about]
