"""`northgate policy check`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from policies.bundle import BundleError, load
from policies.polar.program import Program
from policies.polar.source import PolicyError, Problem, Severity
from policies.polar.syntax import Block, Module, Rule
from proxy.cli.policy import console, problems
from proxy.cli.policy.console import counted
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import PolicyFiles, placeless, read_policy


def run(paths: Sequence[Path], *, portable: bool, strict: bool, json: bool) -> int:
    files = read_policy(paths)
    program, found = _checked(files, portable=portable)
    failed = program is None or (strict and bool(found))
    if json:
        console.print_json(_document(files, program, found, ok=not failed))
    else:
        out = console.out()
        problems.print_problems(out, found, files.texts)
        out.print(_summary(files, program, found))
    return Code.NO if failed else Code.GOOD


def _checked(files: PolicyFiles, *, portable: bool) -> tuple[Program | None, tuple[Problem, ...]]:
    try:
        program = load(files.sources, portable=portable, tested=False).program
    except PolicyError as error:
        return None, error.problems
    except BundleError as error:
        return None, tuple(placeless("allows-nothing", problem) for problem in error.problems)
    return program, program.warnings


def _summary(files: PolicyFiles, program: Program | None, found: Iterable[Problem]) -> str:
    severities = [problem.severity for problem in found]
    errors, warnings = (severities.count(one) for one in (Severity.ERROR, Severity.WARNING))
    parts = [counted(len(files.sources), "file")]
    if program is not None:
        parts.append(counted(written_rules(program.modules), "rule"))
        parts.append(counted(len(program.tests), "test"))
    parts += [counted(errors, "error")] if errors else []
    parts += [counted(warnings, "warning")] if warnings else []
    version = f"; version {files.version}" if program is not None else ""
    return ", ".join(parts) + version


def _document(
    files: PolicyFiles, program: Program | None, found: Iterable[Problem], *, ok: bool
) -> dict[str, object]:
    return {
        "ok": ok,
        "version": files.version,
        "files": list(files.sources),
        "rules": written_rules(program.modules) if program else None,
        "tests": len(program.tests) if program else None,
        "problems": [problems.as_json(problem) for problem in found],
    }


def written_rules(modules: Iterable[Module]) -> int:
    """Return how many rules the files of a policy contain, shorthands among them."""
    items = [item for module in modules for item in module.items]
    shorthands = sum(len(item.shorthands) for item in items if isinstance(item, Block))
    return shorthands + sum(isinstance(item, Rule) for item in items)
