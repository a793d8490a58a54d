"""One statement as lines: on one line if it fits, else one condition or element on each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from policies.polar.lexer import Comment, Token

WIDTH = 100
STEP = "  "

_OPENERS = frozenset({"LPAR", "_LSQB", "_LBRACE"})
_CLOSERS = frozenset({"RPAR", "RSQB", "RBRACE"})
_NAMES = frozenset({"NAME", "ROLE", "PERMISSION"})
_TIGHT_BEFORE = frozenset({"_COMMA", "_COLON", "SEMI", "RPAR", "RSQB"})
_TIGHT_AFTER = frozenset({"LPAR", "_LSQB"})


class _Piece(NamedTuple):
    type: str
    text: str
    spaced: bool
    """Whether a space stands before it on one line."""
    breaks: bool
    """Whether lines may break after it, as after the `[` of a list."""


def layout(tokens: Sequence[Token], indent: int) -> list[str]:
    """Return a statement as lines without their common *indent*, which counts steps."""
    pieces = _pieces(_without_last_commas(tokens))
    room = WIDTH - len(STEP) * indent
    if _fits(pieces, room):
        return [_flat(pieces)]
    for index, piece in enumerate(pieces):
        if piece.type in {"_IF", "IFF"}:
            body = _chain(pieces[index + 1 :], room - len(STEP))
            return [*_spread(pieces[: index + 1], room), *_indented(body)]
    return _spread(pieces, room)


def layout_as_written(tokens: Sequence[Token], comments: Sequence[Comment]) -> list[str]:
    """Return a statement with comments inside: its own line breaks, our spaces and indents."""
    rows: dict[int, list[_Piece]] = {}
    for token, piece in zip(tokens, _pieces(tokens), strict=True):
        rows.setdefault(token.span.line, []).append(piece)
    remarks = {comment.span.line: comment.text for comment in comments}
    lines: list[str] = []
    depth = 0
    for number in sorted({*rows, *remarks}):
        row = rows.get(number, [])
        closing = next((i for i, piece in enumerate(row) if piece.type not in _CLOSERS), len(row))
        level = depth - closing if closing else max(depth, 1)
        parts = [part for part in (_flat(row), remarks.get(number, "")) if part]
        lines.append(STEP * (level if lines else 0) + "  ".join(parts))
        depth += sum((piece.type in _OPENERS) - (piece.type in _CLOSERS) for piece in row)
    return lines


def _without_last_commas(tokens: Sequence[Token]) -> list[Token]:
    following = [token.type for token in tokens[1:]] + [""]
    return [
        token
        for token, after in zip(tokens, following, strict=True)
        if not (token.type == "_COMMA" and after in {"RSQB", "RBRACE", "_LBRACE"})
    ]


def _pieces(tokens: Sequence[Token]) -> list[_Piece]:
    pieces: list[_Piece] = []
    open_braces: list[bool] = []
    before = ""
    for index, token in enumerate(tokens):
        kind = token.type
        spaced = kind not in _TIGHT_BEFORE and before not in _TIGHT_AFTER
        breaks = kind in _TIGHT_AFTER or (kind == "_LBRACE" and before == "EQ")
        if kind == "LPAR" and before in _NAMES:
            spaced = False
        elif kind == "_LBRACE":
            # Only an object's brace touches its type; a block's ends the statement.
            spaced = breaks or index == len(tokens) - 1
            open_braces.append(breaks)
        elif kind == "RBRACE":
            spaced = bool(open_braces) and open_braces.pop() and before != "_LBRACE"
        elif before == "_LBRACE":
            spaced = bool(open_braces) and open_braces[-1]
        pieces.append(_Piece(kind, token.text, spaced, breaks))
        before = kind
    return pieces


def _flat(pieces: Sequence[_Piece]) -> str:
    return "".join(" " + piece.text if piece.spaced else piece.text for piece in pieces).lstrip()


def _fits(pieces: Sequence[_Piece], room: int) -> bool:
    return len(_flat(pieces)) <= room


def _indented(lines: Iterable[str]) -> list[str]:
    return [STEP + line for line in lines]


def _condition(
    pieces: Sequence[_Piece], room: int, *, lead: int = 0, nested: bool = False
) -> list[str]:
    """Return a condition as lines; *lead* columns of the first are taken already."""
    if _fits(pieces, room - lead):
        return [_flat(pieces)]
    return _chain(pieces, room, lead=lead, nested=nested)


def _chain(
    pieces: Sequence[_Piece], room: int, *, lead: int = 0, nested: bool = False
) -> list[str]:
    """Return each part of a condition on its own line, indented when *nested* in another chain."""
    for operator in ("_OR", "_AND"):
        parts = _split(pieces, operator)
        if len(parts) > 1:
            first = _condition(parts[0], room, lead=lead, nested=True)
            room -= len(STEP) * nested
            rest = [line for part in parts[1:] for line in _operand(part, room)]
            return [*first, *(_indented(rest) if nested else rest)]
    return _spread(pieces, room, lead=lead)


def _operand(pieces: Sequence[_Piece], room: int) -> list[str]:
    operator = pieces[0].text + " "
    first, *rest = _condition(pieces[1:], room, lead=len(operator), nested=True)
    return [operator + first, *rest]


def _split(pieces: Sequence[_Piece], separator: str) -> list[list[_Piece]]:
    """Cut before each *separator* that stands outside brackets."""
    parts: list[list[_Piece]] = [[]]
    depth = 0
    for piece in pieces:
        depth += (piece.type in _OPENERS) - (piece.type in _CLOSERS)
        if piece.type == separator and depth == 0:
            parts.append([])
        parts[-1].append(piece)
    return parts


def _spread(pieces: Sequence[_Piece], room: int, *, lead: int = 0) -> list[str]:
    """Break inside the first brackets, if it must be and something is inside."""
    if _fits(pieces, room - lead):
        return [_flat(pieces)]
    start = next((i for i, piece in enumerate(pieces) if piece.breaks), len(pieces) - 1)
    end = _closer(pieces, start)
    inner = pieces[start + 1 : end]
    if not inner:
        return [_flat(pieces)]
    before = pieces[start - 1].type if start else ""
    if pieces[start].type == "LPAR" and before not in _NAMES:
        lines = _condition(inner, room - len(STEP))
    else:
        elements = [
            _flat(part[1:] if index else part) for index, part in enumerate(_split(inner, "_COMMA"))
        ]
        last = "," if before == "EQ" else ""
        lines = [f"{element}," for element in elements[:-1]] + [elements[-1] + last]
    return [_flat(pieces[: start + 1]), *_indented(lines), _flat(pieces[end:])]


def _closer(pieces: Sequence[_Piece], start: int) -> int:
    depth = 0
    for index in range(start, len(pieces)):
        depth += (pieces[index].type in _OPENERS) - (pieces[index].type in _CLOSERS)
        if depth == 0:
            return index
    return len(pieces)
