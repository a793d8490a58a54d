"""Users: the identities of people, and the roles they have everywhere."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from pydantic import Field, ValidationInfo, field_validator

from proxy.admin.errors import UnknownUserError
from proxy.admin.identities import (
    Identities,
    Keeping,
    Kind,
    Page,
    Terms,
    Why,
    check_teams,
)
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


class UserTerms(Terms):
    """What may be changed of a user. PUT states all of it anew, PATCH only what it names."""

    teams: TeamNames = Field([])


class NewUser(UserTerms):
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
        path, action, ours = USER.path, USER.action, self._identities
        one, standing = f"{path}/{{name}}", self._standing
        return (
            Route("GET", path, action, Page, ours.listed),
            Route("POST", path, action, NewUser, self.create, standing),
            Route("GET", one, action, Nothing, ours.shown),
            Route("PUT", one, action, UserTerms, self.replace),
            Route("PATCH", one, action, UserTerms, self.change),
            Route("DELETE", one, action, Why, self.delete),
            Route("PUT", f"{one}/roles", action, Roles, self.set_roles, standing),
            Route("POST", f"{one}/suspend", action, Why, ours.suspend),
            Route("POST", f"{one}/resume", action, Why, ours.resume),
        )

    async def create(self, visit: Visit, new: NewUser) -> Answer:
        await check_teams(self._ledger, new.teams)
        return Answer(201, orjson.dumps(await self._identities.create(visit, new.name, new)))

    async def replace(self, visit: Visit, terms: UserTerms) -> Answer:
        await check_teams(self._ledger, terms.teams)
        return Answer(200, orjson.dumps(await self._identities.update(visit, terms)))

    async def change(self, visit: Visit, terms: UserTerms) -> Answer:
        await check_teams(self._ledger, terms.teams)
        changed = await self._identities.update(visit, terms, terms.model_fields_set)
        return Answer(200, orjson.dumps(changed))

    async def delete(self, visit: Visit, reason: Why) -> Answer:
        return await self._identities.delete(visit, reason.why, must_exist=True)

    async def set_roles(self, visit: Visit, roles: Roles) -> Answer:
        return Answer(200, orjson.dumps(await self._identities.update(visit, roles)))
