"""What a policy allows whatever is not known of a call, and what it may allow: two programs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from policies.polar.clauses import Atom, Clause
from policies.polar.compiler import Compiler
from policies.polar.possible import POSSIBLE, TESTS, dependents, possible_clauses
from policies.polar.program import Program


def certain_of(program: Program, tests: Collection[str] = TESTS) -> Program | None:
    """Return *program* without the rules that look at *tests*, or None if none does."""
    tested = dependents(program.clauses, tests)
    if "allow/3" not in tested:
        return None

    def is_open(clause: Clause) -> bool:
        return any(
            isinstance(part, Atom)
            and (part.predicate in tests or (part.negated and part.predicate in tested))
            for part in clause.parts
        )

    kept = {
        predicate: tuple(clause for clause in clauses if not is_open(clause))
        for predicate, clauses in program.clauses.items()
    }
    return _with_clauses(program, kept)


def possible_of(program: Program, tests: Collection[str]) -> Program:
    """Return *program* with the `possible_` rules of what *tests* decide, instead of its own."""
    plain = {key: some for key, some in program.clauses.items() if not key.startswith(POSSIBLE)}
    return _with_clauses(program, plain | possible_clauses(plain, tests))


def _with_clauses(program: Program, clauses: dict[str, tuple[Clause, ...]]) -> Program:
    compiler = Compiler(clauses, program.types.every, program.compiler.tables)
    return replace(program, clauses=clauses, compiler=compiler)
