"""`northgate policy check`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from policies.polar.program import Program, compile_policy
from policies.polar.source import PolicyError, Problem, Severity
from policies.polar.syntax import Block, Module, Rule
from policies.vocabulary import SUPPLIED
from proxy.cli.policy import console, problems
from proxy.cli.policy.console import counted
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import read_policy, texts


def run(paths: Sequence[Path], *, portable: bool, strict: bool, json: bool) -> int:
    sources = read_policy(paths)
    program, found = _checked(sources, portable=portable)
    failed = program is None or (strict and bool(found))
    if json:
        console.print_json(_document(program, found, len(sources), ok=not failed))
    else:
        out = console.out()
        problems.print_problems(out, found, texts(sources))
        out.print(_summary(program, found, len(sources)))
    return Code.NO if failed else Code.GOOD


def _checked(
    sources: dict[str, bytes], *, portable: bool
) -> tuple[Program | None, tuple[Problem, ...]]:
    try:
        program = compile_policy(sources, supplied=SUPPLIED, portable=portable)
    except PolicyError as error:
        return None, error.problems
    return program, program.warnings


def _summary(program: Program | None, found: Iterable[Problem], files: int) -> str:
    severities = [problem.severity for problem in found]
    errors, warnings = (severities.count(one) for one in (Severity.ERROR, Severity.WARNING))
    parts = [counted(files, "file")]
    if program is not None:
        parts += [counted(written_rules(program.modules), "rule"), counted(len(program.tests), "test")]
    parts += [counted(errors, "error")] if errors else []
    parts += [counted(warnings, "warning")] if warnings else []
    return ", ".join(parts)


def _document(
    program: Program | None, found: Iterable[Problem], files: int, *, ok: bool
) -> dict[str, object]:
    return {
        "ok": ok,
        "files": files,
        "rules": written_rules(program.modules) if program else None,
        "tests": len(program.tests) if program else None,
        "problems": [problems.as_json(problem) for problem in found],
    }


def written_rules(modules: Iterable[Module]) -> int:
    """Return how many rules the files of a policy contain, shorthands among them."""
    items = [item for module in modules for item in module.items]
    shorthands = sum(len(item.shorthands) for item in items if isinstance(item, Block))
    return shorthands + sum(isinstance(item, Rule) for item in items)
