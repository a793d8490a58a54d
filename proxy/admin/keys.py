"""Signing keys: seen, rotated and revoked, by administrators and by the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from pydantic import Field

from proxy.admin.errors import ApiError
from proxy.admin.issuing import Author
from proxy.admin.routes import Input, Route, Visit
from proxy.audit import Audit, UnrecordedError, principal_document
from proxy.identity.keyfile import KeyringChangedError, Plan
from proxy.identity.keyring import Key, Keyring, KeyringError, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import Principal
from proxy.identity.schedule import Schedule, Step
from proxy.identity.sealing import DamagedError, MasterKeyError
from proxy.listener.answers import Answer

MANAGE: Final = "manage_keys"
PREPARED: Final = "key.prepared"
ROTATED: Final = "key.rotated"
REVOKED: Final = "key.revoked"
"""What records call these changes."""

LOOK_SECONDS: Final = 60.0
"""Between two looks at the schedule."""

_SCHEDULE: Final = Author({"type": "System", "id": "key-schedule"}, "System:key-schedule")
_UNUSABLE: Final = (OSError, MasterKeyError, DamagedError)


class UnknownKeyError(ApiError):
    status = 404
    code = "unknown-key"
    public = "No signing key has this id; list the keys to find it."


class KeysChangedError(ApiError):
    status = 409
    code = "keys-changed"
    public = "Somebody else changed the keys meanwhile; look at them, and do it again if need be."


class KeysUnusableError(ApiError):
    status = 503
    code = "keys-unusable"
    public = (
        "The keys cannot be read or written, so nothing was changed. Look at the directory keys "
        "of the data directory, and at the master key."
    )


PlaneName = Literal["data", "control"]


class Wanted(Input):
    """Which keys to list."""

    plane: PlaneName | None = None


class Rotation(Input):
    """Whose keys to rotate, and to what kind of key; else it is one as before."""

    plane: PlaneName
    algorithm: Literal["EdDSA", "ES256", "RS256"] | None = None


class Revocation(Input):
    """Why a key is trusted no more."""

    why: str = Field(min_length=1, max_length=500)


@dataclass(frozen=True, slots=True)
class KeyChanges:
    """Changes of keys, each recorded before it is made.

    *revoked* is told of a key that is not trusted any more: plane and id. *clock* tells the seconds
    since the epoch.
    """

    planes: Mapping[Plane, TokenPlane]
    audit: Audit
    clock: Callable[[], float]
    revoked: Callable[[Plane, str], None]

    async def prepare(self, plane: Plane, author: Author) -> None:
        """Publish a key, to sign later. Raises as `rotate`, and `KeyringError` if one waits."""
        tokens = self.planes[plane]
        await self._carried_out(tokens, await tokens.plan_preparation(), PREPARED, author)

    async def rotate(self, plane: Plane, algorithm: Algorithm | None, author: Author) -> None:
        """Sign with the key that was prepared, or with a new one if none of *algorithm* was.

        Raises `UnrecordedError`, `KeyringChangedError`, and what opening a keyring raises.
        """
        tokens = self.planes[plane]
        await self._carried_out(tokens, await tokens.plan_rotation(algorithm), ROTATED, author)

    async def revoke(self, plane: Plane, key_id: str, author: Author, why: str) -> None:
        """Trust the key no more. Raises as `rotate`, and `KeyringError` for an unknown key."""
        tokens = self.planes[plane]
        plan = tokens.plan_revocation(key_id)
        if plan.before != plan.after:
            await self._carried_out(tokens, plan, REVOKED, author, why)
        self.revoked(plane, key_id)

    async def follow(self, schedule: Schedule, on_failure: Callable[[BaseException], None]) -> None:
        """Do what *schedule* asks for, when it is due, until cancelled."""
        while True:
            for plane in self.planes:
                try:
                    await self.keep(plane, schedule)
                except (KeyringChangedError, UnrecordedError):
                    pass  # another process was quicker, or the disk is full: at the next look
                except _UNUSABLE as error:
                    on_failure(error)
            await asyncio.sleep(LOOK_SECONDS)

    async def keep(self, plane: Plane, schedule: Schedule) -> None:
        """Do what *schedule* asks for now. Raises as `rotate` does."""
        match schedule.due(self.planes[plane].keyring, self.clock()):
            case Step.PREPARE:
                await self.prepare(plane, _SCHEDULE)
            case Step.ROTATE:
                await self.rotate(plane, None, _SCHEDULE)

    async def _carried_out(
        self, tokens: TokenPlane, plan: Plan, what: str, author: Author, why: str = ""
    ) -> None:
        before, after = (documents(ring) for ring in (plan.before, plan.after))
        await self.audit.changed(author.document, what, why=why, before=before, after=after)
        await tokens.carry_out(plan)


class Keys:
    """The signing keys of both planes."""

    def __init__(self, changes: KeyChanges) -> None:
        self._changes = changes

    def routes(self) -> tuple[Route[Any], ...]:
        path = "/api/v0/keys"
        return (
            Route("GET", path, MANAGE, Wanted, self.listed),
            Route("POST", f"{path}/rotate", MANAGE, Rotation, self.rotate),
            Route("POST", f"{path}/{{key_id}}/revoke", MANAGE, Revocation, self.revoke),
        )

    async def listed(self, visit: Visit, wanted: Wanted) -> Answer:
        del visit
        return self._answer(one for one in Plane if wanted.plane in {None, one})

    async def rotate(self, visit: Visit, rotation: Rotation) -> Answer:
        plane, wanted = Plane(rotation.plane), rotation.algorithm
        algorithm = None if wanted is None else Algorithm(wanted)
        await _done(self._changes.rotate(plane, algorithm, author_of(visit.principal)))
        return self._answer([plane])

    async def revoke(self, visit: Visit, revocation: Revocation) -> Answer:
        key_id = visit.names["key_id"]
        plane = self._plane_of(key_id)
        author = author_of(visit.principal)
        await _done(self._changes.revoke(plane, key_id, author, revocation.why))
        return self._answer([plane])

    def _plane_of(self, key_id: str) -> Plane:
        for plane, tokens in self._changes.planes.items():
            if any(key.key_id == key_id for key in tokens.keyring.keys):
                return plane
        raise UnknownKeyError

    def _answer(self, chosen: Iterable[Plane]) -> Answer:
        planes = self._changes.planes
        found = [one for plane in chosen for one in documents(planes[plane].keyring)]
        return Answer(200, orjson.dumps({"keys": found}))


def author_of(principal: Principal) -> Author:
    """Return *principal* as whoever makes a change."""
    return Author(principal_document(principal), f"{principal.type.value}:{principal.id}")


def documents(keyring: Keyring) -> list[dict[str, Any]]:
    """Return the keys as records and answers name them."""
    return [_document(keyring.plane, key) for key in keyring.keys]


def _document(plane: Plane, key: Key) -> dict[str, Any]:
    return {
        "plane": plane.value,
        "key_id": key.key_id,
        "algorithm": key.algorithm.value,
        "state": key.state.value,
        "made_at": key.made_at,
        "since": key.since,
        "ends_at": key.ends_at,
    }


async def _done(work: Awaitable[None]) -> None:
    try:
        await work
    except (KeyringChangedError, KeyringError):
        raise KeysChangedError from None
    except _UNUSABLE as error:
        raise KeysUnusableError from error
