"""Problems, as people read them and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from policies.polar.source import Problem, Severity, Span
from proxy.cli.policy.console import visible

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}
_WIDEST_LINE = 160


def print_problems(
    console: Console, problems: Iterable[Problem], sources: Mapping[str, str]
) -> None:
    """Write each problem with the line of *sources* (text by file) that it is about."""
    lines = {file: text.split("\n") for file, text in sources.items()}
    for problem in problems:
        console.print(_headline(problem))
        if problem.span.file in lines:
            _print_line(console, problem, lines[problem.span.file])
        if problem.hint:
            console.print(Text("    hint: ", "bold").append(visible(problem.hint), "not bold"))


def as_json(problem: Problem) -> dict[str, object]:
    """Return *problem* as JSON; lines and columns count from 1, `end_column` is exclusive.

    A problem that is in no file has an empty `file`, and line 0.
    """
    file, line, column, end_line, end_column = problem.span
    return {
        "file": file,
        "line": line,
        "column": column,
        "end_line": end_line,
        "end_column": end_column,
        "severity": str(problem.severity),
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
    }


def _headline(problem: Problem) -> Text:
    span = problem.span
    place = f"{visible(span.file)}:{span.line}:{span.column}: " if span.file else ""
    what = f"{problem.severity}[{problem.code}]"
    return Text.assemble(
        (place, "bold"), (what, _STYLES[problem.severity]), f": {visible(problem.message)}"
    )


def _print_line(console: Console, problem: Problem, lines: list[str]) -> None:
    span = problem.span
    if not 1 <= span.line <= len(lines):
        return
    line, start, end = _window(lines[span.line - 1].rstrip("\r"), span)
    number = f"{span.line:>5} | "
    shown = visible(line.replace("\t", " "))
    before = cell_len(visible(line[:start].replace("\t", " ")))
    width = cell_len(visible(line[start:end].replace("\t", " "))) or 1
    console.print(Text(number, "dim").append(shown, "not dim"))
    margin = " " * (len(number) - 2) + "| "
    caret = " " * before + "^" * width
    console.print(Text(margin, "dim").append(caret, f"not dim {_STYLES[problem.severity]}"))


def _window(line: str, span: Span) -> tuple[str, int, int]:
    """Return the part of *line* worth showing, and where in it the span starts and ends."""
    start = min(span.column - 1, len(line))
    end = len(line.rstrip()) if span.end_line > span.line else min(span.end_column - 1, len(line))
    end = max(start, end)
    if len(line) <= _WIDEST_LINE:
        return line, start, end
    first = max(0, min(start - _WIDEST_LINE // 4, len(line) - _WIDEST_LINE))
    last = first + _WIDEST_LINE
    return line[first:last], start - first, min(end, last) - first
