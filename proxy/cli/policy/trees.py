"""Proofs and near misses, drawn as trees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.text import Text
from rich.tree import Tree

from policies.model import Fact, Failure, FailureKind, Miss, Proof, Step, StepKind, written
from policies.polar.clauses import COMPARE
from policies.polar.source import DEFAULT
from policies.polar.values import held_row
from proxy.cli.policy.console import counted, visible

_GUIDES = "dim"


def claim_text(claim: Fact) -> str:
    """Return *claim* as policy text writes it, a comparison with its operator in the middle."""
    args = [written(arg) for arg in claim.args]
    if claim.predicate in COMPARE and len(args) == 2:  # noqa: PLR2004  a left and a right side
        return f"{args[0]} {claim.predicate} {args[1]}"
    if claim.predicate == "in" and args:
        return f"{args[0]} in [{', '.join(args[1:])}]"
    return str(claim)


def proof_tree(proof: Proof, depth: int) -> Tree:
    """Return *proof* as a tree of at most *depth* levels, in which no step is unfolded twice."""
    return _Drawing(proof, depth).tree()


def miss_tree(misses: Iterable[Miss]) -> Tree:
    """Return what each of *misses* lacked, the nearest first."""
    root = Tree("The nearest misses", guide_style=_GUIDES)
    for miss in misses:
        rules = list(map(_place, miss.rules))
        branch = root.add(
            Text.assemble("by ", (", ".join(rules), "cyan")) if rules else "by a fact"
        )
        # One claim may have failed several conditions.
        failures = {(failure.kind, failure.claim): failure for failure in reversed(miss.failed)}
        for failure in reversed(failures.values()):
            branch.add(_lacking(failure))
    return root


def _lacking(failure: Failure) -> Text:
    claim = visible(claim_text(failure.claim))
    match failure.kind:
        case FailureKind.MISSING:
            text = Text.assemble(("missing: ", "bold"), claim)
        case FailureKind.PRESENT:
            text = Text.assemble(("in the way: ", "bold"), claim)
        case _:
            text = Text.assemble(("not so: ", "bold"), claim)
    if failure.conditions:
        text.append(f"  {visible(failure.conditions[-1])}", "cyan")
    return text


@dataclass(slots=True)
class _Branch:
    """A step to be drawn below *tree*, *level* levels down."""

    tree: Tree
    step: int
    level: int


class _Drawing:
    """One tree in the making. No recursion, since a proof may be thousands of steps deep."""

    def __init__(self, proof: Proof, depth: int) -> None:
        self.steps = _merged(proof.steps)
        self.depth = depth
        uses = Counter(below for step in self.steps for below in step.premises)
        self.shared = {
            step for step, count in uses.items() if count > 1 and self.steps[step].premises
        }
        self.numbers: dict[int, int] = {}
        self.drawn: set[int] = set()

    def tree(self) -> Tree:
        goal = len(self.steps) - 1
        root = Tree(self._label(goal), guide_style=_GUIDES)
        waiting = [_Branch(root, goal, 1)]
        while waiting:
            branch = waiting.pop()
            below = self._unfold(branch)
            waiting += reversed(below)
        return root

    def _unfold(self, branch: _Branch) -> list[_Branch]:
        """Draw *branch* and return what is to be drawn below it."""
        number, step = branch.step, self.steps[branch.step]
        if branch.level > 1:
            branch.tree = branch.tree.add(self._label(number))
        if not step.premises or number in self.drawn:
            return []
        if branch.level >= self.depth:
            more = counted(self._below(number), "more step")
            branch.tree.add(Text(f"... {more}", "dim"))
            return []
        self.drawn.add(number)
        return [_Branch(branch.tree, below, branch.level + 1) for below in step.premises]

    def _below(self, number: int) -> int:
        """Return how many steps *number* rests on that are not drawn."""
        found: set[int] = set()
        waiting = list(self.steps[number].premises)
        while waiting:
            step = waiting.pop()
            if step not in found and step not in self.drawn:
                found.add(step)
                waiting += self.steps[step].premises
        return len(found)

    def _label(self, number: int) -> Text:
        step = self.steps[number]
        label = _claimed(step)
        if number in self.drawn and step.premises:
            return label.append(f"  as in [{self.numbers[number]}]", "dim")
        label.append(f"  {_origin(step)}", "cyan")
        if number in self.shared:
            mark = self.numbers.setdefault(number, len(self.numbers) + 1)
            label = Text(f"[{mark}] ", "dim").append_text(label)
        return label


def _merged(steps: Sequence[Step]) -> list[Step]:
    """Return *steps* so that premises are the first of those that claim the same alike."""
    firsts: dict[object, int] = {}
    same = [
        firsts.setdefault((step.kind, step.claim.predicate, held_row(step.claim.args)), number)
        for number, step in enumerate(steps)
    ]
    return [step._replace(premises=tuple(same[n] for n in step.premises)) for step in steps]


def _claimed(step: Step) -> Text:
    claim = visible(claim_text(step.claim))
    return Text(f"not {claim}" if step.kind is StepKind.ABSENT else claim, "not dim")


def _origin(step: Step) -> str:
    match step.kind:
        case StepKind.RULE:
            return _place(step.source)
        case StepKind.FACT:
            return f"fact, {visible(step.source)}"
        case StepKind.ABSENT:
            return "no such fact"
    return "compared"


def _place(source: str) -> str:
    return "the default rule for allow" if source == DEFAULT else visible(source)
