"""What calls are judged on just now: the grounds, kept in step with what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from policies.bundle import Bundle
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.matching import matches
from policies.model import Entity, Fact
from policies.polar.runtime import Limits
from proxy.upstream.offers import traits
from storage.definitions import Definition
from storage.errors import FactVersionError
from storage.facts import Applied, Change, FactLedger

REGISTRY: Final = "registry"
GATEWAY: Final = "System:registry"

_TYPES: Final = {"tool": "Tool", "prompt": "Prompt", "resource": "Document"}


class Standing:
    """The grounds of every decision, replaced whole, and only after the ledger has the change."""

    def __init__(self, grounds: Grounds, ledger: FactLedger, stated: Iterable[Fact]) -> None:
        """Use `opened` instead."""
        self._grounds = grounds
        self._ledger = ledger
        self.on_change: Callable[[], None] = lambda: None
        """Called after each change of `grounds`."""
        self._changing = asyncio.Lock()
        self._offered: dict[str, tuple[Definition, ...]] = {}
        self._globs = grounds.globs
        self._stated = _by_server(stated)

    @classmethod
    async def opened(cls, bundle: Bundle, ledger: FactLedger, seconds: float = 1.0) -> Standing:
        """Return the grounds that *bundle* makes with the facts of *ledger*.

        A question that takes longer than *seconds* is undecided.
        """
        version, living = await ledger.living()
        stated = [fact for fact, origin in living if origin == REGISTRY]
        grounds = Grounds(
            bundle, _fact_set(living).numbered(version), limits=Limits(seconds=seconds)
        )
        return cls(grounds, ledger, stated)

    @property
    def grounds(self) -> Grounds:
        return self._grounds

    async def change(self, change: Change) -> Applied:
        """Apply *change* to the ledger, then judge by it. Raises what the ledger raises."""
        # What is stored is judged by, even if whoever wanted it has left meanwhile.
        return await asyncio.shield(asyncio.ensure_future(self._changed(change)))

    async def _changed(self, change: Change) -> Applied:
        async with self._changing:
            applied = await self._apply(change)
            if self._grounds.globs != self._globs:
                await self._match(self._offered, self._grounds.globs)
            return applied

    async def offer(self, server: str, definitions: Iterable[Definition]) -> None:
        """Judge by what *server* is known to offer."""
        async with self._changing:
            self._offered[server] = tuple(definitions)
            await self._match([server], self._globs)

    async def forget(self, server: str) -> None:
        """Forget what the registry stated of *server*, which is not there any more."""
        async with self._changing:
            self._offered.pop(server, None)
            await self._match([server], self._globs)

    async def forget_others(self, servers: Iterable[str]) -> None:
        """Forget what the registry stated of servers that are not among *servers* any more."""
        async with self._changing:
            await self._match(self._stated.keys() - set(servers), self._globs)

    async def adopt(self, bundle: Bundle) -> None:
        """Judge by *bundle* from now on. What its globs match is stored before it decides."""
        async with self._changing:
            next_globs = self._grounds.with_bundle(bundle, self._grounds.facts).globs
            await self._match(self._offered, next_globs | self._globs)
            self._judge_by(self._grounds.with_bundle(bundle, self._grounds.facts))
            await self._match(self._offered, next_globs)

    async def catch_up(self) -> None:
        """Judge by what others have changed as well. Raises `StateError`."""
        async with self._changing:
            await self._catch_up()

    async def _catch_up(self) -> None:
        try:
            found = await self._ledger.since(self._grounds.facts.version)
        except FactVersionError:
            # An older state was restored: nothing can be said of how it came about.
            version, living = await self._ledger.living()
            self._stated = _by_server(fact for fact, origin in living if origin == REGISTRY)
            self._judge_by(self._grounds.with_facts(_fact_set(living).numbered(version)))
            return
        if found.version == self._grounds.facts.version:
            return
        facts = self._grounds.facts
        for origin in dict.fromkeys(origin for _, origin in (*found.added, *found.removed)):
            add = [fact for fact, of in found.added if of == origin]
            remove = [fact for fact, of in found.removed if of == origin]
            facts = facts.changed(origin, add=add, remove=remove)
            if origin == REGISTRY:
                self._note(add, remove)
        self._judge_by(self._grounds.with_facts(facts.numbered(found.version)))

    def _note(self, stated: Iterable[Fact], ended: Iterable[Fact]) -> None:
        """Note what another process stated of servers, which it knows as this one does."""
        for fact in stated:
            self._stated.setdefault(_server_of(fact), set()).add(fact)
        for fact in ended:
            self._stated.get(_server_of(fact), set()).discard(fact)

    async def _apply(self, change: Change) -> Applied:
        before = self._grounds.facts.version
        applied = await self._ledger.change(change)
        if applied.version > before + 1:
            await self._catch_up()  # others changed something in between
        elif applied.added or applied.removed:
            facts = self._grounds.facts.changed(
                change.origin, add=applied.added, remove=applied.removed
            )
            self._judge_by(self._grounds.with_facts(facts.numbered(applied.version)))
        return applied

    def _judge_by(self, grounds: Grounds) -> None:
        self._grounds = grounds
        self.on_change()

    async def _match(self, servers: Iterable[str], globs: frozenset[str]) -> None:
        """Bring the registry's facts of *servers* in step with what is offered and with *globs*."""
        wanted = {
            name: set(server_facts(name, self._offered[name], globs))
            if name in self._offered
            else set[Fact]()
            for name in servers
        }
        add = [fact for name, all_ in wanted.items() for fact in all_ - self._of(name)]
        remove = [fact for name, all_ in wanted.items() for fact in self._of(name) - all_]
        if add or remove:
            why = "what upstreams offer"
            await self._apply(Change(tuple(add), tuple(remove), REGISTRY, GATEWAY, why))
        self._stated |= wanted
        self._globs = globs

    def _of(self, server: str) -> set[Fact]:
        return self._stated.get(server, set())


def _fact_set(living: Sequence[tuple[Fact, str]]) -> FactSet:
    facts = FactSet()
    for origin in dict.fromkeys(origin for _, origin in living):
        facts = facts.changed(origin, add=[fact for fact, of in living if of == origin])
    return facts


def _by_server(stated: Iterable[Fact]) -> dict[str, set[Fact]]:
    """Return what the registry states, by the servers that it is about."""
    found: dict[str, set[Fact]] = {}
    for fact in stated:
        found.setdefault(_server_of(fact), set()).add(fact)
    return found


def server_facts(
    server: str, definitions: Iterable[Definition], globs: Iterable[str]
) -> Iterator[Fact]:
    """Yield what the registry states of *server*, of all it offers, and of what is gone."""
    entity = Entity("Server", server)
    yield from matches(entity, globs)
    for one in definitions:
        if one.kind not in _TYPES or (one.state == "gone" and one.kind != "tool"):
            continue
        separator = "|" if one.kind == "resource" else "__"
        item = Entity(_TYPES[one.kind], f"{server}{separator}{one.name}")
        yield Fact("has_relation", (item, "server", entity))
        yield from matches(item, globs)
        if one.kind == "tool":
            yield Fact("definition_state", (item, one.state))
            yield from (Fact(trait, (item,)) for trait in sorted(traits(one.body)))


def _server_of(fact: Fact) -> str:
    """Return the name of the server that a fact of the registry is about."""
    first = fact.args[0]
    if not isinstance(first, Entity):
        return ""
    if first.type == "Server":
        return first.id
    return first.id.partition("|" if first.type == "Document" else "__")[0]
