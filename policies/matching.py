"""Which ids match which globs: the facts `id_matches`, for every glob that a rule can meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from policies.arguments.globs import glob_check
from policies.demands import StoredPattern, stored_pattern
from policies.model import Entity, Fact
from policies.polar.clauses import Arg, Atom, Clause, Const, OneOf
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
                yield from _choices(clause, glob)
                stored = stored_pattern(clause, glob, resource, program.clauses)
                if stored is not None:
                    # What a fact says of one resource is wanted before that resource is known.
                    yield replace(stored, resource=None)


def _choices(clause: Clause, glob: Arg) -> Iterator[str]:
    """Yield the strings among which *clause* leaves *glob* the choice."""
    for part in clause.parts:
        if isinstance(part, OneOf) and part.arg == glob:
            yield from (option for option in part.options if isinstance(option, str))
