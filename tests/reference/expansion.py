"""Block expansion written from the meaning of the language, apart from the engine's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from typing import NamedTuple

from policies.polar.source import Span
from policies.polar.syntax import (
    AllOf,
    And,
    AnyOf,
    Block,
    Call,
    Compare,
    Condition,
    Expression,
    Literal,
    Matches,
    Member,
    Module,
    Not,
    Or,
    Parameter,
    Reference,
    Rule,
    Shorthand,
    Term,
    Truth,
    Variable,
)

DEFAULT = Span("default", 0, 0, 0, 0)
"""Where the `allow` that nobody wrote comes from."""

Atom = Call | Compare | Member | Matches | Truth | Not


def source(rule: Rule) -> str:
    """Return what a proof calls the place of *rule*: `file:line`, or `default`."""
    return "default" if rule.span == DEFAULT else str(rule.span)


def expand(modules: Sequence[Module]) -> list[Rule]:
    """Return every rule of the policy, with blocks written out and `allow` supplied."""
    blocks = [item for module in modules for item in module.items if isinstance(item, Block)]
    rules = [item for module in modules for item in module.items if isinstance(item, Rule)]
    words = _Words(blocks)
    for block in blocks:
        rules.extend(_Expansion(words, block, shorthand).rule() for shorthand in block.shorthands)
    if not any(rule.predicate == "allow" and len(rule.parameters) == 3 for rule in rules):
        rules.append(_default_allow())
    return rules


def _default_allow() -> Rule:
    terms = [Variable(name, DEFAULT) for name in ("actor", "action", "resource")]
    parameters = tuple(Parameter(term, None, DEFAULT) for term in terms)
    return Rule("allow", parameters, Call("has_permission", tuple(terms), DEFAULT), DEFAULT)


class Types:
    """Which type is which, for the types that blocks declare and the primitive ones."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self.supertypes: dict[str, set[str]] = defaultdict(set)
        for module in modules:
            for item in module.items:
                if isinstance(item, Block) and item.kind != "global":
                    kind = {"actor": "Actor", "resource": "Resource"}[item.kind]
                    parents = {word.text for word in item.extends}
                    self.supertypes[item.type] |= {kind} | parents
        self.concrete = {*self.supertypes, "String", "Integer", "Boolean"}
        self.supertypes["Actor"] = {"Resource"}

    def accepts(self, wanted: str, given: str) -> bool:
        """Say whether a value of type *given* may stand where *wanted* is asked for."""
        if wanted == given:
            return True
        return any(self.accepts(wanted, parent) for parent in self.supertypes.get(given, ()))


class _Words:
    """What each quoted word of each block stands for, with those of its supertypes."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks

    def _lineage(self, type_: str) -> Iterator[Block]:
        for block in self._blocks:
            if block.type == type_:
                yield block
                for parent in block.extends:
                    yield from self._lineage(parent.text)

    def predicate(self, type_: str, word: str) -> str:
        """Return has_role, has_permission or has_relation, as *word* was declared in *type_*."""
        for block in self._lineage(type_):
            if word in {declared.text for declared in block.roles or ()}:
                return "has_role"
            if word in {declared.text for declared in block.permissions or ()}:
                return "has_permission"
            if word in {declared.name for declared in block.relations or ()}:
                return "has_relation"
        raise KeyError(f"{word} is not declared in {type_ or 'the global block'}")

    def related(self, type_: str, relation: str) -> str:
        """Return the type at the far end of *relation*."""
        for block in self._lineage(type_):
            for declared in block.relations or ():
                if declared.name == relation:
                    return declared.type
        raise KeyError(f"{relation} is not a relation of {type_}")


class _Expansion:
    """One shorthand on its way to becoming a rule."""

    def __init__(self, words: _Words, block: Block, shorthand: Shorthand) -> None:
        self.words = words
        self.type = block.type
        self.is_global = block.kind == "global"
        self.shorthand = shorthand
        self.span = shorthand.span
        self.numbers = count(1)

    def rule(self) -> Rule:
        head = self.shorthand.head.text
        quantified = self.shorthand.quantified
        parameters = [
            Parameter(self.variable("actor"), "Actor", self.span),
            Parameter(self.word(head, quantified=quantified), None, self.span),
        ]
        if not self.is_global:
            parameters.append(Parameter(self.variable("resource"), self.type, self.span))
        predicate = self.predicate(self.type, head, quantified=quantified)
        body = self.condition(self.shorthand.body)
        return Rule(predicate, tuple(parameters), body, self.span, shorthand=True)

    def variable(self, name: str) -> Variable:
        return Variable(name, self.span)

    def word(self, text: str, *, quantified: bool) -> Term:
        return self.variable(text) if quantified else Literal(text, self.span)

    def predicate(self, type_: str, word: str, *, quantified: bool) -> str:
        return f"has_{word}" if quantified else self.words.predicate(type_, word)

    def condition(self, condition: Condition) -> Expression:
        match condition:
            case Call():
                return condition
            case AllOf(parts):
                return And(tuple(map(self.condition, parts)), condition.span)
            case AnyOf(parts):
                return Or(tuple(map(self.condition, parts)), condition.span)
            case Reference():
                return self.reference(condition)

    def reference(self, reference: Reference) -> Expression:
        if reference.on is not None and not reference.on_resource:
            return self.across(reference, reference.on.text)
        if reference.globally or self.is_global:
            return self.holding(reference, "", None)
        return self.holding(reference, self.type, self.variable("resource"))

    def across(self, reference: Reference, relation: str) -> Expression:
        """Write `"word" on "relation"`: the word, asked of whatever the relation leads to."""
        type_ = self.words.related(self.type, relation)
        other = self.variable(f"other {next(self.numbers)}")
        edge = (self.variable("resource"), Literal(relation, self.span), other)
        return And(
            (
                Matches(other, type_, self.span),
                Call("has_relation", edge, self.span),
                self.holding(reference, type_, other),
            ),
            self.span,
        )

    def holding(self, reference: Reference, type_: str, resource: Term | None) -> Call:
        """Write that the actor holds the word of *reference* on *resource* (None: globally)."""
        predicate = self.predicate(type_, reference.word, quantified=reference.quantified)
        word = self.word(reference.word, quantified=reference.quantified)
        actor = self.variable("actor")
        if resource is None:
            return Call(predicate, (actor, word), self.span)
        if predicate == "has_relation":
            return Call(predicate, (resource, word, actor), self.span)
        return Call(predicate, (actor, word, resource), self.span)


class Branch(NamedTuple):
    """One way for a rule to apply: its head, and conditions that hold together.

    Types of parameters are among the conditions, and each `_` has a name of its own.
    """

    rule: Rule
    head: tuple[Term, ...]
    atoms: tuple[Atom, ...]


def branches(rule: Rule) -> list[Branch]:
    """Return the ways for *rule* to apply, one for each choice among its disjunctions."""
    named = _Renaming().rule(rule)
    head = tuple(parameter.term for parameter in named.parameters)
    typed = tuple(
        Matches(parameter.term, parameter.type, parameter.span)
        for parameter in named.parameters
        if parameter.type is not None and isinstance(parameter.term, Variable)
    )
    return [Branch(named, head, typed + atoms) for atoms in ways(named.body)]


def ways(body: Expression | None) -> list[tuple[Atom, ...]]:
    """Return the disjunctive normal form of *body*; what stands under `not` stays whole."""
    match body:
        case None:
            return [()]
        case Or(parts):
            return [way for part in parts for way in ways(part)]
        case And(parts):
            return [
                tuple(atom for way in choice for atom in way)
                for choice in product(*(ways(part) for part in parts))
            ]
        case _:
            return [(body,)]


def terms(node: Expression | None) -> Iterator[Term]:
    """Yield every term of *node*, from left to right, as often as it occurs."""
    match node:
        case Call(args=found) | Member(options=found):
            yield from (node.term,) if isinstance(node, Member) else ()
            yield from found
        case Compare():
            yield from (node.left, node.right)
        case Matches():
            yield node.variable
        case Not():
            yield from terms(node.body)
        case And(parts) | Or(parts):
            for part in parts:
                yield from terms(part)


def variables(found: Iterator[Term] | Sequence[Term]) -> Iterator[str]:
    return (term.name for term in found if isinstance(term, Variable))


@dataclass
class _Renaming:
    """Gives each `_` of one rule a name that no text can spell."""

    used: int = 0

    def rule(self, rule: Rule) -> Rule:
        parameters = tuple(
            replace(parameter, term=self.term(parameter.term)) for parameter in rule.parameters
        )
        body = None if rule.body is None else self.expression(rule.body)
        return replace(rule, parameters=parameters, body=body)

    def term(self, term: Term) -> Term:
        return self.variable(term) if isinstance(term, Variable) else term

    def variable(self, variable: Variable) -> Variable:
        if variable.name != "_":
            return variable
        self.used += 1
        return replace(variable, name=f"_ {self.used}")

    def expression(self, node: Expression) -> Expression:
        match node:
            case Not():
                return replace(node, body=self.expression(node.body))
            case And() | Or():
                return replace(node, parts=tuple(map(self.expression, node.parts)))
            case _:
                return self.atom(node)

    def atom(self, node: Call | Compare | Member | Matches | Truth) -> Expression:
        match node:
            case Call():
                return replace(node, args=tuple(map(self.term, node.args)))
            case Compare():
                return replace(node, left=self.term(node.left), right=self.term(node.right))
            case Member():
                options = tuple(map(self.term, node.options))
                return replace(node, term=self.term(node.term), options=options)
            case Matches():
                return replace(node, variable=self.variable(node.variable))
            case Truth():
                return node
