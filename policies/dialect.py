"""A policy as Northgate reads it: Polar, with the words that the gateway and a policy share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from policies.arguments import COMPLEMENTS, key_problem, pattern_problem
from policies.demands import stored_pattern, supplied_atoms
from policies.matching import glob_conditions, globs_of
from policies.model import type_name
from policies.naming import NAMING, glob_form
from policies.polar.clauses import Atom, Clause, Const, Ref
from policies.polar.possible import TESTS
from policies.polar.program import Program, compile_policy
from policies.polar.source import Problem, Severity, Span
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import Call, Declare, Fixture, Module, PolicyTest
from policies.polar.values import name_of
from policies.vocabulary import ACTIONS, STORED, SUPPLIED

Clauses = Mapping[str, tuple[Clause, ...]]

_LOOKS_SPECIAL = re.compile(r"\[.+\]|\{.+\}|\?$|\?[^\w=&]")
"""What other pattern languages would read as a class, a choice or any one character."""


def read_policy(sources: Mapping[str, str | bytes], *, portable: bool = True) -> Program:
    """Read, check and compile the policy that the files *sources* (text by name) make up.

    Raise `PolicyError` with every problem found, if any is an error.
    """
    return compile_policy(sources, supplied=SUPPLIED, check=check_words, portable=portable)


def check_words(clauses: Clauses, modules: Sequence[Module]) -> Iterator[Problem]:
    """Yield what is wrong with the use of the gateway's words."""
    for clause, atom in supplied_atoms(clauses):
        if atom.predicate in TESTS:
            yield from _check_test(clause, atom, clauses)
        else:
            yield from _check_supplied(atom)
    yield from _check_globs(clauses)
    yield from _check_actions(clauses)
    yield from _check_stored(clauses, modules)


def _check_test(clause: Clause, atom: Atom, clauses: Clauses) -> Iterator[Problem]:
    name = name_of(atom.predicate)
    if atom.negated and name != "argument_present":
        yield _negated(name, atom)
    resource, key, *rest = atom.args
    if not isinstance(key, Const):
        message = f"write the key that `{name}` tests as a string; the gateway has to know it."
        yield Problem("variable-key", message, atom.span, text=name)
    elif problem := key_problem(str(key.value)):
        yield Problem("bad-key", problem, atom.span, text=str(key.value))
    if not rest or name == "argument":
        return
    pattern = rest[0]
    if isinstance(pattern, Const):
        yield from _check_pattern(name, atom, str(pattern.value))
    elif stored_pattern(clause, pattern, resource, clauses) is None:
        yield _unbound_pattern(clause, atom, pattern)


def _check_supplied(atom: Atom) -> Iterator[Problem]:
    """Yield what keeps the gateway from ever stating the fact that *atom* asks for."""
    name = name_of(atom.predicate)
    if name not in NAMING:
        return
    place, what, problem_of = NAMING[name]
    arg = atom.args[place]
    if not isinstance(arg, Const):
        message = f"write the {what} of `{name}` as a string; the gateway has to know it."
        yield Problem("variable-name", message, atom.span, text=name)
    elif problem := problem_of(str(arg.value)):
        yield Problem("bad-name", problem, atom.span, text=str(arg.value))


def _check_globs(clauses: Clauses) -> Iterator[Problem]:
    """Yield globs of `id_matches` that the gateway cannot know, or that are none."""
    for clause, atom in glob_conditions(clauses):
        sources = list(globs_of(clause, atom, clauses))
        if not sources:
            yield _unbound_pattern(clause, atom, atom.args[1])
        for glob in sources:
            if isinstance(glob, str) and (problem := glob_form(glob)):
                yield Problem("bad-pattern", problem, atom.span, text=glob)


def _check_pattern(name: str, atom: Atom, pattern: str) -> Iterator[Problem]:
    if problem := pattern_problem(name, pattern):
        yield Problem("bad-pattern", problem, atom.span, text=pattern)
    elif name in {"argument_matches", "argument_not_matches"} and _LOOKS_SPECIAL.search(pattern):
        message = (
            "only `*` and `**` are special in a pattern; `?`, `[` and `{` stand for themselves."
        )
        yield _warning("literal-character", message, atom.span, "", pattern)


def _negated(name: str, atom: Atom) -> Problem:
    other = COMPLEMENTS.get(name) or {v: k for k, v in COMPLEMENTS.items()}.get(name)
    message = (
        f"`not {name}` would hold for values that cannot be tested at all; write `{other}`."
        if other
        else f"`not {name}` would hold for values that cannot be tested at all; compare with `!=`, "
        "or name the values that are allowed."
    )
    return Problem("negated-test", message, atom.span, text=name)


def _unbound_pattern(clause: Clause, atom: Atom, pattern: object) -> Problem:
    name = clause.slots[pattern.number].name if isinstance(pattern, Ref) else "@current_unix_time"
    message = (
        f"the pattern `{name}` must be a string, or be bound in this rule by a stored fact, "
        f"such as `allowed(tool, {name})`; the gateway has to know it before it asks."
    )
    return Problem("unbound-pattern", message, atom.span, text=name)


def _check_actions(clauses: Clauses) -> Iterator[Problem]:
    """Warn of `allow` rules for actions that nobody ever asks about."""
    for clause in clauses.get("allow/3", ()):
        action, resource = clause.head[1:]
        if not isinstance(action, Const) or clause.rule is None:
            continue
        types = (
            clause.slots[resource.number].types
            if isinstance(resource, Ref)
            else {type_name(resource.value)}
            if isinstance(resource, Const)
            else set()
        )
        known = {name for type_ in types for name in ACTIONS.get(type_, ())}
        if types <= set(ACTIONS) and action.value not in known:
            message = (
                f'the gateway never asks for "{action.value}" on {" or ".join(sorted(types))}.'
            )
            hint = did_you_mean(str(action.value), known)
            yield _warning("unknown-action", message, clause.rule.span, hint, str(action.value))


def _check_stored(clauses: Clauses, modules: Sequence[Module]) -> Iterator[Problem]:
    """Warn of facts that look like a slip of the pen: not of the vocabulary, declared or tested."""
    facts = STORED | {name_of(key) for key in SUPPLIED} | set(_named(modules))
    known = facts | {name_of(key) for key in clauses}
    for alternatives in clauses.values():
        for clause in alternatives:
            for part in clause.parts:
                if not isinstance(part, Atom):
                    continue
                name = name_of(part.predicate)
                if name in known:
                    continue
                hint = did_you_mean(name, facts)
                if hint or part.negated:
                    message = f"nothing declares the fact `{name}`, and no test states one."
                    yield _warning("unknown-fact", message, part.span, hint, name)


def _named(modules: Iterable[Module]) -> Iterator[str]:
    for module in modules:
        for item in module.items:
            match item:
                case Declare(predicate):
                    yield predicate
                case Fixture(facts=facts):
                    yield from (fact.predicate for fact in facts)
                case PolicyTest(setup=setup):
                    yield from (step.predicate for step in setup if isinstance(step, Call))


def _warning(code: str, message: str, span: Span, hint: str, text: str) -> Problem:
    return Problem(code, message, span, Severity.WARNING, hint, text)
