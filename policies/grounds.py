"""What decisions rest on: one policy and one set of facts, whole and immutable."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from policies.bundle import Bundle
from policies.demands import CallTests, Demands
from policies.facts import FactSet
from policies.matching import globs
from policies.model import Entity
from policies.polar.engine import Engine
from policies.polar.runtime import Limits
from policies.polar.tables import EMPTY, Table

_REMEMBERED = 10_000


class Grounds:
    """A policy and facts that belong together. To change either, make another.

    Whoever judges a call takes the grounds once and uses them throughout, so that no call is
    judged by two policies.
    """

    def __init__(
        self,
        bundle: Bundle,
        facts: FactSet,
        demands: Demands | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Take what belongs together; *limits* bound what one question may cost."""
        self.bundle = bundle
        self.facts = facts
        self.demands = demands or Demands.of(bundle.program)
        self.tables = _with_stated(bundle, facts)
        self.engine = Engine(bundle.program, self.tables, limits)
        self._call_tests: dict[Entity, CallTests] = {}

    def with_facts(self, facts: FactSet) -> Grounds:
        """Return the same policy on other *facts*."""
        return self._following(self.bundle, facts, self.demands)

    def with_bundle(self, bundle: Bundle, facts: FactSet) -> Grounds:
        """Return another policy on *facts*, ready for the questions that were asked so far."""
        return self._following(bundle, facts, None)

    def call_tests(self, resource: Entity) -> CallTests:
        """Return the argument tests that the policy asks of a call to *resource*."""
        found = self._call_tests.get(resource)
        if found is None:
            found = self.demands.call_tests(resource, self.tables)
            if len(self._call_tests) >= _REMEMBERED:
                self._call_tests.clear()
            self._call_tests[resource] = found
        return found

    @cached_property
    def globs(self) -> frozenset[str]:
        """The globs for which `id_matches` has to be stated."""
        return globs(self.bundle.program, self.tables)

    def _following(self, bundle: Bundle, facts: FactSet, demands: Demands | None) -> Grounds:
        grounds = Grounds(bundle, facts, demands, self.engine.limits)
        grounds.engine.warm(self.engine)
        return grounds


def _with_stated(bundle: Bundle, facts: FactSet) -> Mapping[str, Table]:
    """Return *facts* and those that the policy itself states, each with its place."""
    tables = dict(facts)
    for predicate, stated in bundle.program.stated.items():
        table = tables.get(predicate, EMPTY)
        for row, place in stated.items():
            table = table.changed(place, add=(row,))
        tables[predicate] = table
    return tables
