"""Which ids match which globs: the facts `id_matches`, for every glob that a rule can meet."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
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
    for clause, atom in glob_conditions(program.clauses):
        for source in globs_of(clause, atom, program.clauses):
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


def glob_conditions(clauses: Mapping[str, Iterable[Clause]]) -> Iterator[tuple[Clause, Atom]]:
    """Yield every condition of *clauses* that an id matches a glob."""
    for predicate, alternatives in clauses.items():
        if predicate.startswith(POSSIBLE):
            continue
        for clause in alternatives:
            for part in clause.parts:
                if isinstance(part, Atom) and part.predicate == _PREDICATE:
                    yield clause, part


def globs_of(clause: Clause, atom: Atom, derived: Container[str]) -> Iterator[str | StoredPattern]:
    """Yield where the glob of *atom*, a condition of *clause*, comes from; nothing if from nowhere.

    *derived* are the predicates that have rules: what they bring is known too late.
    """
    resource, glob = atom.args
    if isinstance(glob, Const):
        yield str(glob.value)
        return
    yield from _choices(clause, glob)
    # The condition itself would bring every glob that is matched already.
    others = replace(clause, parts=tuple(part for part in clause.parts if part is not atom))
    stored = stored_pattern(others, glob, resource, derived)
    if stored is not None:
        # What a fact says of one resource is wanted before that resource is known.
        yield replace(stored, resource=None)


def _choices(clause: Clause, glob: Arg) -> Iterator[str]:
    """Yield the strings among which *clause* leaves *glob* the choice."""
    for part in clause.parts:
        if isinstance(part, OneOf) and part.arg == glob:
            yield from (option for option in part.options if isinstance(option, str))
