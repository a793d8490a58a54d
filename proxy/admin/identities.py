"""What clients, users and teams have in common: made, found, changed, suspended and deleted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from pydantic import Field

from policies.model import Entity, Fact
from proxy.admin.amending import IDENTITY, Amendments, Draft, Stated, mentioning
from proxy.admin.authority import Authority
from proxy.admin.errors import ApiError, InvalidError, NameTakenError, WrittenInPolicyError
from proxy.admin.issuing import Author
from proxy.admin.opaque import TOKEN, AccessTokens, AccessTokenTakenError, Replacement
from proxy.admin.revoking import Revoking, Which
from proxy.admin.rights import Right
from proxy.admin.routes import Input, Nothing, Visit
from proxy.admin.tokens import ISSUE
from proxy.admin.wording import Text
from proxy.audit import principal_document
from proxy.listener.answers import Answer
from storage.identities import Identity, IdentityKnownError, IdentityLedger, IdentityType
from storage.opaque import OpaqueTokenTakenError, OwnerUnknownError

MANAGE_GRANTS: Final = "manage_grants"

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_VISIBLE: Final = r"^[\x21-\x7e]*$"

Entries = Mapping[str, Sequence[str]]
"""The lists of an identity, by the names of the rights they give."""


class Page(Input):
    """Which identities to list, by name. `after` is what the page before gave as `next`."""

    contains: str = Field("", pattern=_VISIBLE, max_length=128)
    suspended: bool | None = None
    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    after: str | None = Field(None, pattern=_VISIBLE, min_length=1, max_length=128)


class Why(Input):
    """For what reason something is done."""

    why: Text = ""


class Terms(Why):
    """What may be changed of an identity; kinds of identities add their lists."""

    description: Text = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of identity: the action that manages it, what it is given, and who is unknown."""

    type: IdentityType
    action: str
    rights: tuple[Right, ...]
    unknown: Callable[[], ApiError]

    @property
    def noun(self) -> str:
        return self.type.lower()

    @property
    def path(self) -> str:
        return f"/api/v0/{self.noun}s"


@dataclass(frozen=True, slots=True)
class Keeping:
    """What identities are kept with."""

    ledger: IdentityLedger
    amendments: Amendments
    authority: Authority
    revoking: Revoking
    access: AccessTokens


class Identities:
    """The identities of one *kind*.

    What is done to one is recorded first, and then done whole even if whoever asked leaves.
    """

    def __init__(self, kind: Kind, keeping: Keeping) -> None:
        self._kind = kind
        self._ledger = keeping.ledger
        self._amendments = keeping.amendments
        self._authority = keeping.authority
        self._revoking = keeping.revoking
        self._access = keeping.access

    async def listed(self, visit: Visit, page: Page) -> Answer:
        del visit
        found: list[Identity] = []
        after: str | None = page.after
        while len(found) <= page.limit:
            some = await self._ledger.listed(
                self._kind.type, contains=page.contains, limit=_LARGEST_PAGE, after=after
            )
            found += [one for one in some if page.suspended in {None, self._is_suspended(one)}]
            if len(some) < _LARGEST_PAGE:
                break
            after = some[-1].name
        shown = [self.document(one) for one in found[: page.limit]]
        more = shown[-1]["name"] if len(found) > len(shown) else None
        return Answer(200, orjson.dumps({f"{self._kind.noun}s": shown, "next": more}))

    async def shown(self, visit: Visit, _nothing: Nothing) -> Answer:
        return Answer(200, orjson.dumps(self.document(await self.found(visit))))

    async def create(self, visit: Visit, name: str, terms: Terms) -> dict[str, Any]:
        """Make an identity and return its document. Raises `NameTakenError`."""
        return await self._amendments.alone(lambda: self._create(visit, name, terms))

    async def update(
        self, visit: Visit, terms: Why, fields: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Change *fields* of an identity to what *terms* say, or all, and return its document."""
        named = type(terms).model_fields if fields is None else fields
        return await self._amendments.alone(lambda: self._update(visit, terms, named))

    async def suspend(self, visit: Visit, reason: Why) -> Answer:
        return await self._amendments.alone(lambda: self._suspend(visit, reason.why))

    async def resume(self, visit: Visit, reason: Why) -> Answer:
        return await self._amendments.alone(lambda: self._resume(visit, reason.why))

    async def delete(self, visit: Visit, why: str, *, must_exist: bool) -> Answer:
        """End an identity, its tokens, and every fact about it but those of the policy's files."""
        return await self._amendments.alone(lambda: self._delete(visit, why, must_exist))

    async def found(self, visit: Visit) -> Identity:
        identity = await self._ledger.find(self._kind.type, visit.names["name"])
        if identity is None:
            raise self._kind.unknown()
        return identity

    def document(self, identity: Identity) -> dict[str, Any]:
        return self._told(identity) | {
            "created_at": int(identity.created_at),
            "created_by": identity.created_by,
        }

    async def _create(self, visit: Visit, name: str, terms: Terms) -> dict[str, Any]:
        if await self._ledger.find(self._kind.type, name) is not None:
            raise NameTakenError
        author, entity = author_of(visit), Entity(self._kind.type, name)
        draft = self._amendments.draft(add=self._added(entity, self._entries(terms)))
        await self._authorise(visit, draft)
        given = await self._given(visit, entity, terms, author)
        after = {"name": name, "description": terms.description, **self._entries(terms)}
        if given is not None:
            after |= self._access.after(given)
        await self._record(author, "created", terms.why, after=after)
        identity = await self._made(name, terms.description, author, given)
        await self._amendments.carry_out(draft, author, terms.why)
        return self.document(identity)

    async def _made(
        self, name: str, description: str, author: Author, given: Replacement | None
    ) -> Identity:
        token = None if given is None else given.new
        try:
            identity = await self._ledger.create(
                self._kind.type, name, description, author.name, token
            )
        except IdentityKnownError:
            raise NameTakenError from None
        except OpaqueTokenTakenError:
            raise AccessTokenTakenError from None
        if token is not None:
            await self._access.known.catch_up()
        return identity

    async def _update(self, visit: Visit, terms: Why, fields: Collection[str]) -> dict[str, Any]:
        identity, author = await self.found(visit), author_of(visit)
        entity = _entity(identity)
        entries = {name: of for name, of in self._entries(terms).items() if name in fields}
        draft = self._amendments.draft(
            add=self._added(entity, entries), remove=self._removed(entity, entries)
        )
        await self._authorise(visit, draft)
        description = identity.description
        if isinstance(terms, Terms) and "description" in fields:
            description = terms.description
        given = await self._given(visit, entity, terms, author)
        if draft or given is not None or description != identity.description:
            before = self._told(identity)
            after = before | entries | {"description": description}
            if given is not None:
                after |= self._access.after(given)
            await self._record(author, "updated", terms.why, before, after)
            await self._ledger.describe(identity.type, identity.name, description)
            await self._carry_out(given)
            await self._amendments.carry_out(draft, author, terms.why)
        return self.document(await self.found(visit))

    async def _given(
        self, visit: Visit, entity: Entity, terms: Why, author: Author
    ) -> Replacement | None:
        """Return what *terms* say of the access token, which is for who may issue tokens (T08)."""
        if TOKEN in terms.model_fields_set:
            await self._authority.require(visit, ISSUE)
        return self._access.wanted(entity, terms, author.name)

    async def _carry_out(self, given: Replacement | None) -> None:
        if given is not None:
            try:
                await self._access.carry_out(given)
            except OwnerUnknownError:
                raise self._kind.unknown() from None

    async def _suspend(self, visit: Visit, why: str) -> Answer:
        identity = await self.found(visit)
        draft = self._amendments.draft(add=suspension(self._amendments, [_entity(identity)]))
        return await self._turned(visit, identity, draft, "suspended", why)

    async def _resume(self, visit: Visit, why: str) -> Answer:
        identity = await self.found(visit)
        fact = suspended(_entity(identity))
        place = self._amendments.is_written(fact)
        if place:
            raise WrittenInPolicyError(place=place)
        draft = self._amendments.draft(remove=self._amendments.everywhere([fact]))
        return await self._turned(visit, identity, draft, "resumed", why)

    async def _turned(
        self, visit: Visit, identity: Identity, draft: Draft, what: str, why: str
    ) -> Answer:
        if draft:
            author, before = author_of(visit), self._told(identity)
            after = before | {"is_suspended": bool(draft.add)}
            await self._record(author, what, why, before, after)
            await self._amendments.carry_out(draft, author, why)
        return Answer(200, orjson.dumps(self.document(identity)))

    async def _delete(self, visit: Visit, why: str, must_exist: bool) -> Answer:  # noqa: FBT001  named by `delete`
        entity = Entity(self._kind.type, visit.names["name"])
        identity = await self._ledger.find(self._kind.type, entity.id)
        if identity is None and must_exist:
            raise self._kind.unknown()
        gone = mentioning(self._amendments.facts, entity)
        draft = self._amendments.draft(remove=self._amendments.everywhere(gone))
        if identity is None and not draft:
            return Answer(204)
        author = author_of(visit)
        before = {"name": entity.id} if identity is None else self._told(identity)
        await self._record(author, "deleted", why, before | {"facts": len(draft.remove)})
        # Tokens first: nobody is to use what is left while the rest goes.
        if self._kind.type != "Team":
            which = Which(subject=f"{self._kind.noun}:{entity.id}")
            await self._revoking.revoke_all(which, author, why)
        await self._amendments.carry_out(draft, author, why)
        await self._ledger.forget(self._kind.type, entity.id)
        return Answer(204)

    async def _authorise(self, visit: Visit, draft: Draft) -> None:
        """Let nobody give or take rights who may not manage grants (T08)."""
        if draft:
            await self._authority.require(visit, MANAGE_GRANTS)

    async def _record(
        self, author: Author, what: str, why: str, before: object = None, after: object = None
    ) -> None:
        await self._amendments.record(
            author, f"{self._kind.noun}.{what}", why=why, before=before, after=after
        )

    def _told(self, identity: Identity) -> dict[str, Any]:
        """Return *identity* as records name it."""
        facts, entity = self._amendments.facts, _entity(identity)
        return {
            "name": identity.name,
            "description": identity.description,
            "is_suspended": self._is_suspended(identity),
            **{right.name: right.entries(facts, entity) for right in self._kind.rights},
            **self._access.told(entity),
        }

    def _entries(self, terms: Why) -> dict[str, list[str]]:
        """Return the lists that *terms* may have, each in order."""
        fields = type(terms).model_fields
        names = [right.name for right in self._kind.rights if right.name in fields]
        return {name: sorted(set(getattr(terms, name))) for name in names}

    def _added(self, entity: Entity, entries: Entries) -> list[Stated]:
        facts = self._amendments.facts
        return [
            stated
            for right in self._kind.rights
            for stated in right.added(facts, entity, entries.get(right.name, ()))
        ]

    def _removed(self, entity: Entity, entries: Entries) -> list[Stated]:
        return [
            stated
            for right in self._kind.rights
            if right.name in entries
            for stated in right.removed(self._amendments, entity, entries[right.name])
        ]

    def _is_suspended(self, identity: Identity) -> bool:
        fact = suspended(_entity(identity))
        amendments = self._amendments
        return bool(amendments.facts.origins(fact) or amendments.is_written(fact))


def suspended(entity: Entity) -> Fact:
    return Fact("is_suspended", (entity,))


def suspension(amendments: Amendments, entities: Collection[Entity]) -> list[Stated]:
    """Return what has to be stated so that *entities* are suspended."""
    facts = [suspended(one) for one in entities]
    return [Stated(IDENTITY, one) for one in facts if not amendments.facts.origins(one)]


def author_of(visit: Visit) -> Author:
    actor = visit.principal.actor
    return Author(principal_document(visit.principal), f"{actor.type}:{actor.id}")


async def check_teams(ledger: IdentityLedger, names: Collection[str]) -> None:
    """Raise `InvalidError` with each of *names* that no team has."""
    unknown = set(await ledger.unknown("Team", names))
    problems = [
        {"field": f"teams.{place}", "problem": f"There is no team {name}; create it first."}
        for place, name in enumerate(names)
        if name in unknown
    ]
    if problems:
        raise InvalidError(problems=problems)


def _entity(identity: Identity) -> Entity:
    return Entity(identity.type, identity.name)
