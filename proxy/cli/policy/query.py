"""`northgate policy query`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.text import Text

from policies.model import Answer, written
from policies.polar.engine import Engine
from proxy.cli.policy import console
from proxy.cli.policy.console import as_json, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.goals import PATIENCE, Goal, answers, read_goal
from proxy.cli.policy.inputs import compiled, find_policy, load_facts


def run(
    paths: Sequence[Path],
    text: str,
    *,
    facts: Sequence[Path],
    now: int | None,
    portable: bool,
    json: bool,
) -> int:
    program = compiled(find_policy(paths), portable=portable)
    moment = int(time.time()) if now is None else now
    goal = read_goal(text, program, moment)
    engine = Engine(program, load_facts(facts, program), PATIENCE)
    bindings = [found.bindings for found in answers(goal, engine, moment)]
    if json:
        console.print_json(_document(goal, bindings))
    else:
        _print(goal, bindings)
    return Code.GOOD if bindings else Code.NO


def _document(goal: Goal, bindings: Sequence[Mapping[str, Answer]]) -> dict[str, object]:
    return {
        "goal": goal.text,
        "answer": bool(bindings),
        "variables": goal.variables,
        "bindings": [{name: as_json(value) for name, value in one.items()} for one in bindings],
    }


def _print(goal: Goal, bindings: Sequence[Mapping[str, Answer]]) -> None:
    out = console.out()
    if not goal.variables:
        out.print("true" if bindings else "false")
        return
    if not bindings:
        console.err().print("There is no answer.")
        return
    rows = [[Text(visible(name), "bold") for name in goal.variables]]
    rows += [[Text(visible(written(one[name]))) for name in goal.variables] for one in bindings]
    console.print_columns(out, rows)
