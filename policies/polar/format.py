"""The one layout of policy text, so that a change shows what it changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from policies.polar.items import BLOCK_WORDS, Mark, items_of, structure_of
from policies.polar.layout import STEP, layout, layout_as_written
from policies.polar.lexer import Comment, Token, lex
from policies.polar.parser import parse
from policies.polar.source import PolicyError, Severity


def format_text(file: str, text: str) -> str:
    """Return *text* in canonical layout: the same policy, with every comment where it was.

    Formatting the result again changes nothing. Raises `PolicyError` when *text* does not parse.
    """
    problems = parse(file, text).problems
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        raise PolicyError(errors)
    lexed = lex(file, text)
    page = _Page(lexed.comments)
    for statement, mark in _statements(lexed.tokens):
        page.write(statement, mark)
    return page.finish()


def _statements(tokens: Sequence[Token]) -> Iterator[tuple[Sequence[Token], Mark]]:
    """Yield what gets lines of its own: headers up to `{`, statements up to `;`, and each `}`."""
    for item in items_of(tokens):
        if item[0].type not in BLOCK_WORDS:
            yield item, Mark.ENDS
            continue
        start = 0
        for index, mark in structure_of(item):
            if mark is not Mark.NONE:
                yield item[start : index + 1], mark
                start = index + 1


class _Page:
    """The lines written so far, and the comments that are still to be placed."""

    def __init__(self, comments: Sequence[Comment]) -> None:
        self._comments = deque(comments)
        self._lines: list[str] = []
        self._indent = 0
        self._source_line = 0
        self._just_opened = False

    def write(self, statement: Sequence[Token], mark: Mark) -> None:
        for comment in self._comments_before(statement[0]):
            self._place(comment)
        inside = list(self._comments_before(statement[-1]))
        if mark is Mark.CLOSES:
            self._indent -= 1
            self._close(statement[0])
            return
        self._keep_blank_line(statement[0].span.line)
        lines = layout_as_written(statement, inside) if inside else layout(statement, self._indent)
        self._add(lines, statement[-1].span.line)
        if mark is Mark.OPENS:
            self._just_opened = True
            self._indent += 1

    def finish(self) -> str:
        for comment in self._comments:
            self._place(comment)
        return "".join(f"{line}\n" for line in self._lines)

    def _comments_before(self, token: Token) -> Iterator[Comment]:
        while self._comments and self._comments[0].span < token.span:
            yield self._comments.popleft()

    def _place(self, comment: Comment) -> None:
        if comment.own_line:
            self._keep_blank_line(comment.span.line)
            self._add([comment.text], comment.span.line)
        else:
            self._lines[-1] += f"  {comment.text}"
        self._just_opened = False

    def _close(self, brace: Token) -> None:
        if self._just_opened:
            self._lines[-1] += "}"
            self._just_opened = False
            self._source_line = brace.span.line
        else:
            self._add(["}"], brace.span.line)

    def _keep_blank_line(self, source_line: int) -> None:
        if self._lines and not self._just_opened and source_line > self._source_line + 1:
            self._lines.append("")

    def _add(self, lines: Sequence[str], last_source_line: int) -> None:
        self._lines += [STEP * self._indent + line for line in lines]
        self._source_line = last_source_line
        self._just_opened = False
