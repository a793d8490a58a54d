"""Proofs as compiled code leaves them, made into proofs as people and programs read them."""

from __future__ import annotations

from collections.abc import Callable

from policies.model import Proof, Step, StepKind
from policies.polar.emit import Tag
from policies.polar.runtime import Node
from policies.polar.values import Row, fact

Origin = Callable[[str, Row], str]
"""Tells where a fact comes from, by table (`name/arity`) and row."""


def proof_of(root: Node, origin: Origin) -> Proof:
    """Return the proof whose last step is *root*; a part that is used twice is listed once.

    Works without recursion, since recursive rules make proofs of any depth.
    """
    numbers: dict[int, int] = {}
    steps: list[Step] = []
    waiting: list[Node | None] = [root]
    opened: list[Node] = []
    while waiting:
        node = waiting.pop()
        if node is None:
            node = opened.pop()
            premises = tuple([numbers[id(below)] for below in node[2]])
            numbers[id(node)] = len(steps)
            tag = node[0]
            steps.append(Step(tag.kind, fact(tag.name, node[1]), tag.source, premises))
        elif id(node) in numbers:
            continue
        elif len(node) == 2:  # noqa: PLR2004  a leaf: no premises
            numbers[id(node)] = len(steps)
            steps.append(_leaf(node, origin))
        else:
            opened.append(node)
            waiting.append(None)
            waiting.extend(reversed(node[2]))
    return Proof(tuple(steps))


def _leaf(node: Node, origin: Origin) -> Step:
    tag: Tag = node[0]
    row: Row = node[1]
    source = origin(tag.table, row) if tag.kind is StepKind.FACT else ""
    return Step(tag.kind, fact(tag.name, row), source)
