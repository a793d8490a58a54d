"""Proofs as compiled code leaves them, made into proofs as people and programs read them."""

from __future__ import annotations

from collections.abc import Callable

from policies.model import Proof, Step, StepKind
from policies.polar.clauses import Clause
from policies.polar.emit import Tag
from policies.polar.runtime import Node
from policies.polar.values import Row, fact

Origin = Callable[[str, Row], str]
"""Tells where a fact comes from, by predicate (`name/arity`) and row."""


def proof_of(root: Node, origin: Origin) -> Proof:
    """Return the proof whose last step is *root*; steps that occur twice are listed once.

    Works without recursion, since recursive rules make proofs of any depth.
    """
    numbers: dict[int, int] = {}
    claims: dict[tuple[object, Row], int] = {}
    steps: list[Step] = []
    path = [root]
    while path:
        node = path[-1]
        waiting = [below for below in _premises(node) if id(below) not in numbers]
        if id(node) not in numbers and waiting:
            path.extend(reversed(waiting))
            continue
        path.pop()
        if id(node) in numbers:
            continue
        claim = (node[0], node[1])
        if claim not in claims:
            claims[claim] = len(steps)
            premises = tuple(numbers[id(below)] for below in _premises(node))
            steps.append(_step(node, premises, origin))
        numbers[id(node)] = claims[claim]
    return Proof(tuple(steps))


def _premises(node: Node) -> tuple[Node, ...]:
    return node[2] if isinstance(node[0], Clause) else ()


def _step(node: Node, premises: tuple[int, ...], origin: Origin) -> Step:
    tag, row = node[0], node[1]
    if isinstance(tag, Clause):
        return Step(StepKind.RULE, fact(tag.predicate, row), tag.source, premises)
    assert isinstance(tag, Tag)
    claim = fact(tag.predicate, row)
    if tag.kind is StepKind.FACT:
        return Step(tag.kind, claim, origin(tag.predicate, row))
    return Step(tag.kind, claim, "")
