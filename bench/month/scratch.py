"""Deciding from scratch: the call as it really was, by a policy on the facts of its moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from bench.month.calls import ARGUMENTS
from bench.month.notebook import Truth
from policies.arguments import ambiguous_keys
from policies.bundle import Bundle
from policies.facts import FactSet
from policies.grounds import Grounds
from policies.matching import matches
from policies.model import Entity, Fact
from policies.polar.runtime import Limits
from policies.reach import BEHIND_CONNECT
from policies.supplied import Caller, caller_facts, document_facts

Stated = frozenset[tuple[Fact, str]]
"""Facts, each with its origin."""

_SUBJECT: Final = "client:agent-1"


class Scratch:
    """A policy on the facts of one version after another."""

    def __init__(self, bundle: Bundle) -> None:
        self.grounds = Grounds(bundle, FactSet(), limits=Limits(seconds=30.0))
        self._given: Stated | None = None
        self._stated: Stated = frozenset()
        self._matched: dict[object, Stated] = {}

    def stand_on(self, stated: Stated) -> None:
        """Decide by *stated* from now on, and by what the policy's own globs match in it."""
        if stated is self._given:
            return
        self._given = stated
        plain = frozenset(one for one in stated if one[0].predicate != "id_matches")
        globs = self.grounds.globs
        self._change(plain | self._matching(plain))
        if self.grounds.globs != globs:  # facts name globs, too
            self._change(plain | self._matching(plain))

    def _change(self, stated: Stated) -> None:
        facts = self.grounds.facts
        for origin in {of for _, of in stated ^ self._stated}:
            add = [fact for fact, of in stated - self._stated if of == origin]
            remove = [fact for fact, of in self._stated - stated if of == origin]
            facts = facts.changed(origin, add=add, remove=remove)
        self.grounds = self.grounds.with_facts(facts)
        self._stated = stated

    def _matching(self, stated: Stated) -> Stated:
        listed = frozenset(
            item
            for fact, _ in stated
            if fact.predicate == "has_relation" and fact.args[1] == "server"
            for item in (fact.args[0], fact.args[2])
        )
        key = listed, self.grounds.globs
        if key not in self._matched:
            found = (one for item in listed for one in _matches(item, self.grounds.globs))
            self._matched = {key: frozenset((fact, "registry") for fact in found)}
        return self._matched[key]

    def decide(self, of: Truth) -> bool:
        """Tell whether the call *of* would have been allowed."""
        if not of.is_there:
            return False
        named, who = self.grounds.demands.named, of.principal
        caller = Caller(who.actor, who.acts_for, who.claims, of.address)
        facts = caller_facts(named, caller, of.now)
        server = Entity("Server", of.server)
        is_behind = of.resource.type in BEHIND_CONNECT
        if is_behind and not self._holds(of, "connect", server, facts):
            return False
        if of.resource.type == "Document":
            uri = of.resource.id.partition("|")[2]
            facts += document_facts(named, of.resource, server, uri)
        if of.arguments is not None:
            tests = self.grounds.call_tests(of.resource)
            if tests.keys and ambiguous_keys(of.arguments, tests.keys):
                return False
            facts += tests.wanted(tests.outcomes(of.resource, of.arguments))
        return self._holds(of, of.action, of.resource, facts)

    def _holds(self, of: Truth, action: str, resource: Entity, facts: Iterable[Fact]) -> bool:
        engine = self.grounds.engine
        own = engine.overlay([(fact, "call") for fact in facts], only_useful=True)
        return engine.decide(of.principal.actor, action, resource, own, of.now).allowed


def looks_alike(of: Truth, before: Scratch) -> Iterator[Truth]:
    """Yield calls that the policy *before* would have left the same record of as of *of*."""
    yield of
    for other in _others(of):
        if _told(other, before) == _told(of, before):
            yield other


def _others(of: Truth) -> Iterator[Truth]:
    for subject in (_SUBJECT, "client:nobody"):
        yield replace(of, principal=replace(of.principal, subject=subject))
    if of.is_hidden:
        yield replace(of, is_there=not of.is_there)
    if of.arguments is None:
        return
    for key, values in ARGUMENTS.items():
        rest = {name: value for name, value in of.arguments.items() if name != key}
        yield replace(of, arguments=rest)
        for value in values:
            yield replace(of, arguments={**rest, key: value})
    without = {key: value for key, value in of.arguments.items() if key not in _UNTESTED}
    yield replace(of, arguments=without)


_UNTESTED: Final = ("method", "dry_run")


def _told(of: Truth, before: Scratch) -> list[Any]:
    """Return what a record tells of *of*, made by the policy *before*."""
    grounds, who = before.grounds, of.principal
    caller = Caller(who.actor, who.acts_for, who.claims, of.address)
    facts: list[object] = [*caller_facts(grounds.demands.named, caller, of.now)]
    if of.arguments is not None:
        facts += grounds.call_tests(of.resource).outcomes(of.resource, of.arguments)
    return facts


def _matches(item: object, globs: frozenset[str]) -> Iterable[Fact]:
    return matches(item, globs) if isinstance(item, Entity) else ()
