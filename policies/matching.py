"""Which ids match which globs: the facts `id_matches`, for every glob that a rule can meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from policies.arguments.globs import glob_check
from policies.demands import StoredPattern, stored_pattern
from policies.model import Entity, Fact
from policies.polar.clauses import Atom, Const
from policies.polar.possible import POSSIBLE
from policies.polar.program import Program
from policies.polar.tables import Table

_PREDICATE = "id_matches/2"


def globs(program: Program, facts: Mapping[str, Table]) -> frozenset[str]:
    """Return the globs that *program* names, or that *facts* bring to its rules."""
    found: set[str] = set()
    for source in _sources(program):
        if isinstance(source, str):
            found.add(source)
        else:
            found.update(source.patterns(Entity("", ""), facts))
    return frozenset(found)


def matches(resource: Entity, patterns: Iterable[str]) -> Iterator[Fact]:
    """Yield `id_matches(resource, glob)` for each of *patterns* that the whole id matches."""
    for glob in patterns:
        if "***" not in glob and glob_check(glob)(resource.id):
            yield Fact("id_matches", (resource, glob))


def _sources(program: Program) -> Iterator[str | StoredPattern]:
    for predicate, clauses in program.clauses.items():
        if predicate.startswith(POSSIBLE):
            continue
        for clause in clauses:
            for part in clause.parts:
                if not isinstance(part, Atom) or part.predicate != _PREDICATE:
                    continue
                resource, glob = part.args
                if isinstance(glob, Const):
                    yield str(glob.value)
                    continue
                stored = stored_pattern(clause, glob, resource, program.clauses)
                if stored is not None:
                    yield stored
