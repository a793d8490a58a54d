"""Teams: what is granted to one is granted to its members."""

from __future__ import annotations

from typing import Any, Final

import orjson

from policies.model import Entity
from proxy.admin.errors import (
    LastAdminError,
    NameTakenError,
    UnknownTeamError,
    WrittenInPolicyError,
)
from proxy.admin.identities import Identities, Keeping, Kind, Page, Terms, Why
from proxy.admin.outputs import TeamDocument, TeamsPage, TeamWithMembers
from proxy.admin.rights import members_of
from proxy.admin.routes import Nothing, Route, Visit
from proxy.admin.users import MANAGE_USERS
from proxy.admin.wording import Name, written
from proxy.listener.answers import Answer

TEAM: Final = Kind("Team", MANAGE_USERS, (), UnknownTeamError)


class NewTeam(Terms):
    name: Name


class Teams:
    """The teams. Who is in one is said of its members."""

    def __init__(self, keeping: Keeping) -> None:
        self._identities = Identities(TEAM, keeping)
        self._amendments = keeping.amendments

    def routes(self) -> tuple[Route[Any], ...]:
        return (*self._of_all(), *self._of_one(), *self._of_suspension())

    def _of_all(self) -> tuple[Route[Any], ...]:
        path, action = TEAM.path, TEAM.action
        return (
            Route(
                "GET",
                path,
                action,
                Page,
                self._identities.listed,
                summary="List teams",
                gives=TeamsPage,
            ),
            Route(
                "POST",
                path,
                action,
                NewTeam,
                self.create,
                summary="Create a team",
                example={"name": "security", "description": "Who reads the record"},
                status=201,
                gives=TeamDocument,
                fails=(NameTakenError,),
            ),
        )

    def _of_one(self) -> tuple[Route[Any], ...]:
        one, action = f"{TEAM.path}/{{name}}", TEAM.action
        unknown = (UnknownTeamError,)
        return (
            Route(
                "GET",
                one,
                action,
                Nothing,
                self.shown,
                summary="Show a team and who is in it",
                gives=TeamWithMembers,
                fails=unknown,
            ),
            Route(
                "PUT",
                one,
                action,
                Terms,
                self.replace,
                summary="Set all of a team but its members",
                gives=TeamDocument,
                fails=unknown,
            ),
            Route(
                "PATCH",
                one,
                action,
                Terms,
                self.change,
                summary="Change what is named of a team",
                gives=TeamDocument,
                fails=unknown,
            ),
            Route(
                "DELETE",
                one,
                action,
                Why,
                self.delete,
                summary="Delete a team and its grants",
                status=204,
                fails=(*unknown, LastAdminError),
            ),
        )

    def _of_suspension(self) -> tuple[Route[Any], ...]:
        one, action, ours = f"{TEAM.path}/{{name}}", TEAM.action, self._identities
        unknown = (UnknownTeamError,)
        return (
            Route(
                "POST",
                f"{one}/suspend",
                action,
                Why,
                ours.suspend,
                summary="Suspend a team, and with it its members",
                gives=TeamDocument,
                fails=(*unknown, LastAdminError),
            ),
            Route(
                "POST",
                f"{one}/resume",
                action,
                Why,
                ours.resume,
                summary="End the suspension of a team",
                gives=TeamDocument,
                fails=(*unknown, WrittenInPolicyError),
            ),
        )

    async def create(self, visit: Visit, new: NewTeam) -> Answer:
        return Answer(201, orjson.dumps(await self._identities.create(visit, new.name, new)))

    async def shown(self, visit: Visit, _nothing: Nothing) -> Answer:
        identity = await self._identities.found(visit)
        members = members_of(self._amendments.facts, Entity("Team", identity.name))
        document = self._identities.document(identity)
        return Answer(200, orjson.dumps(document | {"members": [written(one) for one in members]}))

    async def replace(self, visit: Visit, terms: Terms) -> Answer:
        return Answer(200, orjson.dumps(await self._identities.update(visit, terms)))

    async def change(self, visit: Visit, terms: Terms) -> Answer:
        changed = await self._identities.update(visit, terms, terms.model_fields_set)
        return Answer(200, orjson.dumps(changed))

    async def delete(self, visit: Visit, reason: Why) -> Answer:
        return await self._identities.delete(visit, reason.why, must_exist=True)
