"""The syntax tree of a policy file: frozen nodes, each of which knows its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from policies.model import Value
from policies.polar.source import Span


@dataclass(frozen=True, slots=True)
class Variable:
    """A name that stands for a value. `_` is anonymous: each occurrence is its own variable."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Literal:
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Now:
    """`@current_unix_time`: an Integer, the second at which the question is asked."""

    span: Span


Term = Variable | Literal | Now


@dataclass(frozen=True, slots=True)
class Call:
    """`predicate(arg, ...)` in a body, a head of an assertion, or a fact."""

    predicate: str
    args: tuple[Term, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Compare:
    """`left operator right`, where operator is one of `= != < <= > >=`; `=` unifies."""

    operator: str
    left: Term
    right: Term
    span: Span


@dataclass(frozen=True, slots=True)
class Member:
    """`term in [option, ...]`."""

    term: Term
    options: tuple[Term, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Matches:
    """`variable matches Type`."""

    variable: Variable
    type: str
    span: Span


@dataclass(frozen=True, slots=True)
class Truth:
    """`true` or `false` as a condition."""

    value: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Not:
    body: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Expression, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Expression, ...]
    span: Span


Expression = Call | Compare | Member | Matches | Truth | Not | And | Or


@dataclass(frozen=True, slots=True)
class Parameter:
    """`term` or `name: Type`; only a variable carries a type."""

    term: Term
    type: str | None
    span: Span


@dataclass(frozen=True, slots=True)
class Rule:
    """`predicate(parameter, ...) if body;`. A rule without a body is a fact of the policy.

    `shorthand` says that the rule was expanded from a block; its span is the shorthand's.
    """

    predicate: str
    parameters: tuple[Parameter, ...]
    body: Expression | None
    span: Span
    shorthand: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """A quoted name of a role or permission where a block declares or uses it."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Relation:
    """`name: Type` inside `relations = { ... }`."""

    name: str
    type: str
    span: Span


@dataclass(frozen=True, slots=True)
class Reference:
    """A role, permission or relation inside a shorthand body.

    `word` is the quoted text, or `role` / `permission` when `quantified` (written without
    quotes: every role, every permission). `on` is the relation after `on`, or `resource` itself
    for `"word" on resource`, then `on_resource` is true. `globally` marks `global "word"`.
    """

    word: str
    span: Span
    quantified: bool = False
    on: Word | None = None
    on_resource: bool = False
    globally: bool = False


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Condition, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]
    span: Span


Condition = Reference | Call | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Shorthand:
    """`"head" if body;`, or `role if ...` / `permission if ...` when `quantified`."""

    head: Word
    body: Condition
    span: Span
    quantified: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """`actor T { ... }`, `resource T { ... }` or `global { ... }` (then `type` is empty).

    A declaration may be absent (None) or present and empty; `span` covers the header, up to and
    including the type name (or `global`).
    """

    kind: str
    type: str
    extends: tuple[Word, ...]
    roles: tuple[Word, ...] | None
    permissions: tuple[Word, ...] | None
    relations: tuple[Relation, ...] | None
    shorthands: tuple[Shorthand, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Declare:
    """`declare predicate(Type, ...);`: facts of this form may be stored."""

    predicate: str
    types: tuple[Word, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class RuleType:
    """`type predicate(parameter, ...);`: the forms a rule of this predicate may take."""

    predicate: str
    parameters: tuple[Parameter, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Fixture:
    """`test fixture name { fact; ... }`."""

    name: str
    facts: tuple[Call, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class FixtureUse:
    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Assertion:
    """`assert goal;`, `assert_not goal;` or `assert goal iff condition;`."""

    negated: bool
    predicate: str
    parameters: tuple[Parameter, ...]
    iff: Expression | None
    span: Span


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """`test "name" { setup { ... } assertion ... }`."""

    name: str
    setup: tuple[Call | FixtureUse, ...]
    assertions: tuple[Assertion, ...]
    span: Span


Item = Block | Rule | RuleType | Declare | Fixture | PolicyTest


@dataclass(frozen=True, slots=True)
class Module:
    """One file, parsed."""

    file: str
    items: tuple[Item, ...] = field(default=())
