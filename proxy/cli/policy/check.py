"""`northgate policy check`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from policies.bundle import BundleError, load
from policies.catalogue import compare
from policies.demands import Demands
from policies.model import Anything, Entity
from policies.polar.program import Program
from policies.polar.source import PolicyError, Problem, Severity
from policies.polar.syntax import Block, Module, Rule
from policies.vocabulary import ACTIONS
from proxy.cli.policy import console, problems
from proxy.cli.policy.console import as_json, counted, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import PolicyFiles, find_policy, placeless, read_offers


def run(
    paths: Sequence[Path], *, portable: bool, strict: bool, offers: Path | None, json: bool
) -> int:
    files = find_policy(paths)
    catalogue = read_offers(offers) if offers else None
    program, found = _checked(files, portable=portable)
    if program is not None and catalogue is not None:
        found = (*found, *compare(program, catalogue))
    failed = program is None or (strict and bool(found))
    if json:
        console.print_json(_document(files, program, found, ok=not failed))
    else:
        out = console.out()
        problems.print_problems(out, found, files.texts)
        if program is not None:
            _print_needs(out, _needs(program))
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
        "demands": [_need(need) for need in _needs(program)] if program else None,
    }


class _Need(NamedTuple):
    """How many facts one question about `resource` may need, and what each adds one more."""

    resource: Entity | Anything
    facts: int
    per_fact_of: list[str]


def _needs(program: Program) -> list[_Need]:
    """Return the needs of any resource of each type, then of those that a rule singles out."""
    demands = Demands.of(program)
    subjects: list[Entity | Anything] = [
        Anything(type_) for type_ in ACTIONS if type_ in program.types.every
    ]
    subjects += sorted({demand.on for demand in demands.tests if isinstance(demand.on, Entity)})
    needs = [
        _Need(one, *demands.worst_case(one if isinstance(one, Entity) else Entity(one.type, "\0")))
        for one in subjects
    ]
    return [need for need in needs if need.facts or need.per_fact_of]


def _print_needs(out: Console, needs: Sequence[_Need]) -> None:
    if needs:
        out.print("Facts that one question can need from the gateway, at most:")
        rows = [[Text(f"  {visible(str(need.resource))}"), Text(_amount(need))] for need in needs]
        console.print_columns(out, rows)


def _amount(need: _Need) -> str:
    amount = counted(need.facts, "fact")
    if need.per_fact_of:
        amount += f", and 1 more for each stored {' or '.join(map(visible, need.per_fact_of))}"
    return amount


def _need(need: _Need) -> dict[str, object]:
    return {
        "resource": as_json(need.resource),
        "facts": need.facts,
        "per_fact_of": need.per_fact_of,
    }


def written_rules(modules: Iterable[Module]) -> int:
    """Return how many rules the files of a policy contain, shorthands among them."""
    items = [item for module in modules for item in module.items]
    shorthands = sum(len(item.shorthands) for item in items if isinstance(item, Block))
    return shorthands + sum(isinstance(item, Rule) for item in items)
