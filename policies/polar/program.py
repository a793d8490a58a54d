"""A policy, read and compiled: immutable, and shared by every engine that decides with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from policies.polar.blocks import default_allow, expand
from policies.polar.checks import check_items, check_rules
from policies.polar.clauses import Clause, Const, OneOf, args_of, clauses_of, facts_clause
from policies.polar.compiler import Compiler
from policies.polar.limits import limits_without_effect
from policies.polar.negation import lift_negations
from policies.polar.parser import parse
from policies.polar.possible import POSSIBLE, possible_clauses
from policies.polar.schema import NOTHING_SUPPLIED, Schema, Supplied, read_schema
from policies.polar.soundness import (
    check_arities,
    check_clauses,
    check_facts,
    check_goals,
    check_portable_negation,
    check_types,
    check_words,
)
from policies.polar.source import PolicyError, Problem, Severity
from policies.polar.syntax import Block, Declare, Fixture, Literal, Module, PolicyTest, Rule
from policies.polar.types import Types, read_types
from policies.polar.values import Row, held, key_of

ItemType = TypeVar("ItemType")


@dataclass(frozen=True, slots=True)
class Program:
    """A policy without errors.

    `rules` are the written and the expanded rules; `clauses` are what they mean, by predicate, the
    derived `possible_` rules among them; `stated` are the facts that the policy itself states, with
    their `file:line`; `words` are its strings; `noted` are the warnings that came of reading it.
    """

    modules: tuple[Module, ...]
    types: Types
    rules: tuple[Rule, ...]
    clauses: Mapping[str, tuple[Clause, ...]]
    stated: Mapping[str, Mapping[Row, str]]
    schema: Schema
    words: frozenset[str]
    compiler: Compiler
    noted: tuple[Problem, ...]

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What its author should look at, in order. To find it takes longer than to load."""
        found = [*self.noted, *limits_without_effect(self.clauses, self.types.every)]
        return tuple(sorted(found, key=lambda problem: problem.span))

    @property
    def tests(self) -> list[PolicyTest]:
        return items_of(self.modules, PolicyTest)

    @property
    def fixtures(self) -> dict[str, Fixture]:
        return {fixture.name: fixture for fixture in items_of(self.modules, Fixture)}


def items_of(modules: Iterable[Module], kind: type[ItemType]) -> list[ItemType]:
    """Return the items of *kind* of all *modules*, in reading order."""
    return [item for module in modules for item in module.items if isinstance(item, kind)]


Check = Callable[[Mapping[str, tuple[Clause, ...]], Sequence[Module]], Iterable[Problem]]
"""Finds problems in the clauses of a policy, by predicate, and in its files."""


def _no_check(
    clauses: Mapping[str, tuple[Clause, ...]],  # noqa: ARG001
    modules: Sequence[Module],  # noqa: ARG001
) -> Iterable[Problem]:
    return ()


def compile_policy(
    sources: Mapping[str, str | bytes],
    *,
    supplied: Supplied = NOTHING_SUPPLIED,
    check: Check = _no_check,
    portable: bool = True,
) -> Program:
    """Read, check and compile the policy that the files *sources* (text by name) make up.

    *supplied* are the facts that only the gateway supplies, *check* finds what else is wrong with
    the clauses. With *portable*, what Oso Cloud does not document is an error. Raise `PolicyError`
    with every problem found, if any is an error.
    """
    problems: list[Problem] = []
    modules = []
    for file, text in sources.items():
        parsed = parse(file, text)
        modules.append(parsed.module)
        problems.extend(parsed.problems)
    program = _built(tuple(modules), supplied, check, problems, portable=portable)
    if program is None:
        raise PolicyError(problems)
    return program


def _built(
    modules: tuple[Module, ...],
    supplied: Supplied,
    check: Check,
    problems: list[Problem],
    *,
    portable: bool,
) -> Program | None:
    """Return the program of *modules*, or None if *problems* has or gets an error."""
    types = read_types(items_of(modules, Block), problems)
    check_items(modules, types, problems)
    # Shorthands first: they are the plain grants, and the rule that decides most is tried first.
    rules = [*expand(types, problems), *items_of(modules, Rule)]
    rules = check_rules(rules, types, supplied, problems, portable=portable)
    whole = not _has_error(problems)
    rules += default_allow(rules)
    meant: list[Problem] = []
    clauses, stated = _clauses(lift_negations(rules), types, meant)
    written = [clause for alternatives in clauses.values() for clause in alternatives]
    schema = read_schema(types, items_of(modules, Declare), written, supplied)
    check_clauses(clauses, meant)
    if portable:
        check_portable_negation(clauses, meant)
    check_types(clauses, schema, types, meant)
    meant.extend(check(clauses, modules))
    if whole:
        check_words(clauses, types, meant)
        check_arities(clauses, stated, schema, meant)
        check_facts(modules, schema, meant)
        check_goals(modules, (*clauses, *stated, *schema.signatures), meant)
    # Beside broken rules only what is wrong for certain is told, not what they might have defined.
    problems.extend(one for one in meant if whole or one.severity is Severity.ERROR)
    if _has_error(problems):
        return None
    clauses.update(possible_clauses(clauses))
    _add_stored(clauses, stated, schema, types)
    tables = sorted({*schema.signatures, *stated})
    compiler = Compiler(clauses, types.every, tables)
    rest = (_words(clauses), compiler, tuple(problems))
    return Program(modules, types, tuple(rules), clauses, stated, schema, *rest)


def _has_error(problems: Sequence[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def _clauses(
    rules: Sequence[Rule], types: Types, problems: list[Problem]
) -> tuple[dict[str, tuple[Clause, ...]], dict[str, dict[Row, str]]]:
    """Return the clauses of *rules* by predicate, and the ground facts among them."""
    # `allow` is what every decision asks, even where a policy states it and has no rule for it.
    clauses: dict[str, tuple[Clause, ...]] = {"allow/3": ()}
    stated: dict[str, dict[Row, str]] = {}
    for rule in rules:
        key = key_of(rule.predicate, len(rule.parameters))
        terms = [parameter.term for parameter in rule.parameters]
        literals = [term for term in terms if isinstance(term, Literal)]
        if rule.body is None and len(literals) == len(terms):
            row = tuple(held(literal.value) for literal in literals)
            stated.setdefault(key, {}).setdefault(row, str(rule.span))
        else:
            clauses[key] = (*clauses.get(key, ()), *clauses_of(rule, types, problems))
    return clauses, stated


def _words(clauses: Mapping[str, Sequence[Clause]]) -> frozenset[str]:
    """Return the strings that some rule names: what is worth compiling for."""
    found: set[str] = set()
    for alternatives in clauses.values():
        for clause in alternatives:
            args = [*clause.head, *(arg for part in clause.parts for arg in args_of(part))]
            found |= {a.value for a in args if isinstance(a, Const) and isinstance(a.value, str)}
            found |= {
                o
                for p in clause.parts
                if isinstance(p, OneOf)
                for o in p.options
                if isinstance(o, str)
            }
    return frozenset(found)


def _add_stored(
    clauses: dict[str, tuple[Clause, ...]],
    stated: Mapping[str, object],
    schema: Schema,
    types: Types,
) -> None:
    """Let each derived predicate hold for its facts too, where there can be any."""
    for key, derived in clauses.items():
        table = key.removeprefix(POSSIBLE)
        if table in schema.signatures or table in stated:
            clauses[key] = (facts_clause(key, table, types.every), *derived)
