"""Users: the identities of people, and the roles they have everywhere."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from pydantic import Field, ValidationInfo, field_validator

from proxy.admin.errors import (
    LastAdminError,
    NameTakenError,
    UnknownUserError,
    WrittenInPolicyError,
)
from proxy.admin.identities import (
    Identities,
    Keeping,
    Kind,
    Page,
    Terms,
    Why,
    check_teams,
)
from proxy.admin.opaque import (
    ACCESS_FAILS,
    AccessTerms,
    AccessTokenTakenError,
    NewAccessTerms,
    is_token_alone,
)
from proxy.admin.outputs import UserDocument, UsersPage
from proxy.admin.rights import ROLES, TEAMS, TeamNames
from proxy.admin.routes import Nothing, Route, Visit
from proxy.admin.wording import Name
from proxy.listener.answers import Answer
from proxy.standing import Standing
from storage.identities import IdentityLedger

MANAGE_USERS: Final = "manage_users"

USER: Final = Kind("User", MANAGE_USERS, (TEAMS, ROLES), UnknownUserError)

_Roles = Annotated[list[Annotated[str, Field(max_length=128)]], Field(max_length=100)]


def _known_roles(value: list[str], info: ValidationInfo) -> list[str]:
    if not isinstance(info.context, Standing):
        raise TypeError("Roles are validated on what is stood on.")
    known = info.context.grounds.bundle.program.types.roles("")
    unknown = [role for role in value if role not in known]
    if unknown:
        raise ValueError(f"The policy knows these roles: {', '.join(sorted(known)) or 'none'}.")
    return value


class Roles(Why):
    """All the roles that a user shall have. Validated on `Standing`."""

    roles: _Roles

    _are_known = field_validator("roles")(_known_roles)


class _Given(Terms):
    teams: TeamNames = Field([])


class UserTerms(AccessTerms, _Given):
    """What a user may be given. PUT states it anew, PATCH and a lone token what they name."""


class NewUser(NewAccessTerms, _Given):
    """Validated on `Standing`."""

    name: Name
    roles: _Roles = Field([])

    _are_known = field_validator("roles")(_known_roles)


class Users:
    """The users. Nobody gives roles who may not manage grants."""

    def __init__(self, keeping: Keeping) -> None:
        self._identities = Identities(USER, keeping)
        self._ledger: IdentityLedger = keeping.ledger
        self._standing = keeping.amendments.standing

    def routes(self) -> tuple[Route[Any], ...]:
        return (*self._of_all(), *self._of_one(), *self._of_rights())

    def _of_all(self) -> tuple[Route[Any], ...]:
        path, action = USER.path, USER.action
        return (
            Route(
                "GET",
                path,
                action,
                Page,
                self._identities.listed,
                summary="List users",
                gives=UsersPage,
            ),
            Route(
                "POST",
                path,
                action,
                NewUser,
                self.create,
                self._standing,
                summary="Create a user",
                example={"name": "ann", "description": "Ann of the security team"},
                status=201,
                gives=UserDocument,
                fails=(NameTakenError, AccessTokenTakenError),
            ),
        )

    def _of_one(self) -> tuple[Route[Any], ...]:
        one, action = f"{USER.path}/{{name}}", USER.action
        fails = (UnknownUserError, LastAdminError)
        return (
            Route(
                "GET",
                one,
                action,
                Nothing,
                self._identities.shown,
                summary="Show a user",
                gives=UserDocument,
                fails=(UnknownUserError,),
            ),
            Route(
                "PUT",
                one,
                action,
                UserTerms,
                self.replace,
                summary="Set all of a user but his roles",
                gives=UserDocument,
                fails=(*fails, *ACCESS_FAILS),
            ),
            Route(
                "PATCH",
                one,
                action,
                UserTerms,
                self.change,
                summary="Change what is named of a user",
                gives=UserDocument,
                fails=(*fails, *ACCESS_FAILS),
            ),
            Route(
                "DELETE",
                one,
                action,
                Why,
                self.delete,
                summary="Delete a user, his grants and his tokens",
                status=204,
                fails=fails,
            ),
        )

    def _of_rights(self) -> tuple[Route[Any], ...]:
        one, action = f"{USER.path}/{{name}}", USER.action
        fails = (UnknownUserError, LastAdminError)
        return (
            Route(
                "PUT",
                f"{one}/roles",
                action,
                Roles,
                self.set_roles,
                self._standing,
                summary="Set all roles of a user",
                gives=UserDocument,
                fails=fails,
            ),
            Route(
                "POST",
                f"{one}/suspend",
                action,
                Why,
                self._identities.suspend,
                summary="Suspend a user",
                gives=UserDocument,
                fails=fails,
            ),
            Route(
                "POST",
                f"{one}/resume",
                action,
                Why,
                self._identities.resume,
                summary="End the suspension of a user",
                gives=UserDocument,
                fails=(UnknownUserError, WrittenInPolicyError),
            ),
        )

    async def create(self, visit: Visit, new: NewUser) -> Answer:
        await check_teams(self._ledger, new.teams)
        return Answer(201, orjson.dumps(await self._identities.create(visit, new.name, new)))

    async def replace(self, visit: Visit, terms: UserTerms) -> Answer:
        await check_teams(self._ledger, terms.teams)
        fields = terms.model_fields_set if is_token_alone(terms) else None
        return Answer(200, orjson.dumps(await self._identities.update(visit, terms, fields)))

    async def change(self, visit: Visit, terms: UserTerms) -> Answer:
        await check_teams(self._ledger, terms.teams)
        changed = await self._identities.update(visit, terms, terms.model_fields_set)
        return Answer(200, orjson.dumps(changed))

    async def delete(self, visit: Visit, reason: Why) -> Answer:
        return await self._identities.delete(visit, reason.why, must_exist=True)

    async def set_roles(self, visit: Visit, roles: Roles) -> Answer:
        return Answer(200, orjson.dumps(await self._identities.update(visit, roles)))
