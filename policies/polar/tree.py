"""What the grammar's rules build: one method for each, named as the rule is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from lark import Lark, Transformer, v_args
from lark.lexer import Lexer
from lark.lexer import Token as LarkToken

from policies.model import Entity
from policies.polar import syntax
from policies.polar.lexer import Token
from policies.polar.mistakes import FOREIGN_WORDS
from policies.polar.source import Problem, Span

_PRIMITIVES: dict[str, type] = {"String": str, "Integer": int, "Boolean": bool}
_EXAMPLES = {"String": "a quoted string", "Integer": "a number", "Boolean": "`true` or `false`"}


class RefusedError(Exception):
    """An item that the grammar allows and the language does not."""

    def __init__(self, code: str, message: str, span: Span, text: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(code, message, span, text=text)


class Head(NamedTuple):
    predicate: str
    parameters: tuple[syntax.Parameter, ...]
    span: Span


class Declared(NamedTuple):
    """`roles = ...`, `permissions = ...` or `relations = ...`."""

    keyword: Token
    values: tuple[syntax.Word, ...] | tuple[syntax.Relation, ...]


@cache
def grammar() -> Lark:
    """Return the parser of items; it keeps no state, so every thread may use it."""
    text = files("policies.polar").joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        text,
        parser="lalr",
        lexer=_NoLexer,
        start=["item", "goal", "fact"],
        maybe_placeholders=False,
        transformer=Builder(),
    )


class _NoLexer(Lexer):
    """Stands where lark wants a lexer: tokens are fed one by one instead."""

    def __init__(self, _conf: object) -> None: ...

    def lex(self, *_: object) -> Iterator[LarkToken]:
        return iter(())


def _word(token: Token) -> syntax.Word:
    return syntax.Word(str(token.value), token.span)


def _through(first: Token, last: Token) -> Span:
    return first.span.through(last.span)


@v_args(inline=True)
class Builder(Transformer[Token, object]):
    """Builds syntax nodes; a node that may not be raises `RefusedError`."""

    # Blocks

    def block(
        self,
        kind: Token,
        type_name: Token,
        extends: tuple[syntax.Word, ...],
        members: list[Declared | syntax.Shorthand],
        _close: Token,
    ) -> syntax.Block:
        return _block(kind, type_name, extends, members)

    def global_block(
        self, kind: Token, members: list[Declared | syntax.Shorthand], _close: Token
    ) -> syntax.Block:
        return _block(kind, None, (), members)

    def supertypes(self, *types: Token) -> tuple[syntax.Word, ...]:
        return tuple(map(_word, types))

    def members(self, *members: Declared | syntax.Shorthand) -> list[Declared | syntax.Shorthand]:
        return list(members)

    def roles(
        self, keyword: Token, _equals: Token, words: tuple[syntax.Word, ...], _end: Token
    ) -> Declared:
        return Declared(keyword, words)

    permissions = roles

    def words(self, *strings_and_close: Token) -> tuple[syntax.Word, ...]:
        return tuple(map(_word, strings_and_close[:-1]))

    def relations(self, keyword: Token, _equals: Token, *rest: syntax.Relation | Token) -> Declared:
        return Declared(keyword, tuple(part for part in rest if isinstance(part, syntax.Relation)))

    def relation(self, name: Token, type_name: Token) -> syntax.Relation:
        return syntax.Relation(name.text, type_name.text, _through(name, type_name))

    def shorthand(self, head: Token, body: syntax.Condition, end: Token) -> syntax.Shorthand:
        return syntax.Shorthand(_word(head), body, _through(head, end), head.type != "STRING")

    def any_of(self, *parts: syntax.Condition) -> syntax.AnyOf:
        return syntax.AnyOf(parts, parts[0].span.through(parts[-1].span))

    def all_of(self, *parts: syntax.Condition) -> syntax.AllOf:
        return syntax.AllOf(parts, parts[0].span.through(parts[-1].span))

    def group(self, _open: Token, inner: object, _close: Token) -> object:
        return inner

    def reference(self, word: Token) -> syntax.Reference:
        return syntax.Reference(str(word.value), word.span, word.type != "STRING")

    def global_reference(self, keyword: Token, word: Token) -> syntax.Reference:
        span = _through(keyword, word)
        return syntax.Reference(str(word.value), span, word.type != "STRING", globally=True)

    def related_reference(self, word: Token, _on: Token, target: Token) -> syntax.Reference:
        return syntax.Reference(
            str(word.value),
            _through(word, target),
            quantified=word.type != "STRING",
            on=_word(target),
            on_resource=target.type == "RESOURCE",
        )

    # Rules

    def rule(self, head: Head, body: syntax.Expression, end: Token) -> syntax.Rule:
        return syntax.Rule(head.predicate, head.parameters, body, head.span.through(end.span))

    def bodiless(self, head: Head, end: Token) -> syntax.Rule:
        return syntax.Rule(head.predicate, head.parameters, None, head.span.through(end.span))

    def head(
        self,
        predicate: Token,
        _open: Token,
        parameters: tuple[syntax.Parameter, ...],
        close: Token,
    ) -> Head:
        return Head(predicate.text, parameters, _through(predicate, close))

    def parameters(self, *parameters: syntax.Parameter) -> tuple[syntax.Parameter, ...]:
        return parameters

    def parameter(self, term: syntax.Term) -> syntax.Parameter:
        return syntax.Parameter(term, None, term.span)

    def typed(self, name: Token, type_name: Token) -> syntax.Parameter:
        variable = syntax.Variable(name.text, name.span)
        return syntax.Parameter(variable, type_name.text, _through(name, type_name))

    def disjunction(self, *parts: syntax.Expression) -> syntax.Or:
        return syntax.Or(parts, parts[0].span.through(parts[-1].span))

    def both(self, *parts: syntax.Expression) -> syntax.And:
        return syntax.And(parts, parts[0].span.through(parts[-1].span))

    def negated(self, keyword: Token, body: syntax.Expression) -> syntax.Not:
        return syntax.Not(body, keyword.span.through(body.span))

    def comparison(self, left: syntax.Term, operator: Token, right: syntax.Term) -> syntax.Compare:
        return syntax.Compare(operator.text, left, right, left.span.through(right.span))

    def member(
        self, term: syntax.Term, options: tuple[syntax.Term, ...], close: Token
    ) -> syntax.Member:
        return syntax.Member(term, options, term.span.through(close.span))

    def options(self, *terms: syntax.Term) -> tuple[syntax.Term, ...]:
        return terms

    arguments = options

    def matching(
        self, variable: syntax.Variable, _matches: Token, type_name: Token
    ) -> syntax.Matches:
        return syntax.Matches(variable, type_name.text, variable.span.through(type_name.span))

    def truth(self, token: Token) -> syntax.Truth:
        return syntax.Truth(bool(token.value), token.span)

    def call(
        self, predicate: Token, _open: Token, args: tuple[syntax.Term, ...], close: Token
    ) -> syntax.Call:
        if predicate.text in FOREIGN_WORDS:
            raise RefusedError(*FOREIGN_WORDS[predicate.text], predicate.span, predicate.text)
        return syntax.Call(predicate.text, args, _through(predicate, close))

    def literal(self, token: Token) -> syntax.Literal:
        return syntax.Literal(token.value, token.span)

    def object(self, type_name: Token, value: Token, close: Token) -> syntax.Literal:
        return _object(type_name.text, value, _through(type_name, close))

    def now(self, token: Token) -> syntax.Now:
        return syntax.Now(token.span)

    def variable(self, token: Token) -> syntax.Variable:
        return syntax.Variable(token.text, token.span)

    # Schemas and tests

    def rule_type(self, keyword: Token, head: Head, end: Token) -> syntax.RuleType:
        return syntax.RuleType(head.predicate, head.parameters, _through(keyword, end))

    def declaration(
        self,
        keyword: Token,
        predicate: Token,
        _open: Token,
        types: tuple[syntax.Word, ...],
        _close: Token,
        end: Token,
    ) -> syntax.Declare:
        return syntax.Declare(predicate.text, types, _through(keyword, end))

    types = supertypes

    def goal(self, head: Head, _end: Token | None = None) -> Head:
        return head

    def fact(self, call: syntax.Call, _end: Token) -> syntax.Call:
        for arg in call.args:
            if not isinstance(arg, syntax.Literal):
                raise RefusedError(*_not_ground(arg))
        return call

    def fixture(
        self,
        keyword: Token,
        _fixture: Token,
        name: Token,
        facts: tuple[syntax.Call, ...],
        _close: Token,
    ) -> syntax.Fixture:
        return syntax.Fixture(name.text, facts, _through(keyword, name))

    def facts(self, *facts: syntax.Call) -> tuple[syntax.Call, ...]:
        return facts

    def test(
        self,
        keyword: Token,
        name: Token,
        setup: tuple[syntax.Call | syntax.FixtureUse, ...],
        assertions: tuple[syntax.Assertion, ...],
        _close: Token,
    ) -> syntax.PolicyTest:
        span = _through(keyword, name)
        if not assertions:
            message = (
                "Add an `assert` or an `assert_not` to the test; without one it shows nothing."
            )
            raise RefusedError("no-assertions", message, span, f"test {name.text}")
        return syntax.PolicyTest(str(name.value), setup, assertions, span)

    def setup(
        self, *parts: Token | syntax.Call | syntax.FixtureUse
    ) -> tuple[syntax.Call | syntax.FixtureUse, ...]:
        return tuple(part for part in parts if not isinstance(part, Token))

    def fixture_use(self, keyword: Token, name: Token, _end: Token) -> syntax.FixtureUse:
        return syntax.FixtureUse(name.text, _through(keyword, name))

    def assertions(self, *assertions: syntax.Assertion) -> tuple[syntax.Assertion, ...]:
        return assertions

    def assertion(self, keyword: Token, head: Head, end: Token) -> syntax.Assertion:
        return _assertion(keyword, head, None, end)

    def exact_assertion(
        self, keyword: Token, head: Head, _iff: Token, body: syntax.Expression, end: Token
    ) -> syntax.Assertion:
        return _assertion(keyword, head, body, end)


def _block(
    kind: Token,
    type_name: Token | None,
    extends: tuple[syntax.Word, ...],
    members: list[Declared | syntax.Shorthand],
) -> syntax.Block:
    declared: dict[str, Declared] = {}
    for member in members:
        if isinstance(member, Declared):
            name = member.keyword.text
            if name in declared:
                line = declared[name].keyword.span.line
                message = f"Join this with the `{name}` declared at line {line}: a block has one."
                raise RefusedError("duplicate-declaration", message, member.keyword.span, name)
            declared[name] = member
    values: dict[str, Any] = {name: found.values for name, found in declared.items()}
    return syntax.Block(
        kind=kind.text,
        type=type_name.text if type_name else "",
        extends=extends,
        roles=values.get("roles"),
        permissions=values.get("permissions"),
        relations=values.get("relations"),
        shorthands=tuple(part for part in members if isinstance(part, syntax.Shorthand)),
        span=_through(kind, type_name or kind),
    )


def _object(type_name: str, token: Token, span: Span) -> syntax.Literal:
    text = f"{type_name}{{{token.text}}}"
    if type_name in _PRIMITIVES:
        if type(token.value) is not _PRIMITIVES[type_name]:
            message = f"Put {_EXAMPLES[type_name]} between the braces of `{type_name}`."
            raise RefusedError("wrong-literal-type", message, span, text)
        return syntax.Literal(token.value, span)
    if not isinstance(token.value, str):
        message = f'Write the id as a string, such as `{type_name}{{"{token.text}"}}`.'
        raise RefusedError("entity-id", message, span, text)
    if not token.value:
        raise RefusedError("entity-id", "Give the id at least one character.", span, text)
    return syntax.Literal(Entity(type_name, token.value), span)


def _not_ground(arg: syntax.Variable | syntax.Now) -> tuple[str, str, Span, str]:
    text = arg.name if isinstance(arg, syntax.Variable) else "@current_unix_time"
    message = f"Write a value instead of `{text}`: a fact holds nothing unknown."
    return "fact-not-ground", message, arg.span, text


def _assertion(
    keyword: Token, head: Head, iff: syntax.Expression | None, end: Token
) -> syntax.Assertion:
    return syntax.Assertion(
        keyword.type == "ASSERT_NOT", head.predicate, head.parameters, iff, _through(keyword, end)
    )
