"""Block expansion: every shorthand becomes the full rule it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from policies.polar.source import NOWHERE, Problem
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import (
    AllOf,
    And,
    AnyOf,
    Block,
    Call,
    Condition,
    Expression,
    Literal,
    Matches,
    Or,
    Parameter,
    Reference,
    Rule,
    Shorthand,
    Term,
    Variable,
    Word,
)
from policies.polar.types import Types

RELATED = "#"
"""In the name of the variable that an `on` makes: no name of a policy contains it."""


def expand(types: Types, problems: list[Problem]) -> list[Rule]:
    """Return the rules that the shorthands of all blocks stand for, in reading order.

    A shorthand that uses an undeclared word is left out and told in *problems*.
    """
    rules = []
    for block in types.blocks.values():
        for shorthand in block.shorthands:
            found: list[Problem] = []
            rule = _Expansion(types, block, shorthand, found).rule()
            problems.extend(found)
            if not found:
                rules.append(rule)
    return rules


@dataclass(frozen=True, slots=True)
class _Expansion:
    types: Types
    block: Block
    shorthand: Shorthand
    problems: list[Problem]

    def rule(self) -> Rule:
        head, span = self.shorthand.head, self.shorthand.span
        if self.shorthand.quantified:
            predicate = f"has_{head.text}"
            word: Parameter = Parameter(Variable(head.text, head.span), "String", head.span)
        else:
            predicate = self._predicate(head, self.block.type)
            word = Parameter(Literal(head.text, head.span), None, head.span)
        parameters = [Parameter(Variable("actor", span), "Actor", span), word]
        if self.block.type:
            parameters.append(Parameter(Variable("resource", span), self.block.type, span))
        body = self._condition(self.shorthand.body, count(1))
        return Rule(predicate, tuple(parameters), body, span, shorthand=True)

    def _predicate(self, word: Word, type_: str) -> str:
        """Return `has_role` or `has_permission`: where the block of *type_* declares *word*."""
        if word.text in self.types.roles(type_):
            return "has_role"
        if word.text in self.types.permissions(type_):
            return "has_permission"
        if type_ in self.types.blocks or not type_:
            known = {*self.types.roles(type_), *self.types.permissions(type_)}
            self._undeclared(word, type_, known)
        return "has_role"

    def _undeclared(self, word: Word, type_: str, known: set[str]) -> None:
        place = f"`{type_}`" if type_ else "the `global` block"
        message = f'"{word.text}" is not a role or permission that {place} declares.'
        hint = did_you_mean(word.text, known)
        self.problems.append(
            Problem("undeclared-word", message, word.span, hint=hint, text=word.text)
        )

    def _condition(self, condition: Condition, numbers: count[int]) -> Expression:
        match condition:
            case Reference():
                return self._reference(condition, numbers)
            case Call():
                return condition
            case AllOf(parts, span):
                return And(tuple(self._condition(part, numbers) for part in parts), span)
            case AnyOf(parts, span):
                return Or(tuple(self._condition(part, numbers) for part in parts), span)

    def _reference(self, reference: Reference, numbers: count[int]) -> Expression:
        if reference.quantified and not self._is_own_head(reference):
            message = (
                f"`{reference.word}` without quotes stands for every {reference.word}, so the rule "
                f"must begin with `{reference.word} if`."
            )
            self.problems.append(
                Problem("bad-quantifier", message, reference.span, text=reference.word)
            )
        if reference.globally:
            return self._holds(reference, "", None)
        if reference.on is not None and not reference.on_resource:
            return self._related(reference, reference.on, numbers)
        if self._names_own_relation(reference):
            return self._owned(reference)
        return self._holds(reference, self.block.type, Variable("resource", reference.span))

    def _is_own_head(self, reference: Reference) -> bool:
        return self.shorthand.quantified and self.shorthand.head.text == reference.word

    def _names_own_relation(self, reference: Reference) -> bool:
        if reference.quantified:
            return False
        declared = {*self.types.roles(self.block.type), *self.types.permissions(self.block.type)}
        relations = self.types.relations(self.block.type)
        return reference.on_resource or (
            reference.word in relations and reference.word not in declared
        )

    def _owned(self, reference: Reference) -> Expression:
        """`"p" if "own"`: the actor is what the resource's relation points at."""
        relation = self.types.relations(self.block.type).get(reference.word)
        span = reference.span
        if relation is None:
            self._unknown_relation(Word(reference.word, span))
        elif not self.types.is_actor(relation.type):
            message = (
                f'"{reference.word}" relates to `{relation.type}`, which is not an actor; '
                f'write `"role" on "{reference.word}"`.'
            )
            self.problems.append(Problem("bad-relation", message, span, text=reference.word))
        terms = (Variable("resource", span), Literal(reference.word, span), Variable("actor", span))
        return Call("has_relation", terms, span)

    def _related(self, reference: Reference, on: Word, numbers: count[int]) -> Expression:
        """`"x" if "y" on "rel"`: the actor has y on what the resource's relation points at."""
        span = reference.span
        relation = self.types.relations(self.block.type).get(on.text)
        if relation is None:
            self._unknown_relation(on)
            return Call("has_relation", (), span)
        related = Variable(f"{on.text}{RELATED}{next(numbers)}", span)
        link = (Variable("resource", span), Literal(on.text, span), related)
        return And(
            (
                Matches(related, relation.type, span),
                Call("has_relation", link, span),
                self._holds(reference, relation.type, related),
            ),
            span,
        )

    def _unknown_relation(self, word: Word) -> None:
        known = self.types.relations(self.block.type)
        place = f"`{self.block.type}`" if self.block.type else "the `global` block"
        message = f'"{word.text}" is not a relation that {place} declares.'
        hint = did_you_mean(word.text, known)
        self.problems.append(
            Problem("undeclared-relation", message, word.span, hint=hint, text=word.text)
        )

    def _holds(self, reference: Reference, type_: str, resource: Term | None) -> Expression:
        span = reference.span
        if reference.quantified:
            predicate = f"has_{reference.word}"
            word: Term = Variable(reference.word, span)
        else:
            predicate = self._predicate(Word(reference.word, span), type_)
            word = Literal(reference.word, span)
        terms = (Variable("actor", span), word)
        return Call(predicate, terms if resource is None or not type_ else (*terms, resource), span)


def default_allow(rules: Sequence[Rule]) -> list[Rule]:
    """Return `allow(a, p, r) if has_permission(a, p, r)` unless *rules* say what `allow` is."""
    arity = 3
    if any(rule.predicate == "allow" and len(rule.parameters) == arity for rule in rules):
        return []
    span = NOWHERE
    names = [Variable(name, span) for name in ("actor", "action", "resource")]
    parameters = tuple(Parameter(name, None, span) for name in names)
    return [Rule("allow", parameters, Call("has_permission", tuple(names), span), span)]
