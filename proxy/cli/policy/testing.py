"""`northgate policy test`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from policies.polar.program import Program
from policies.polar.reports import (
    ConditionCoverage,
    Coverage,
    FailedAssertion,
    Report,
    TestResult,
    junit,
)
from policies.polar.source import Span
from policies.polar.testing import run_tests
from proxy.cli.policy import console
from proxy.cli.policy.console import counted, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.goals import PATIENCE
from proxy.cli.policy.inputs import InputError, PolicyFiles, compiled, find_policy


def run(
    paths: Sequence[Path],
    *,
    only: str | None,
    coverage: bool,
    junit_file: Path | None,
    now: int | None,
    portable: bool,
    json: bool,
) -> int:
    files = find_policy(paths)
    report = _report(compiled(files, portable=portable), only, now)
    # What one test exercises says nothing about the others.
    covered = report.coverage if coverage and only is None else None
    if junit_file is not None:
        _write(junit_file, junit(report))
    if json:
        console.print_json(_document(report, covered))
    else:
        _print(console.out(), report)
        if covered is not None:
            _print_gaps(console.out(), covered, files)
        _print_summary(console.out(), report, covered)
    return Code.GOOD if report.passed else Code.NO


def _report(program: Program, only: str | None, now: int | None) -> Report:
    try:
        return run_tests(program, PATIENCE, only, now=now)
    except LookupError as error:
        raise InputError.saying(str(error.args[0])) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError.saying(f"{path}: this cannot be written: {error.strerror}.") from error


def _print(out: Console, report: Report) -> None:
    for result in report.results:
        for failure in result.failures:
            _print_failure(out, result, failure)


def _print_summary(out: Console, report: Report, coverage: Coverage | None) -> None:
    failed = sum(not result.passed for result in report.results)
    passed = len(report.results) - failed
    style = "bold red" if failed else "bold green"
    text = Text(f"{counted(passed, 'test')} passed, {failed} failed", style)
    if coverage is not None:
        conditions = [one.exercised for rule in coverage.rules for one in rule.conditions]
        proved = len(coverage.rules) - len(coverage.unproved)
        text.append(
            f"; {proved} of {counted(len(coverage.rules), 'rule')} proved, "
            f"{sum(conditions)} of {counted(len(conditions), 'condition')} exercised",
            "not bold default",
        )
    out.print(text)


def _print_failure(out: Console, result: TestResult, failure: FailedAssertion) -> None:
    out.print(
        Text.assemble(
            (f"{visible(str(failure.span))}: ", "bold"),
            ("failed", "bold red"),
            f": {visible(result.name)}: {visible(failure.message)}",
        )
    )
    for line in failure.details:
        out.print(f"    {visible(line)}")


def _print_gaps(out: Console, coverage: Coverage, files: PolicyFiles) -> None:
    conditions = _unexercised(coverage)
    for rule in coverage.unproved:
        _print_gap(out, rule.span, f"no test proves {rule.label}")
    lines = {file: text.split("\n") for file, text in files.texts.items()}
    for condition in conditions:
        what = _excerpt(lines[condition.span.file], condition.span)
        _print_gap(out, condition.span, f"no asserted denial rests on {what} alone")


def _unexercised(coverage: Coverage) -> list[ConditionCoverage]:
    """Return the conditions that no test exercises, of rules that some test proves."""
    proved = (rule for rule in coverage.rules if rule.proved)
    return [one for rule in proved for one in rule.conditions if not one.exercised]


def _excerpt(lines: Sequence[str], span: Span) -> str:
    if span.end_line > span.line:
        return lines[span.line - 1][span.column - 1 :].rstrip() + " ..."
    return lines[span.line - 1][span.column - 1 : span.end_column - 1]


def _print_gap(out: Console, span: Span, sentence: str) -> None:
    place = f"{visible(span.file)}:{span.line}:{span.column}: "
    out.print(Text.assemble((place, "bold"), ("untested", "yellow"), f": {visible(sentence)}"))


def _document(report: Report, coverage: Coverage | None) -> dict[str, object]:
    return {
        "ok": report.passed,
        "tests": list(map(_result, report.results)),
        "coverage": None if coverage is None else _coverage(coverage),
    }


def _result(result: TestResult) -> dict[str, object]:
    return {
        "name": result.name,
        **_where(result.span),
        "passed": result.passed,
        "seconds": round(result.seconds, 6),
        "failures": [
            {**_where(one.span), "message": one.message, "details": list(one.details)}
            for one in result.failures
        ],
    }


def _coverage(coverage: Coverage) -> dict[str, object]:
    return {
        "rules": len(coverage.rules),
        "conditions": sum(len(rule.conditions) for rule in coverage.rules),
        "unproved": [{**_where(rule.span), "rule": rule.label} for rule in coverage.unproved],
        "unexercised": [_where(one.span) for one in coverage.unexercised],
    }


def _where(span: Span) -> dict[str, object]:
    return {"file": span.file, "line": span.line, "column": span.column}
