"""Signing keys: seen, rotated and revoked, by administrators and by the schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import orjson
from pydantic import Field

from proxy.admin.errors import ApiError
from proxy.admin.issuing import Author
from proxy.admin.outputs import KeysDocument, PlaneName
from proxy.admin.routes import Input, Route, Visit
from proxy.audit import Audit, UnrecordedError, principal_document
from proxy.identity.keptring import KeyringChangedError, Plan
from proxy.identity.keyring import Key, Keyring, KeyringError, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import Principal
from proxy.identity.schedule import Schedule, Step
from proxy.identity.sealing import DamagedError, MasterKeyError
from proxy.listener.answers import Answer
from storage.errors import StateError

MANAGE: Final = "manage_keys"
PREPARED: Final = "key.prepared"
ROTATED: Final = "key.rotated"
REVOKED: Final = "key.revoked"
"""What records call these changes."""

NOT_MADE: Final = "key.not-made"
"""What a record says after one of a change which another process was quicker than."""

LOOK_SECONDS: Final = 60.0
"""Between two looks at the schedule, more or less: all processes have the same."""

_SCHEDULE: Final = Author({"type": "System", "id": "key-schedule"}, "System:key-schedule")
_UNUSABLE: Final = (MasterKeyError, DamagedError)


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
        "The keys in the database cannot be opened, so nothing was changed. Give this gateway the "
        "master key that the others have, and start it again."
    )


T = TypeVar("T")


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
    """Changes of keys, each recorded before it is made. *clock* tells the Unix second."""

    planes: Mapping[Plane, TokenPlane]
    audit: Audit
    clock: Callable[[], float]

    async def prepare(self, plane: Plane, author: Author) -> None:
        """Publish a key, to sign later. Raises as `rotate`, and `KeyringError` if one waits."""
        tokens = await self.known(plane)
        await self._carried_out(tokens, await tokens.plan_preparation(), PREPARED, author)

    async def rotate(self, plane: Plane, algorithm: Algorithm | None, author: Author) -> None:
        """Sign with the key that was prepared, or with a new one if none of *algorithm* was.

        Raises `UnrecordedError`, `KeyringChangedError`, and what opening a keyring raises.
        """
        tokens = await self.known(plane)
        await self._carried_out(tokens, await tokens.plan_rotation(algorithm), ROTATED, author)

    async def revoke(self, plane: Plane, key_id: str, author: Author, why: str) -> None:
        """Trust the key no more. Raises as `rotate`, and `KeyringError` for an unknown key."""
        tokens = await self.known(plane)
        plan = await tokens.plan_revocation(key_id)
        if plan.before != plan.after:
            await self._carried_out(tokens, plan, REVOKED, author, why)

    async def known(self, plane: Plane) -> TokenPlane:
        """Return the tokens of *plane*, with its keys as they are now. Raises as opening does."""
        tokens = self.planes[plane]
        await tokens.reload()
        return tokens

    async def follow(
        self,
        schedule: Schedule,
        on_failure: Callable[[BaseException], None],
        random: Callable[[], float],
    ) -> None:
        """Do what *schedule* asks for, when it is due, until cancelled.

        *random* tells numbers from 0 to 1, by which processes that began together look apart.
        """
        await asyncio.sleep(LOOK_SECONDS * random())
        while True:
            for plane in self.planes:
                try:
                    await self.keep(plane, schedule)
                except (KeyringChangedError, UnrecordedError, StateError):
                    pass  # another process was quicker, or nothing can be kept: at the next look
                except _UNUSABLE as error:
                    on_failure(error)
            await asyncio.sleep(LOOK_SECONDS * (0.5 + random()))

    async def keep(self, plane: Plane, schedule: Schedule) -> None:
        """Do what *schedule* asks for now. Raises as `rotate` does."""
        if schedule.due(self.planes[plane].keyring, self.clock()) is None:
            return
        # Another process may have done it just now.
        tokens = await self.known(plane)
        match schedule.due(tokens.keyring, self.clock()):
            case Step.PREPARE:
                await self.prepare(plane, _SCHEDULE)
            case Step.ROTATE:
                await self.rotate(plane, None, _SCHEDULE)

    async def _carried_out(
        self, tokens: TokenPlane, plan: Plan, what: str, author: Author, why: str = ""
    ) -> None:
        before, after = (documents(ring) for ring in (plan.before, plan.after))
        await self.audit.changed(author.document, what, why=why, before=before, after=after)
        try:
            await tokens.carry_out(plan)
        except KeyringChangedError:
            # The record says that it was made.
            lost = f"{what}: somebody else changed the keys meanwhile"
            await self.audit.changed(author.document, NOT_MADE, why=lost, before=after)
            raise


class Keys:
    """The signing keys of both planes."""

    def __init__(self, changes: KeyChanges) -> None:
        self._changes = changes

    def routes(self) -> tuple[Route[Any], ...]:
        path = "/api/v0/keys"
        return (
            Route(
                "GET",
                path,
                MANAGE,
                Wanted,
                self.listed,
                summary="List the signing keys",
                gives=KeysDocument,
                fails=(KeysUnusableError,),
            ),
            Route(
                "POST",
                f"{path}/rotate",
                MANAGE,
                Rotation,
                self.rotate,
                summary="Sign with another key from now on",
                gives=KeysDocument,
                fails=(KeysChangedError, KeysUnusableError),
            ),
            Route(
                "POST",
                f"{path}/{{key_id}}/revoke",
                MANAGE,
                Revocation,
                self.revoke,
                summary="Trust a signing key no more, and no token that it signed",
                gives=KeysDocument,
                fails=(UnknownKeyError, KeysChangedError, KeysUnusableError),
            ),
        )

    async def listed(self, visit: Visit, wanted: Wanted) -> Answer:
        del visit
        chosen = [one for one in Plane if wanted.plane in {None, one}]
        for plane in chosen:
            await _done(self._changes.known(plane))
        return self._answer(chosen)

    async def rotate(self, visit: Visit, rotation: Rotation) -> Answer:
        plane, wanted = Plane(rotation.plane), rotation.algorithm
        algorithm = None if wanted is None else Algorithm(wanted)
        await _done(self._changes.rotate(plane, algorithm, author_of(visit.principal)))
        return self._answer([plane])

    async def revoke(self, visit: Visit, revocation: Revocation) -> Answer:
        key_id = visit.names["key_id"]
        plane = await self._plane_of(key_id)
        author = author_of(visit.principal)
        await _done(self._changes.revoke(plane, key_id, author, revocation.why))
        return self._answer([plane])

    async def _plane_of(self, key_id: str) -> Plane:
        for plane in Plane:
            tokens = await _done(self._changes.known(plane))
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


async def _done(work: Awaitable[T]) -> T:
    try:
        return await work
    except (KeyringChangedError, KeyringError):
        raise KeysChangedError from None
    except _UNUSABLE as error:
        raise KeysUnusableError from error
