"""Policy text to a syntax tree. Pure, and total: what is wrong is reported, never raised."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from policies.polar import syntax
from policies.polar.items import (
    BLOCK_WORDS,
    is_debris,
    items_of,
    opens_block,
    statements_of,
    too_deep,
    without_statement,
)
from policies.polar.lexer import END, Token, lex
from policies.polar.mistakes import Place, explain, nested_too_deep
from policies.polar.source import PolicyError, Problem, Severity, Span

MAX_NESTING = 100
"""How deep parentheses and `not` may nest."""

_MAX_PROBLEMS_OF_AN_ITEM = 20
_MAX_BROKEN_ITEMS = 500
_ENDING_CODES = frozenset(
    {"misplaced-setup", "no-assertions", "rule-in-block", "unclosed-block", "unclosed-setup"}
)
"""Problems after which the rest of a block tells nothing certain."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file's items that parse, and everything wrong with the rest, in reading order."""

    module: syntax.Module
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class ParsedFacts:
    """The ground facts of a file that parse, and everything wrong with the rest."""

    facts: tuple[syntax.Call, ...]
    problems: tuple[Problem, ...]


def parse(file: str, text: str | bytes) -> Parsed:
    """Parse a policy file. Never raises: an item that does not parse leaves problems instead.

    With an error among the problems, the module serves only to look for further ones.
    After 500 broken items the rest is left unread, which bounds the time that garbage takes.
    """
    items, problems = _parse_all(file, text, start="item")
    return Parsed(syntax.Module(file, cast("tuple[syntax.Item, ...]", items)), problems)


def parse_facts(file: str, text: str | bytes) -> ParsedFacts:
    """Parse a file of ground facts, such as `has_role(Client{"ci"}, "caller");`. Never raises."""
    facts, problems = _parse_all(file, text, start="fact")
    return ParsedFacts(cast("tuple[syntax.Call, ...]", facts), problems)


def parse_goal(text: str) -> tuple[str, tuple[syntax.Parameter, ...]]:
    """Return predicate and parameters of one query, such as `allow(c: Client, "call", t)`.

    Raises `PolicyError` when the text is anything else; its file is called `<query>`.
    """
    goals, problems = _parse_all("<query>", text, start="goal")
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        raise PolicyError(errors)
    if len(goals) != 1:
        span = Span("<query>", 1, 1, 1, 1)
        message = 'Write one query, such as `allow(Client{"ci"}, "call", tool: Tool)`.'
        raise PolicyError([Problem("syntax", message, span, text=text)])
    predicate, parameters, _ = cast("tuple[str, tuple[syntax.Parameter, ...], Span]", goals[0])
    return predicate, parameters


def _parse_all(
    file: str, text: str | bytes, *, start: str
) -> tuple[tuple[object, ...], tuple[Problem, ...]]:
    try:
        decoded = text if isinstance(text, str) else text.decode()
    except UnicodeDecodeError as error:
        return (), (_not_utf8(file, error),)
    lexed = lex(file, decoded)
    problems = list(lexed.problems)
    errors = [p.span[1:3] for p in lexed.problems if p.severity is Severity.ERROR]
    nodes = []
    for tokens, node, wrong in _parsed_items(lexed.tokens, start):
        if node is not None:
            nodes.append(node)
        elif not _any_within(errors, tokens):
            problems += wrong
    return tuple(nodes), tuple(sorted(problems, key=lambda problem: problem.span))


def _parsed_items(
    tokens: Sequence[Token], start: str
) -> Iterator[tuple[Sequence[Token], object, list[Problem]]]:
    """Yield each item with its node, or with None and what is wrong with it."""
    broken = 0
    after_broken_block = False
    for item in items_of(tokens) if start == "item" else statements_of(tokens):
        if after_broken_block and is_debris(item):
            continue
        node, wrong = _parse_item(item, start)
        yield item, node, wrong
        broken += node is None
        if broken == _MAX_BROKEN_ITEMS:
            break
        after_broken_block = node is None and opens_block(item)


def _not_utf8(file: str, error: UnicodeDecodeError) -> Problem:
    before = error.object[: error.start].decode(errors="replace")
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    message = "Save the file as UTF-8."
    return Problem("not-utf8", message, Span(file, line, column, line, column + 1))


def _any_within(places: Sequence[tuple[int, ...]], tokens: Sequence[Token]) -> bool:
    """Tell whether a word of the item is itself wrong, which explains that it does not parse."""
    index = bisect_left(places, tokens[0].span[1:3])
    return index < len(places) and places[index] < tokens[-1].span[3:5]


def _parse_item(tokens: Sequence[Token], start: str) -> tuple[object, list[Problem]]:
    """Return the node, or None and the first problem of each statement that has one."""
    deep = too_deep(tokens, MAX_NESTING)
    if deep:
        return None, [nested_too_deep(deep, MAX_NESTING)]
    problems: list[Problem] = []
    while tokens and len(problems) < _MAX_PROBLEMS_OF_AN_ITEM:
        node, problem = _run_grammar(tokens, start)
        if problem is None:
            return (None if problems else node), problems
        if problem.code == "no-assertions" and problems:
            break
        problems.append(problem)
        tokens = () if problem.code in _ENDING_CODES else _without(tokens, problem)
    return None, problems


def _without(tokens: Sequence[Token], problem: Problem) -> Sequence[Token]:
    """Return the rest of a block when one statement is set aside; empty if it cannot be."""
    if tokens[0].type not in BLOCK_WORDS:
        return ()
    index = bisect_right(tokens, problem.span[1:3], key=lambda token: token.span[1:3]) - 1
    return without_statement(tokens, index)


def _run_grammar(tokens: Sequence[Token], start: str) -> tuple[object, Problem | None]:
    # Imported late, so that a process that never parses a policy does not load lark.
    from lark.exceptions import UnexpectedToken  # noqa: PLC0415

    from policies.polar.tree import RefusedError, grammar  # noqa: PLC0415

    fed: Any = grammar().parse_interactive(start=start)
    last = tokens[-1].span
    end = Token(END, "", last._replace(line=last.end_line, column=last.end_column), "")
    node, index = None, 0
    try:
        for index, token in enumerate((*tokens, end)):  # noqa: B007 - the place of a failure
            node = fed.feed_token(token)
    except RefusedError as refused:
        return None, refused.problem
    except UnexpectedToken:
        accepted = _accepted(tokens[:index], start)
        return None, explain(Place((*tokens, end), index, accepted))
    return node, None


def _accepted(tokens: Sequence[Token], start: str) -> frozenset[str]:
    """Return the types of token that may follow *tokens*."""
    from policies.polar.tree import grammar  # noqa: PLC0415

    # Fed anew: a failed token may already have moved the parser on.
    fed: Any = grammar().parse_interactive(start=start)
    for token in tokens:
        fed.feed_token(token)
    return frozenset(fed.accepts())
