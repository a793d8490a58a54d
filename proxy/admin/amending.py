"""Changing stored facts by hand: one change after the other, recorded before it takes effect."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar

from policies.facts import FactSet
from policies.model import Entity, Fact
from policies.polar.tables import EMPTY
from policies.polar.values import Row, held_row, key_of, name_of
from policies.polar.values import fact as fact_of
from proxy.admin.errors import LastAdminError
from proxy.admin.issuing import Author
from proxy.audit import Audit
from proxy.standing import REGISTRY, Standing
from storage.errors import FactsChangedError
from storage.facts import Applied, Change

IDENTITY: Final = "identity"
"""The origin of what is stated of an identity itself: its suspension, teams and roles."""

UNCHANGED: Final = "unchanged"
"""What a record calls it when what the one before it tells was not done after all."""

_SUSPENDED: Final = "is_suspended/1"

_T = TypeVar("_T")


class Stated(NamedTuple):
    """A fact, and whose word it is."""

    origin: str
    fact: Fact


@dataclass(frozen=True, slots=True)
class Draft:
    """What shall be stated and withdrawn, of which nothing is so already.

    It `ends_admins` if anybody who administers the gateway does not afterwards.
    """

    add: tuple[Stated, ...]
    remove: tuple[Stated, ...]
    ends_admins: bool = False

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)

    def changes(self, author: Author, why: str) -> Iterator[Change]:
        """Yield a change for each origin.

        That of identities comes last, for whoever is suspended stays so while he loses the rest.
        """
        origins = {one.origin for one in (*self.add, *self.remove)}
        for origin in sorted(origins, key=lambda one: (one == IDENTITY, one)):
            add = tuple(one.fact for one in self.add if one.origin == origin)
            remove = tuple(one.fact for one in self.remove if one.origin == origin)
            yield Change(add, remove, origin, author.name, why)


@dataclass(frozen=True, slots=True)
class Amendments:
    """Changes the facts that admins state."""

    standing: Standing
    audit: Audit
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def facts(self) -> FactSet:
        return self.standing.grounds.facts

    async def alone(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do *work* while nothing else is amended here, to its end even if whoever asked leaves."""
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(work)))

    async def _in_turn(self, work: Callable[[], Awaitable[_T]]) -> _T:
        async with self._turn:
            return await work()

    def draft(self, *, add: Iterable[Stated] = (), remove: Iterable[Stated] = ()) -> Draft:
        """Return what of *add* and *remove* would change anything now.

        Raises `LastAdminError` if nobody were left to administer the gateway.
        """
        facts = self.facts
        draft = Draft(
            tuple(one for one in dict.fromkeys(add) if one.origin not in facts.origins(one.fact)),
            tuple(one for one in dict.fromkeys(remove) if one.origin in facts.origins(one.fact)),
        )
        admins = self._admins(facts) if draft else set()
        left = self._admins(_after(facts, draft)) if admins else set()
        if admins and not left:
            raise LastAdminError
        return replace(draft, ends_admins=bool(admins - left))

    def everywhere(self, facts: Iterable[Fact]) -> Iterator[Stated]:
        """Yield each of *facts* with every origin that can be made to withdraw it."""
        for fact in facts:
            for origin in self.facts.origins(fact):
                if origin != REGISTRY:
                    yield Stated(origin, fact)

    async def record(
        self, author: Author, what: str, *, why: str, before: object = None, after: object = None
    ) -> None:
        """Return once the record says what is about to change. Raises `UnrecordedError`."""
        await self.audit.changed(author.document, what, why=why, before=before, after=after)

    async def carry_out(self, draft: Draft, author: Author, why: str) -> int:
        """Make *draft* so, and return the version of the facts since then.

        Raises `LastAdminError` if another process took the others away since it was drafted.
        """
        version = self.facts.version
        for change in draft.changes(author, why):
            if draft.ends_admins:
                version = (await self._change_guarded(change, draft, author)).version
            else:
                version = (await self.standing.change(change)).version
        return version

    async def _change_guarded(self, change: Change, draft: Draft, author: Author) -> Applied:
        """Make *change* on facts that leave an admin, whoever else changes them meanwhile."""
        while True:
            facts = self.facts
            if not self._admins(_after(facts, draft)):
                await self.record(author, UNCHANGED, why=LastAdminError.public)
                raise LastAdminError
            try:
                return await self.standing.change(replace(change, at=facts.version))
            except FactsChangedError:
                await self.standing.catch_up()

    def is_written(self, fact: Fact) -> str:
        """Return where the policy itself states *fact*; nothing if it does not."""
        return self._written(key_of(fact.predicate, len(fact.args))).get(held_row(fact.args), "")

    def _written(self, key: str) -> Mapping[Row, str]:
        return self.standing.grounds.bundle.program.stated.get(key, {})

    def _admins(self, facts: FactSet) -> set[Entity]:
        """Return the users who are admins, by themselves or with a team, and not suspended."""
        suspended = {row[0] for row in self._rows(facts, _SUSPENDED, (), ())}
        found = {row[0] for row in self._rows(facts, "has_role/2", (1,), ("admin",))} - suspended
        for team in [one for one in found if isinstance(one, Entity) and one.type == "Team"]:
            found |= {row[0] for row in self._rows(facts, "has_relation/3", (1, 2), ("team", team))}
        users = {one for one in found if isinstance(one, Entity) and one.type == "User"}
        return users - suspended

    def _rows(
        self, facts: FactSet, key: str, places: tuple[int, ...], values: Row
    ) -> Iterator[Row]:
        yield from facts.get(key, EMPTY).find(places, values)
        for row in self._written(key):
            if tuple(row[place] for place in places) == values:
                yield row


def mentioning(facts: FactSet, entity: Entity) -> Iterator[Fact]:
    """Yield every fact that names *entity*."""
    for key, table in facts.items():
        yield from (fact_of(name_of(key), row) for row in table.rows if entity in row)


def document_of(fact: Fact) -> list[Any]:
    """Return *fact* as records and answers write it: its predicate, then its arguments."""
    return [fact.predicate, *map(_plain, fact.args)]


def _plain(value: object) -> object:
    return {"type": value.type, "id": value.id} if isinstance(value, Entity) else value


def _after(facts: FactSet, draft: Draft) -> FactSet:
    for origin, fact in draft.remove:
        facts = facts.changed(origin, remove=[fact])
    for origin, fact in draft.add:
        facts = facts.changed(origin, add=[fact])
    return facts
