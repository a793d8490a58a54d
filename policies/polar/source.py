"""Places in policy text, and what is wrong there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of one file. Lines and columns count from 1; `end_column` is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    def through(self, last: Span) -> Span:
        """Return the stretch from here to the end of *last*."""
        return Span(self.file, self.line, self.column, last.end_line, last.end_column)


DEFAULT = "default"
"""The file of what no file contains: what `allow` means unless a policy says."""

NOWHERE = Span(DEFAULT, 0, 1, 0, 1)


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with policy text.

    `code` is stable and kebab-case; `message` is one sentence that says what to do; `hint` is an
    optional second one, such as a name that is close. `text` is the offending source text.
    """

    code: str
    message: str
    span: Span
    severity: Severity = Severity.ERROR
    hint: str = ""
    text: str = ""

    def __str__(self) -> str:
        place = f"{self.span.file}:{self.span.line}:{self.span.column}"
        hint = f" {self.hint}" if self.hint else ""
        return f"{place}: {self.severity}[{self.code}]: {self.message}{hint}"


class PolicyError(Exception):
    """Policy text that may not be used.

    `problems` holds everything found, warnings too, in reading order.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.span))
        super().__init__("\n".join(map(str, self.problems)))
