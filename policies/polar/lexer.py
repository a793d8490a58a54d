"""Policy text to tokens and comments, with everything wrong at that level."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from policies.polar.source import Problem, Severity, Span

KEYWORDS = {
    "actor": "ACTOR",
    "resource": "RESOURCE",
    "global": "GLOBAL",
    "extends": "_EXTENDS",
    "roles": "ROLES",
    "permissions": "PERMISSIONS",
    "relations": "RELATIONS",
    "role": "ROLE",
    "permission": "PERMISSION",
    "if": "_IF",
    "and": "_AND",
    "or": "_OR",
    "not": "NOT",
    "in": "_IN",
    "matches": "MATCHES",
    "on": "ON",
    "type": "TYPE",
    "declare": "DECLARE",
    "test": "TEST",
    "fixture": "FIXTURE",
    "setup": "SETUP",
    "assert": "ASSERT",
    "assert_not": "ASSERT_NOT",
    "iff": "IFF",
    "true": "BOOLEAN",
    "false": "BOOLEAN",
}

PUNCTUATION = {
    "(": "LPAR",
    ")": "RPAR",
    "{": "_LBRACE",
    "}": "RBRACE",
    "[": "_LSQB",
    "]": "RSQB",
    ",": "_COMMA",
    ":": "_COLON",
    ";": "SEMI",
    "=": "EQ",
    "!=": "CMP",
    "<": "CMP",
    "<=": "CMP",
    ">": "CMP",
    ">=": "CMP",
}

FOREIGN = "FOREIGN"
"""The type of a token that no form of the language holds, such as `==`."""

END = "$END"

_SEGMENT = r"(?!\d)(?:[A-Za-z0-9_]|[^\x00-\x7f\s])+"
_PATTERN = re.compile(
    rf"""
      (?P<space>   [ \t]+ )
    | (?P<newline> \r?\n )
    | (?P<comment> \#[^\r\n]*+ )
    | (?P<name>    {_SEGMENT}(?:::{_SEGMENT})*+(?:\?(?!=))? )
    | (?P<string>  "[^"\\\r\n]*+(?:\\[^\r\n][^"\\\r\n]*+)*+" )
    | (?P<open>    "[^\r\n]*+ )
    | (?P<number>  [+-]?\.?[0-9](?:[eE][+-]?[0-9]|[A-Za-z0-9_.])*+ )
    | (?P<at>      @[A-Za-z0-9_]*+ )
    | (?P<foreign> '(?:[^'\r\n]*+'|[^'\r\n;]*+) | [!=]== | == | := | :- | \?= | && | \|\| | => | ->
                 | <- | <> | =< | \*\* | :: )
    | (?P<mark>    [!<>]= | [(){{}}\[\],:;=<>] )
    | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)

_COMPLETE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_FLOAT = re.compile(r"[+-]?[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DIGITS_OF_64_BITS = 19

# Letters and marks that show nothing though their category does not say so.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_VARIATION_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))


class Token(NamedTuple):
    """One word or mark. `value` is what a literal stands for, else the text."""

    type: str
    text: str
    span: Span
    value: str | int | bool


class Comment(NamedTuple):
    """`# ...` up to the end of its line; `own_line` when nothing stands before it there."""

    text: str
    span: Span
    own_line: bool


@dataclass(slots=True)
class Lexed:
    """One file as tokens. Where a problem is an error, a token stands in if one can be guessed."""

    tokens: list[Token] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def lex(file: str, text: str) -> Lexed:
    """Return the tokens and comments of *text*, and its lexical problems in reading order."""
    lexed = Lexed()
    text = _without_hidden(file, text, lexed)
    line, line_start = 1, 0
    for match in _PATTERN.finditer(text):
        kind, start, end = match.lastgroup, match.start(), match.end()
        if kind == "newline":
            line, line_start = line + 1, end
            continue
        if kind == "space":
            continue
        span = Span(file, line, start - line_start + 1, line, end - line_start + 1)
        if kind == "name":
            word = match.group()
            value = word == "true" if word in {"true", "false"} else word
            lexed.tokens.append(Token(KEYWORDS.get(word, "NAME"), word, span, value))
        elif kind == "mark":
            mark = match.group()
            lexed.tokens.append(Token(PUNCTUATION[mark], mark, span, mark))
        else:
            _READERS[str(kind)](match.group(), span, lexed)
    lexed.problems.sort(key=lambda problem: problem.span)
    return lexed


def _without_hidden(file: str, text: str, lexed: Lexed) -> str:
    """Return *text* with every hidden character made a space; the first of a line is reported."""
    # A lone carriage return shows as a new line in some editors and so could end a comment there.
    suspects = [char for char in set(text) if char != "\n" and _may_hide(char)]
    if not suspects:
        return text
    pattern = re.compile(f"(?!\r\n)[{re.escape(''.join(suspects))}]")
    reported: set[int] = set()
    line, counted = 1, 0

    def replace(match: re.Match[str]) -> str:
        nonlocal line, counted
        char, start = match.group(), match.start()
        if char in _VARIATION_SELECTORS and _is_symbol(text[start - 1 : start]):
            return char
        line, counted = line + text.count("\n", counted, start), start
        if line not in reported:
            reported.add(line)
            column = start - text.rfind("\n", 0, start)
            span = Span(file, line, column, line, column + 1)
            lexed.problems.append(_hidden(char, span))
        return " "

    return pattern.sub(replace, text)


def _may_hide(char: str) -> bool:
    if char == "\t":
        return False
    hidden = unicodedata.category(char) in _HIDDEN_CATEGORIES
    return hidden or char in _BLANK or char in _VARIATION_SELECTORS


def _is_symbol(char: str) -> bool:
    return bool(char) and unicodedata.category(char).startswith("S")


def _hidden(char: str, span: Span) -> Problem:
    name = unicodedata.name(char, "a control character").lower()
    if char == "\ufeff":
        name = "a byte order mark"
    elif char == "\r":
        name = "a carriage return without a line feed"
    message = f"Remove the invisible character U+{ord(char):04X} ({name})."
    return Problem("invisible-character", message, span, text=char)


def _read_comment(text: str, span: Span, lexed: Lexed) -> None:
    own_line = not lexed.tokens or lexed.tokens[-1].span.end_line != span.line
    lexed.comments.append(Comment(text.rstrip(), span, own_line))


def _read_string(text: str, span: Span, lexed: Lexed) -> None:
    inner = text[1:-1]
    value = inner
    if "\\" in inner:
        for match in _ESCAPE.finditer(inner):
            if match.group(1) not in _ESCAPED:
                lexed.problems.append(_meaningless(match, span))
        value = _ESCAPE.sub(lambda match: _ESCAPED.get(match.group(1), match.group(1)), inner)
    lexed.tokens.append(Token("STRING", text, span, value))


def _meaningless(match: re.Match[str], string: Span) -> Problem:
    column = string.column + 1 + match.start()
    span = string._replace(column=column, end_column=column + 2)
    message = f"The backslash before `{match.group(1)}` has no effect; remove it, or write `\\\\`."
    return Problem("meaningless-escape", message, span, Severity.WARNING, text=match.group())


def _read_open_string(text: str, span: Span, lexed: Lexed) -> None:
    if not _closes_an_open_string(lexed.tokens):
        message = 'Close the string with `"` before the line ends; a line break in it is `\\n`.'
        lexed.problems.append(Problem("unterminated-string", message, span, text=text))
    lexed.tokens.append(Token("STRING", text, span, text[1:]))
    if text.rstrip().endswith(";"):
        # The statement most likely ended here, so the next one is read on its own.
        lexed.tokens.append(Token("SEMI", ";", span, ";"))


def _closes_an_open_string(tokens: list[Token]) -> bool:
    """Tell whether the statement has an open string already, which runs over several lines."""
    statement = takewhile(lambda token: token.type != "SEMI", reversed(tokens))
    return any(
        token.type == "STRING" and not _COMPLETE.fullmatch(token.text) for token in statement
    )


def _read_number(text: str, span: Span, lexed: Lexed) -> None:
    value = 0
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-0")
        size = int(digits or 0) if len(digits) <= _DIGITS_OF_64_BITS else 2**64
        value = -size if text.startswith("-") else size
        if not -(2**63) <= value < 2**63:
            message = f"Write an integer between -{2**63} and {2**63 - 1}."
            lexed.problems.append(Problem("integer-out-of-range", message, span, text=text))
            value = 0
    elif _FLOAT.fullmatch(text):
        message = "Write a whole number: scale the quantity, such as cents instead of euros."
        lexed.problems.append(Problem("no-floats", message, span, text=text))
    else:
        message = "Write a number in decimal digits only, or a name that does not start with one."
        lexed.problems.append(Problem("bad-number", message, span, text=text))
    lexed.tokens.append(Token("INTEGER", text, span, value))


def _read_at(text: str, span: Span, lexed: Lexed) -> None:
    if text != "@current_unix_time":
        message = "Only `@current_unix_time` may start with `@`."
        lexed.problems.append(Problem("unknown-constant", message, span, text=text))
    lexed.tokens.append(Token("NOW", text, span, text))


def _read_foreign(text: str, span: Span, lexed: Lexed) -> None:
    lexed.tokens.append(Token(FOREIGN, text, span, text))


def _read_other(text: str, span: Span, lexed: Lexed) -> None:
    if text.isspace():
        message = f"Write an ordinary space instead of U+{ord(text):04X}."
        lexed.problems.append(Problem("invisible-character", message, span, text=text))
    else:
        lexed.tokens.append(Token(FOREIGN, text, span, text))


_READERS = {
    "comment": _read_comment,
    "string": _read_string,
    "open": _read_open_string,
    "number": _read_number,
    "at": _read_at,
    "foreign": _read_foreign,
    "other": _read_other,
}
