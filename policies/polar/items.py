"""Cuts tokens into top-level items and statements, so that one mistake does not hide another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum

from policies.polar.lexer import Token

BLOCK_WORDS = frozenset({"ACTOR", "RESOURCE", "GLOBAL", "TEST"})
_ITEM_STARTS = frozenset(
    {
        ("ACTOR", "NAME"),
        ("RESOURCE", "NAME"),
        ("GLOBAL", "_LBRACE"),
        ("TEST", "STRING"),
        ("TEST", "FIXTURE"),
        ("DECLARE", "NAME"),
        ("TYPE", "NAME"),
    }
)
_CLOSERS = {"_LSQB": "RSQB", "_LBRACE": "RBRACE"}
_LIST_PARTS = frozenset({"STRING", "NAME", "ROLE", "PERMISSION", "_COMMA", "_COLON", "SEMI"})
_MEMBER_STARTS = frozenset(
    {"STRING", "ROLES", "PERMISSIONS", "RELATIONS", "ASSERT", "ASSERT_NOT", "RBRACE"}
)
_PREDICATES = frozenset({"NAME", "ROLE", "PERMISSION"})
_BLOCK_TYPOS = frozenset({"NAME", "STRING", "FIXTURE", "_LBRACE"})
_OPERAND_ENDS = frozenset({"NAME", "STRING", "INTEGER", "BOOLEAN", "NOW", "RPAR", "RSQB", "RBRACE"})


def items_of(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the items of a policy file: each ends at its `;` or `}`, or where the next starts."""
    start = 0
    while start < len(tokens):
        measure = _block_end if opens_block(tokens, start) else _statement_end
        end = measure(tokens, start)
        yield tokens[start:end]
        start = end


def statements_of(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the items of a file that holds only facts, or one query."""
    start = 0
    while start < len(tokens):
        end = _statement_end(tokens, start)
        yield tokens[start:end]
        start = end


def _type_at(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].type if index < len(tokens) else ""


def opens_block(tokens: Sequence[Token], start: int = 0) -> bool:
    first, second = tokens[start].type, _type_at(tokens, start + 1)
    if first in BLOCK_WORDS:
        return second != "LPAR"
    # What follows is most likely a block whose first word is misspelt, or missing.
    return (first == "NAME" and second in _BLOCK_TYPOS) or "_LBRACE" in {first, second}


def is_debris(tokens: Sequence[Token]) -> bool:
    """Tell whether nobody would start an item so: the rest of a block that ended too early."""
    first, second = tokens[0].type, _type_at(tokens, 1)
    if first in BLOCK_WORDS or (first, second) in _ITEM_STARTS:
        return False
    return second not in ({"LPAR", "NAME", "STRING"} if first == "NAME" else {"LPAR"})


def _starts_item(tokens: Sequence[Token], index: int) -> bool:
    return (tokens[index].type, _type_at(tokens, index + 1)) in _ITEM_STARTS


def _statement_end(tokens: Sequence[Token], start: int) -> int:
    if tokens[start].type == "RBRACE":
        return next(
            (i for i in range(start, len(tokens)) if tokens[i].type != "RBRACE"), len(tokens)
        )
    for index in range(start, len(tokens)):
        if tokens[index].type == "SEMI":
            return index + 1
        if index > start and (_starts_item(tokens, index) or _starts_rule(tokens, index)):
            return index
    return len(tokens)


def _starts_rule(tokens: Sequence[Token], index: int) -> bool:
    """Tell whether a head follows a whole operand on a new line: a `;` was forgotten."""
    before, here = tokens[index - 1], tokens[index]
    return (
        here.span.line > before.span.line
        and here.type in _PREDICATES
        and before.type in _OPERAND_ENDS
        and _type_at(tokens, index + 1) == "LPAR"
    )


class Mark(Enum):
    """What a token is to the structure of a block."""

    NONE = 0
    OPENS = 1
    CLOSES = -1
    ENDS = 2


def structure_of(tokens: Sequence[Token], start: int = 0) -> Iterator[tuple[int, Mark]]:
    """Yield each index with what the token there does: opens or closes a block, ends a statement.

    The braces of a statement, such as those of `Client{"ci"}`, are no structure, nor is a `;`
    that stands by mistake inside a declared list. Such braces never outlive the statement's `;`.
    """
    depth = objects = 0
    list_end = start - 1
    for index in range(start, len(tokens)):
        kind, mark = tokens[index].type, Mark.NONE
        if index <= list_end:
            pass
        elif kind in _CLOSERS and index > start and tokens[index - 1].type == "EQ":
            list_end = _list_end(tokens, index)
            objects += kind == "_LBRACE" and list_end < index
        elif kind == "SEMI":
            objects, mark = 0, Mark.ENDS
        elif kind == "_LBRACE" and (depth == 0 or tokens[index - 1].type == "SETUP"):
            depth, mark = depth + 1, Mark.OPENS
        elif kind == "_LBRACE":
            objects += 1
        elif kind == "RBRACE" and objects:
            objects -= 1
        elif kind == "RBRACE":
            depth, mark = depth - 1, Mark.CLOSES
        yield index, mark


def _list_end(tokens: Sequence[Token], start: int) -> int:
    """Return where the declared list that opens at *start* closes; before it if nowhere."""
    for index in range(start + 1, len(tokens)):
        kind = tokens[index].type
        if kind == _CLOSERS[tokens[start].type] and _type_at(tokens, index + 1) == "SEMI":
            return index
        if kind not in _LIST_PARTS:
            break
    return start - 1


def _block_end(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for index, mark in structure_of(tokens, start):
        if index > start and _starts_item(tokens, index):
            return index
        if mark in {Mark.OPENS, Mark.CLOSES}:
            depth += mark.value
        elif depth == 0 and _type_at(tokens, index + 1) in _MEMBER_STARTS:
            continue  # the `{` was forgotten
        if depth <= 0 and mark is not Mark.NONE:
            return index + 1
    return len(tokens)


def without_statement(tokens: Sequence[Token], place: int) -> list[Token]:
    """Return the block *tokens* less the statement around *place*; empty when there is none."""
    first = 0
    for index, mark in structure_of(tokens):
        if mark is Mark.NONE:
            continue
        last = index + (mark is Mark.ENDS)
        if index >= place and first:
            return [*tokens[:first], *tokens[last:]] if first <= place and first < last else []
        first = index + 1
    return []


def too_deep(tokens: Sequence[Token], limit: int) -> Token | None:
    """Return the first token of the item that nests parentheses and `not` deeper than *limit*."""
    depth = 0
    opened: list[int] = []
    negations = 0
    for token in tokens:
        if token.type == "LPAR":
            opened.append(negations)
            negations = 0
            depth += 1
        elif token.type == "RPAR" and opened:
            depth -= 1 + negations
            negations = opened.pop()
        elif token.type == "NOT":
            negations += 1
            depth += 1
        elif token.type in {"_AND", "_OR"}:
            depth -= negations
            negations = 0
        elif token.type == "SEMI":
            depth = negations = 0
            opened.clear()
        if depth > limit:
            return token
    return None
