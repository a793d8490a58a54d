"""Proofs as compiled code leaves them, made into proofs as people and programs read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from policies.model import Answer, Fact, Proof, Step, StepKind
from policies.polar.code import Tag
from policies.polar.runtime import Node
from policies.polar.values import FALSE, TRUE, Row, told

Origin = Callable[[int, Row], str]
"""Tells where a fact comes from, by the number of its table and its row."""

_MAX_PLAIN = 100
_RULE = StepKind.RULE

# A proof is made of many small tuples, on the way of a call: skip their constructors' ceremony.
_new = tuple.__new__


def proof_of(root: Node, origin: Origin) -> Proof:
    """Return the proof whose last step is *root*.

    Parts that occur more than once are listed once where the proof is large. Works without
    recursion, since recursive rules make proofs of any depth.
    """
    nodes = [root]
    below = []
    for node in nodes:
        below.append(len(nodes))
        if len(node) > 2:  # noqa: PLR2004  more than a leaf: premises
            nodes.extend(node[2])
            if len(nodes) > _MAX_PLAIN:
                return _without_repetition(root, origin)
    # Read backwards, the list has premises first, and those of one node side by side.
    last = len(nodes) - 1
    steps = []
    for place in range(last, -1, -1):
        node = nodes[place]
        if len(node) > 2:  # noqa: PLR2004
            first = last - below[place]
            steps.append(_inner(node, tuple(range(first, first - len(node[2]), -1))))
        else:
            steps.append(_leaf(node, origin))
    return Proof(tuple(steps))


def rules_of(root: Node) -> tuple[str, ...]:
    """Return what `Proof.rules` would say of the proof of *root*, without making the proof."""
    nodes = [root]
    for node in nodes:
        if len(node) > 2:  # noqa: PLR2004  more than a leaf: premises
            nodes.extend(node[2])
            if len(nodes) > _MAX_PLAIN:
                nodes = _distinct(root)
                break
    return tuple(dict.fromkeys([node[0].source for node in nodes if node[0].kind is _RULE]))


def _distinct(root: Node) -> list[Node]:
    """Return *root* and all below it, each once, since parts of a large proof are shared."""
    nodes = [root]
    seen = {id(root)}
    for node in nodes:
        for below in node[2] if len(node) > 2 else ():  # noqa: PLR2004
            if id(below) not in seen:
                seen.add(id(below))
                nodes.append(below)
    return nodes


def _without_repetition(root: Node, origin: Origin) -> Proof:
    numbers: dict[int, int] = {}
    steps: list[Step] = []
    waiting: list[Node | None] = [root]
    opened: list[Node] = []
    while waiting:
        node = waiting.pop()
        if node is None:
            node = opened.pop()
            premises = [numbers[id(below)] for below in node[2]]
            numbers[id(node)] = len(steps)
            steps.append(_inner(node, premises))
        elif id(node) in numbers:
            continue
        elif len(node) > 2:  # noqa: PLR2004
            opened.append(node)
            waiting.append(None)
            waiting.extend(reversed(node[2]))
        else:
            numbers[id(node)] = len(steps)
            steps.append(_leaf(node, origin))
    return Proof(tuple(steps))


def _inner(node: Node, premises: Sequence[int]) -> Step:
    tag: Tag = node[0]
    claim = _new(Fact, (tag.name, node[1] if tag.plain else _told(node[1])))
    return _new(Step, (tag.kind, claim, tag.source, tuple(premises)))


def _leaf(node: Node, origin: Origin) -> Step:
    tag: Tag = node[0]
    claim = _new(Fact, (tag.name, node[1] if tag.plain else _told(node[1])))
    source = origin(tag.table, node[1]) if tag.kind is StepKind.FACT else ""
    return _new(Step, (tag.kind, claim, source, ()))


def _told(row: Row) -> tuple[Answer, ...]:
    for value in row:
        if value is TRUE or value is FALSE:
            return tuple(map(told, row))
    return row
