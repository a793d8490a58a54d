"""Random programs are worth asking, and the reference's models of them are models."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from policies.model import Entity, Value, type_name
from policies.polar.parser import parse
from policies.polar.syntax import (
    And,
    Call,
    Compare,
    Declare,
    Expression,
    Literal,
    Matches,
    Member,
    Module,
    Not,
    Or,
    Parameter,
    Rule,
    Term,
    Truth,
    Variable,
)
from tests.reference.cells import Cell, Row, cell, compared
from tests.reference.evaluator import Model, Program, Reference
from tests.reference.expansion import Types, branches, expand, terms, variables
from tests.reference.programs import program


def module(text: str) -> Module:
    parsed = parse("policy.polar", text)
    assert not parsed.problems, text
    return parsed.module


@pytest.mark.parametrize("portable", [True, False])
def test_random_programs_parse(*, portable: bool) -> None:
    for seed in range(150):
        module(program(random.Random(seed), portable=portable).text)


def test_a_seed_makes_one_program() -> None:
    assert program(random.Random(7)) == program(random.Random(7))


def test_about_half_of_the_decisions_are_allowed() -> None:
    decided = []
    for seed in range(40):
        made = program(random.Random(seed))
        named = [value for _, args in made.questions for value in args]
        asked = Reference([module(made.text)], made.facts, made.now, mentioned=named)
        decided += [asked.holds(*question) for question in made.questions if question[0] == "allow"]

    assert 0.4 < sum(decided) / len(decided) < 0.65


def test_no_named_variable_occurs_once() -> None:
    for seed in range(60):
        for item in module(program(random.Random(seed), portable=seed % 2 == 0).text).items:
            if isinstance(item, Rule):
                written = [*(each.term for each in item.parameters), *terms(item.body)]
                names = [name for name in variables(written) if not name.startswith("_")]
                assert all(names.count(name) > 1 for name in names), str(item.span)


def test_facts_have_one_of_the_types_that_the_policy_declares() -> None:
    for seed in range(30):
        made = program(random.Random(seed))
        declared = [item for item in module(made.text).items if isinstance(item, Declare)]
        types = Types([module(made.text)])
        for fact in made.facts:
            given = [type_name(value) for value in fact.args]
            assert fact.predicate.startswith("has_") or any(
                form.predicate == fact.predicate
                and all(map(types.accepts, (word.text for word in form.types), given))
                for form in declared
            ), str(fact)


class Sampled:
    """A random program, its model, and random values for the variables of its rules."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)
        made = program(self.pick)
        parsed = [module(made.text)]
        self.types = Types(parsed)
        self.rules = [branches(rule)[0].rule for rule in expand(parsed)]
        whole = Program(expand(parsed), self.types, tuple(made.facts), made.now)
        self.model = Model(whole, ())
        self.rows = {name: sorted(rows, key=str) for name, rows in self.model.rows.items()}
        domain = self.model.domain
        self.values = sorted({each for values in domain.values() for each in values}, key=str)

    def assignment(self, rule: Rule) -> dict[str, Cell]:
        """Return values for the variables of *rule*, mostly such that some call in it holds."""
        written = [*(each.term for each in rule.parameters), *terms(rule.body)]
        found = {name: self.pick.choice(self.values) for name in variables(written)}
        for call in positive(rule.body):
            rows = self.rows.get((call.predicate, len(call.args)))
            row = self.pick.choice(rows) if rows else ()
            found |= {
                term.name: value
                for term, value in zip(call.args, row, strict=False)
                if isinstance(term, Variable)
            }
        return found

    def value(self, term: Term, found: dict[str, Cell]) -> Cell:
        if isinstance(term, Variable):
            return found[term.name]
        return cell(term.value) if isinstance(term, Literal) else self.model.now

    def row(self, written: Iterable[Term], found: dict[str, Cell]) -> Row:
        return tuple(self.value(term, found) for term in written)

    def fits(self, parameter: Parameter, found: dict[str, Cell]) -> bool:
        type_ = parameter.type
        return type_ is None or self.types.accepts(type_, self.value(parameter.term, found)[0])

    def true(self, node: Expression | None, found: dict[str, Cell]) -> bool:
        """Say whether *node* holds, by the book, where every variable has a value."""
        match node:
            case None:
                return True
            case Not(body):
                return not self.true(body, found)
            case And(parts):
                return all(self.true(part, found) for part in parts)
            case Or(parts):
                return any(self.true(part, found) for part in parts)
            case _:
                return self.true_atom(node, found)

    def true_atom(
        self, node: Call | Compare | Member | Matches | Truth, found: dict[str, Cell]
    ) -> bool:
        match node:
            case Call(predicate, args):
                return self.row(args, found) in self.model.rows[predicate, len(args)]
            case Compare(sign, left, right):
                one, other = self.row((left, right), found)
                return one == other if sign == "=" else compared(sign, one, other)
            case Member(term, options):
                return self.value(term, found) in self.row(options, found)
            case Matches(variable, type_):
                return self.types.accepts(type_, self.value(variable, found)[0])
            case Truth(value):
                return value


def positive(node: Expression | None) -> list[Call]:
    match node:
        case Call():
            return [node]
        case And(parts) | Or(parts):
            return [call for part in parts for call in positive(part)]
        case _:
            return []


@pytest.mark.parametrize("seed", range(25))
def test_no_rule_of_a_random_program_can_add_to_its_model(seed: int) -> None:
    sampled, fired = Sampled(seed), 0
    for rule in sampled.rules:
        for _ in range(60):
            found = sampled.assignment(rule)
            fits = all(sampled.fits(parameter, found) for parameter in rule.parameters)
            if fits and sampled.true(rule.body, found):
                head = sampled.row((each.term for each in rule.parameters), found)
                assert head in sampled.model.rows[rule.predicate, len(head)], str(rule.span)
                fired += 1
    assert fired > 50


def test_unknown_ids_are_asked_about() -> None:
    asked: set[Value] = set()
    for seed in range(30):
        for _, args in program(random.Random(seed)).questions:
            asked |= {arg.id for arg in args if isinstance(arg, Entity)}

    assert "nobody" in asked
