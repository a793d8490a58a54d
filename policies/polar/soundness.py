"""Checks on what the rules mean together: bound variables, strata, arities, words, facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from policies.model import Fact
from policies.polar.clauses import Atom, Clause, Clock, Const, Ref
from policies.polar.compiler import components
from policies.polar.modes import find_modes
from policies.polar.schema import FactError, Schema, named
from policies.polar.source import NOWHERE, Problem, Severity, Span
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import Call, Fixture, Literal, Module, PolicyTest
from policies.polar.types import Types
from policies.polar.values import key_of, kind, name_of

Clauses = Mapping[str, Sequence[Clause]]


def check_clauses(clauses: Clauses, problems: list[Problem]) -> None:
    """Refuse rules that compare, negate or pass on what nothing binds, and cycles through `not`."""
    modes = find_modes(clauses)
    for clause in _every(clauses):
        head = {arg.number for arg in clause.head if isinstance(arg, Ref)}
        for number in sorted(modes.demanded(clause) - head):
            name = clause.slots[number].name
            what = "an argument written `_`" if name == "_" else f"`{name}`"
            message = (
                f"{what} is compared, negated or passed on to a rule that does so, but no "
                "condition of this rule gives it a value; add one that does."
            )
            problems.append(Problem("unbound-variable", message, _place(clause), text=name))
    _check_strata(clauses, problems)


def _every(clauses: Clauses) -> Iterable[Clause]:
    return (clause for alternatives in clauses.values() for clause in alternatives)


def _place(clause: Clause) -> Span:
    return clause.rule.span if clause.rule else NOWHERE


def _check_strata(clauses: Clauses, problems: list[Problem]) -> None:
    graph = {
        predicate: [
            part.predicate
            for clause in alternatives
            for part in clause.parts
            if isinstance(part, Atom)
        ]
        for predicate, alternatives in clauses.items()
    }
    group_of = {
        predicate: number for number, group in enumerate(components(graph)) for predicate in group
    }
    for clause in _every(clauses):
        for part in clause.parts:
            if not isinstance(part, Atom) or not part.negated:
                continue
            if group_of.get(part.predicate) == group_of[clause.predicate]:
                name = part.predicate.partition("/")[0]
                message = f"`not {name}` depends on itself; a rule cannot need its own absence."
                problems.append(Problem("unstratified-negation", message, part.span, text=name))


def check_portable_negation(clauses: Clauses, problems: list[Problem]) -> None:
    """Refuse the negation of anything but a fact."""
    for clause in _every(clauses):
        for part in clause.parts:
            if isinstance(part, Atom) and part.negated and part.predicate in clauses:
                name = part.predicate.partition("/")[0]
                message = (
                    f"`{name}` has rules, and only a fact can be negated; negate the facts it "
                    "rests on."
                )
                problems.append(Problem("not-portable", message, part.span, text=name))


def check_arities(
    clauses: Clauses, stated: Mapping[str, object], schema: Schema, problems: list[Problem]
) -> None:
    """Refuse a call with a number of arguments that nothing but that very call suggests."""
    defined: dict[str, set[int]] = {}
    for key in (*clauses, *stated, *schema.declared):
        name, _, arity = key.rpartition("/")
        defined.setdefault(name, set()).add(int(arity))
    called: dict[str, dict[int, Span]] = {}
    for clause in _every(clauses):
        for part in clause.parts:
            if isinstance(part, Atom):
                name = part.predicate.rpartition("/")[0]
                called.setdefault(name, {}).setdefault(len(part.args), part.span)
    for name, calls in called.items():
        known = defined.get(name) or {min(calls, key=lambda count: calls[count])}
        for count, span in calls.items():
            if count not in known:
                counts = " or ".join(map(str, sorted(known)))
                message = f"`{name}` takes {counts} arguments, not {count}."
                problems.append(Problem("arity-conflict", message, span, text=name))


_DECLARED: dict[str, tuple[str, Callable[[Types, str], Mapping[str, object]]]] = {
    "has_role": ("role", Types.roles),
    "has_permission": ("permission", Types.permissions),
    "has_relation": ("relation", Types.relations),
}


def check_words(clauses: Clauses, types: Types, problems: list[Problem]) -> None:
    """Warn where a rule names a role, permission or relation that no block declares."""
    for clause in _every(clauses):
        if clause.rule is None or clause.rule.shorthand:
            continue
        for part in clause.parts:
            if isinstance(part, Atom):
                _check_word(clause, part, types, problems)


def _check_word(clause: Clause, atom: Atom, types: Types, problems: list[Problem]) -> None:
    name = atom.predicate.partition("/")[0]
    if name not in _DECLARED or not atom.args[1:] or not isinstance(atom.args[1], Const):
        return
    word = atom.args[1].value
    what, declared = _DECLARED[name]
    holder = atom.args[0] if name == "has_relation" else atom.args[2] if atom.args[2:] else None
    candidates = frozenset({""}) if holder is None else _types_of(clause, holder)
    known = {text for candidate in candidates for text in declared(types, candidate)}
    if known and word not in known:
        places = " or ".join(sorted(f"`{c}`" if c else "`global`" for c in candidates))
        message = f'no block of {places} declares the {what} "{word}".'
        hint = did_you_mean(str(word), known)
        problems.append(
            Problem(f"undeclared-{what}", message, atom.span, Severity.WARNING, hint, str(word))
        )


def _types_of(clause: Clause, arg: Ref | Const | Clock) -> frozenset[str]:
    match arg:
        case Ref(number):
            return clause.slots[number].types
        case Const(value):
            return frozenset({kind(value)})
        case Clock():
            return frozenset({"Integer"})


def check_types(clauses: Clauses, schema: Schema, types: Types, problems: list[Problem]) -> None:
    """Refuse conditions that no value can meet, because of what their arguments are."""
    for clause in _every(clauses):
        for part in clause.parts:
            if isinstance(part, Atom):
                _check_atom(clause, part, clauses, schema, types, problems)


def _check_atom(
    clause: Clause,
    atom: Atom,
    clauses: Clauses,
    schema: Schema,
    types: Types,
    problems: list[Problem],
) -> None:
    if any(_may_meet(clause, atom, rule) for rule in clauses.get(atom.predicate, ())):
        return
    given = [_types_of(clause, arg) for arg in atom.args]
    known = schema.signatures.get(atom.predicate, [])
    stored = any(all(map(frozenset.intersection, given, one.types)) for one in known)
    if stored and (atom.predicate in schema.declared or atom.predicate not in clauses):
        return
    name = name_of(atom.predicate)
    message = f"`{name}({', '.join(named(allowed, types) for allowed in given)})` can never hold"
    if stored:
        message += " unless somebody stores it; no rule is about these types and values."
        problems.append(Problem("never-holds", message, atom.span, Severity.WARNING, text=name))
        return
    forms = "; ".join(f"`{one.text}`" for one in known)
    message += f": it must have one of the forms {forms}."
    problems.append(Problem("type-conflict", message, atom.span, text=name))


def _may_meet(clause: Clause, atom: Atom, rule: Clause) -> bool:
    """Tell whether the head of *rule* accepts the arguments of *atom*."""
    for arg, head in zip(atom.args, rule.head, strict=True):
        if isinstance(arg, Const) and isinstance(head, Const):
            if arg.value != head.value:
                return False
        elif not _types_of(clause, arg) & _types_of(rule, head):
            return False
    return True


def check_goals(modules: Iterable[Module], known: Iterable[str], problems: list[Problem]) -> None:
    """Refuse assertions about predicates that nothing defines: they would pass for nothing."""
    keys = set(known)
    for module in modules:
        for test in module.items:
            if not isinstance(test, PolicyTest):
                continue
            for assertion in test.assertions:
                name, arity = assertion.predicate, len(assertion.parameters)
                if key_of(name, arity) not in keys:
                    message = f"no rule or fact is called `{name}` and takes {arity} arguments."
                    hint = did_you_mean(name, map(name_of, keys))
                    problems.append(
                        Problem("unknown-predicate", message, assertion.span, hint=hint, text=name)
                    )


def check_facts(modules: Iterable[Module], schema: Schema, problems: list[Problem]) -> None:
    """Refuse facts of tests and fixtures that the policy would not accept."""
    for module in modules:
        for item in module.items:
            steps = item.facts if isinstance(item, Fixture) else ()
            if isinstance(item, PolicyTest):
                steps = tuple(step for step in item.setup if isinstance(step, Call))
            for call in steps:
                _check_fact(call, schema, problems)


def _check_fact(call: Call, schema: Schema, problems: list[Problem]) -> None:
    try:
        schema.check(ground_fact(call))
    except FactError as error:
        problems.append(Problem("bad-fact", str(error), call.span, text=call.predicate))


def ground_fact(call: Call) -> Fact:
    """Return the fact that *call*, all of whose arguments are literals, states."""
    return Fact(call.predicate, tuple(arg.value for arg in call.args if isinstance(arg, Literal)))
