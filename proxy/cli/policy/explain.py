"""`northgate policy explain`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from policies.model import Fact, Failure, Miss, Proof, Step, written
from policies.polar.engine import Engine
from policies.polar.misses import nearest_misses
from proxy.cli.policy import console
from proxy.cli.policy.console import as_json, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.goals import PATIENCE, Found, Goal, answers, read_goal
from proxy.cli.policy.inputs import compiled, find_policy, load_facts
from proxy.cli.policy.trees import claim_text, miss_tree, proof_tree

Explained = tuple[Found, Proof]


def run(
    paths: Sequence[Path],
    text: str,
    *,
    facts: Sequence[Path],
    now: int | None,
    depth: int,
    portable: bool,
    json: bool,
) -> int:
    program = compiled(find_policy(paths), portable=portable)
    moment = int(time.time()) if now is None else now
    goal = read_goal(text, program, moment)
    engine = Engine(program, load_facts(facts, program), PATIENCE)
    explained = [
        (found, found.ruling.proof or Proof(())) for found in answers(goal, engine, moment)
    ]
    misses = []
    if not explained:
        misses = nearest_misses(engine, goal.predicate, goal.args, now=moment)
    if json:
        console.print_json(_document(goal, explained, misses))
    elif explained:
        _print_proofs(goal, explained, depth)
    else:
        _print_misses(goal, misses)
    return Code.GOOD if explained else Code.NO


def _print_proofs(goal: Goal, explained: Sequence[Explained], depth: int) -> None:
    out = console.out()
    for number, (found, proof) in enumerate(explained):
        if number:
            out.print()
        if goal.variables:
            bound = ", ".join(f"{name} = {written(v)}" for name, v in found.bindings.items())
            out.print(Text(visible(bound), "bold"))
        if proof.steps:
            out.print(proof_tree(proof, depth), soft_wrap=False)


def _print_misses(goal: Goal, misses: Sequence[Miss]) -> None:
    out = console.out()
    out.print(Text.assemble((visible(goal.text), "bold"), " does not hold."))
    if misses:
        out.print(miss_tree(misses), soft_wrap=False)
    else:
        out.print("No rule comes near it.")


def _document(
    goal: Goal, explained: Sequence[Explained], misses: Sequence[Miss]
) -> dict[str, object]:
    return {
        "goal": goal.text,
        "answer": bool(explained),
        "proofs": [
            {
                "bindings": {name: as_json(value) for name, value in found.bindings.items()},
                "rules": list(proof.rules),
                "steps": list(map(step_document, proof.steps)),
            }
            for found, proof in explained
        ],
        "misses": [
            {"rules": list(miss.rules), "failed": list(map(failure_document, miss.failed))}
            for miss in misses
        ],
    }


def step_document(step: Step) -> dict[str, object]:
    return {
        "kind": str(step.kind),
        **_claim(step.claim),
        "source": step.source,
        "premises": list(step.premises),
    }


def failure_document(failure: Failure) -> dict[str, object]:
    return {
        "kind": str(failure.kind),
        **_claim(failure.claim),
        "conditions": list(failure.conditions),
    }


def _claim(claim: Fact) -> dict[str, object]:
    return {
        "claim": claim_text(claim),
        "predicate": claim.predicate,
        "args": list(map(as_json, claim.args)),
    }
