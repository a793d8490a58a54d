"""Checks a proof line by line, without asking whoever made it.

`Anything` in a claim says "whichever value of the type". To check a rule, each such place of its
head gets an arbitrary value of its own, which nothing else can equal; a premise that says
`Anything` is true of arbitrary values too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product

from policies.model import Anything, Fact, Proof, Step, StepKind
from policies.polar.syntax import (
    Call,
    Compare,
    Literal,
    Matches,
    Member,
    Module,
    Not,
    Rule,
    Term,
    Truth,
    Variable,
)
from tests.reference.cells import ALL, Arbitrary, Cell, Row, cell, compared, holds_between
from tests.reference.evaluator import Free, Reference
from tests.reference.expansion import Atom, Types, branches, expand, source, terms, variables

Claim = tuple[str, Row]
Environment = dict[str, Cell]
"""What variables stand for. `ALL` is some value of the type that nothing has narrowed yet."""

Stored = Mapping[Fact, str] | Iterable[tuple[Fact, str]]
"""Facts and where each comes from; as pairs, because in a mapping `True` and 1 are one key."""


def check(
    proof: Proof, modules: Sequence[Module], facts: Stored, now: int, *, goal: Fact | None = None
) -> None:
    """Raise AssertionError, saying what is wrong, unless *proof* proves its last claim.

    With *goal*, also unless that claim is or covers *goal*.
    """
    Checker(modules, facts, now).check(proof, goal=goal)


class Checker:
    """Checks proofs about one policy, one set of facts and one moment.

    A *reference* about the same may be given; it only saves time.
    """

    def __init__(
        self,
        modules: Sequence[Module],
        facts: Stored,
        now: int,
        *,
        reference: Reference | None = None,
    ) -> None:
        self._modules = modules
        self._now = now
        self._given = reference
        pairs = list(facts.items() if isinstance(facts, Mapping) else facts)
        self._facts = [fact for fact, _ in pairs]
        self._origins: dict[Claim, set[str]] = defaultdict(set)
        for fact, origin in pairs:
            self._origins[_claim(fact)].add(origin)
        self._types = Types(modules)
        self._rules: dict[tuple[str, str], list[Rule]] = defaultdict(list)
        for rule in expand(modules):
            self._rules[source(rule), rule.predicate].append(rule)

    @cached_property
    def _reference(self) -> Reference:
        return self._given or Reference(self._modules, self._facts, self._now)

    def check(self, proof: Proof, *, goal: Fact | None = None) -> None:
        """Do what the function `check` promises."""
        assert proof.steps, "A proof has at least one step."
        for index, step in enumerate(proof.steps):
            line = f"Step {index}, {step.claim} from {step.source!r},"
            self._check_claim(step, line)
            assert all(0 <= premise < index for premise in step.premises), (
                f"{line} has a premise that does not come before it."
            )
            self._check_step(step, [proof.steps[premise] for premise in step.premises], line)
        last = proof.goal
        assert last.kind in {StepKind.RULE, StepKind.FACT}, f"{last.claim} is not a goal."
        assert goal is None or _covers(_claim(last.claim), _claim(goal)), (
            f"The proof ends with {last.claim}, but {goal} was asked."
        )

    def _check_claim(self, step: Step, line: str) -> None:
        for arg in step.claim.args:
            abstract = isinstance(arg, Anything) and arg.type not in self._types.concrete
            assert not abstract, f"{line} speaks of {arg}, which is not a concrete type."

    def _check_step(self, step: Step, premises: list[Step], line: str) -> None:
        if step.kind is StepKind.RULE:
            self._check_rule(step, premises, line)
            return
        assert not premises, f"{line} needs no premises."
        if step.kind is StepKind.FACT:
            stored = step.source in self._origins.get(_claim(step.claim), ())
            assert stored or self._is_written(step), f"{line} is not a fact from there."
        elif step.kind is StepKind.COMPARISON:
            self._check_comparison(step.claim, line)
        else:
            assert self._is_absent(step.claim), f"{line} is not absent."

    def _is_written(self, step: Step) -> bool:
        rules = self._rules[step.source, step.claim.predicate]
        return any(rule.body is None and self._applies(rule, step.claim, []) for rule in rules)

    def _check_comparison(self, claim: Fact, line: str) -> None:
        assert claim.predicate in holds_between, f"{line} is not a comparison."
        assert len(claim.args) == 2, f"{line} does not compare two values."
        left, right = map(cell, claim.args)
        concrete = ALL not in (left[1], right[1])
        assert concrete, f"{line} compares something that is not known."
        assert compared(claim.predicate, left, right), f"{line} is not true."

    def _is_absent(self, claim: Fact) -> bool:
        args = [Free(arg.type) if isinstance(arg, Anything) else arg for arg in claim.args]
        return not self._reference.cells(claim.predicate, tuple(args))

    def _check_rule(self, step: Step, premises: list[Step], line: str) -> None:
        rules = self._rules[step.source, step.claim.predicate]
        assert rules, f"{line} names a place where no rule for {step.claim.predicate} stands."
        assert any(self._applies(rule, step.claim, premises) for rule in rules), (
            f"{line} does not follow from {[str(premise.claim) for premise in premises]}."
        )

    def _applies(self, rule: Rule, claim: Fact, premises: Sequence[Step]) -> bool:
        row = _generalized(claim)
        return any(
            True
            for branch in branches(rule)
            if len(branch.head) == len(row)
            for start in self._matched(branch.head, row, {})
            for _ in self._body(branch.atoms, start, premises)
        )

    def _body(
        self, atoms: Sequence[Atom], start: Environment, premises: Sequence[Step]
    ) -> Iterator[Environment]:
        """Yield the ways to read *premises* as what *atoms* ask for."""
        found = iter([start])
        for atom in atoms:
            if isinstance(atom, Call) or _is_comparison(atom):
                found = self._supported(atom, found, premises)
        plain = [atom for atom in atoms if isinstance(atom, (Member, Truth)) or _is_equation(atom)]
        for environment in found:
            for settled in self._settled(plain, environment):
                if all(self._stands(atom, settled, premises) for atom in atoms):
                    yield settled

    def _supported(
        self, atom: Atom, found: Iterator[Environment], premises: Sequence[Step]
    ) -> Iterator[Environment]:
        """Yield the ways in which one of *premises* is what *atom* asks for."""
        if isinstance(atom, Call):
            name, wanted, kinds = atom.predicate, atom.args, {StepKind.RULE, StepKind.FACT}
        else:
            assert isinstance(atom, Compare)
            name, wanted, kinds = atom.operator, (atom.left, atom.right), {StepKind.COMPARISON}
        for environment, premise in product(found, premises):
            predicate, row = _claim(premise.claim)
            if premise.kind in kinds and predicate == name and len(row) == len(wanted):
                yield from self._matched(wanted, row, environment)

    def _matched(
        self, wanted: Sequence[Term], row: Row, found: Environment
    ) -> Iterator[Environment]:
        """Yield *found* with the variables of *wanted* bound to *row*, if they agree."""
        more = dict(found)
        for term, given in zip(wanted, row, strict=True):
            known = self._value(term, more)
            value = given if known is None else _meet(known, given)
            if value is None:
                return
            if isinstance(term, Variable):
                more[term.name] = value
        yield more

    def _value(self, term: Term, found: Environment) -> Cell | None:
        if isinstance(term, Variable):
            return found.get(term.name)
        return cell(term.value) if isinstance(term, Literal) else ("Integer", self._now)

    def _settled(self, plain: Sequence[Atom], found: Environment) -> Iterator[Environment]:
        """Yield the ways to make equations and memberships hold; two unknowns are left alone."""
        for atom in plain:
            rest = [other for other in plain if other is not atom]
            if isinstance(atom, Truth):
                yield from self._settled(rest, found) if atom.value else ()
                return
            pairs = _equations(atom)
            if all(self._side(pair, found) is not None for pair in pairs):
                for left, right in pairs:
                    value = self._side((left, right), found)
                    assert value is not None
                    for more in self._matched((left, right), (value, value), found):
                        yield from self._settled(rest, more)
                return
        yield found

    def _side(self, pair: tuple[Term, Term], found: Environment) -> Cell | None:
        """Return what either side of an equation is known to be."""
        left, right = (self._value(term, found) for term in pair)
        return right if left is None or left[1] == ALL else left

    def _stands(self, atom: Atom, found: Environment, premises: Sequence[Step]) -> bool:
        """Check what binds nothing: types and negations."""
        if isinstance(atom, Matches):
            value = found.get(atom.variable.name)
            return value is None or self._types.accepts(atom.type, value[0])
        if not isinstance(atom, Not):
            return True
        absent = [_claim(step.claim) for step in premises if step.kind is StepKind.ABSENT]
        named = any(self._denies(claim, atom, found) for claim in absent)
        return named and self._reference.refutes(atom, _inside(atom, found))

    def _denies(self, claim: Claim, negation: Not, found: Environment) -> bool:
        """Say whether an absent *claim* is what *negation* asks for, as far as a claim can say it.

        Only a single call can be compared; where variables live only inside the negation, the
        claim may hold anything in their place, or name no arguments at all.
        """
        call = negation.body
        if not isinstance(call, Call):
            return True
        known = [self._value(term, found) for term in call.args]
        predicate, row = claim
        if predicate != call.predicate or len(row) != len(known):
            return predicate == call.predicate and not row and None in known
        return all(
            value is None or given in (value, (value[0], ALL))
            for value, given in zip(known, row, strict=True)
        )


def _inside(negation: Not, found: Environment) -> Environment:
    names = set(variables(terms(negation.body)))
    return {name: value for name, value in found.items() if name in names}


def _equations(atom: Atom) -> list[tuple[Term, Term]]:
    if isinstance(atom, Member):
        return [(atom.term, option) for option in atom.options]
    assert isinstance(atom, Compare)
    return [(atom.left, atom.right)]


def _is_equation(atom: Atom) -> bool:
    return isinstance(atom, Compare) and atom.operator == "="


def _is_comparison(atom: Atom) -> bool:
    return isinstance(atom, Compare) and atom.operator != "="


def _claim(fact: Fact) -> Claim:
    return fact.predicate, tuple(map(cell, fact.args))


def _generalized(claim: Fact) -> Row:
    """Return the arguments of *claim* with an arbitrary value of its own for each `Anything`."""
    return tuple(
        (arg.type, Arbitrary(place)) if isinstance(arg, Anything) else cell(arg)
        for place, arg in enumerate(claim.args)
    )


def _meet(one: Cell, other: Cell) -> Cell | None:
    """Return the value that both may be, or None."""
    if one[0] != other[0]:
        return None
    if one[1] == ALL or one == other:
        return other
    return one if other[1] == ALL else None


def _covers(wide: Claim, narrow: Claim) -> bool:
    return (
        wide[0] == narrow[0]
        and len(wide[1]) == len(narrow[1])
        and all(
            part in (given, (given[0], ALL)) for part, given in zip(wide[1], narrow[1], strict=True)
        )
    )
