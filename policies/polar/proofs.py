"""Proofs as compiled code leaves them, made into proofs as people and programs read them."""

from __future__ import annotations

from collections.abc import Callable

from policies.model import Answer, Fact, Proof, Step, StepKind
from policies.polar.emit import Tag
from policies.polar.runtime import Node
from policies.polar.values import FALSE, TRUE, Row, told

Origin = Callable[[str, Row], str]
"""Tells where a fact comes from, by table (`name/arity`) and row."""

# A proof is made of many small tuples, on the way of a call: skip their constructors' ceremony.
_new = tuple.__new__


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
            claim = _new(Fact, (tag.name, _told(node[1])))
            steps.append(_new(Step, (tag.kind, claim, tag.source, premises)))
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
    return _new(Step, (tag.kind, _new(Fact, (tag.name, _told(row))), source, ()))


def _told(row: Row) -> tuple[Answer, ...]:
    for value in row:
        if value is TRUE or value is FALSE:
            return tuple(map(told, row))
    return row
