"""Which alternatives of which rules a proof uses: a step names a line, and a line may hold many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policies.model import Proof, Step, StepKind
from policies.polar.clauses import FACTS, Arg, Atom, Clause, Comparison, Const, Part, Ref
from policies.polar.possible import POSSIBLE
from policies.polar.program import Program
from policies.polar.values import Held, held_row, key_of, kind, name_of


class Alternatives:
    """The clauses that *program* has of its written rules."""

    def __init__(self, program: Program) -> None:
        self._by_step: dict[tuple[str, str], list[Clause]] = {}
        for key, clauses in program.clauses.items():
            for clause in clauses:
                if clause.rule is not None and not key.startswith(POSSIBLE):
                    self._by_step.setdefault((key, clause.source), []).append(clause)

    @property
    def all(self) -> Iterator[Clause]:
        for clauses in self._by_step.values():
            yield from clauses

    def used(self, proof: Proof) -> Iterator[Clause]:
        """Yield the clauses that steps of *proof* may be made by, mostly one for each."""
        for step in proof.steps:
            if step.kind is StepKind.RULE:
                key = key_of(step.claim.predicate, len(step.claim.args))
                below = [proof.steps[number] for number in step.premises]
                for clause in self._by_step.get((key, step.source), ()):
                    if _made(clause, step, below):
                        yield clause


def _made(clause: Clause, step: Step, below: Sequence[Step]) -> bool:
    """Tell whether *clause* concludes *step* from the steps *below*."""
    bindings: dict[int, Held] = {}
    if len(below) != len(clause.parts) or not _agree(clause, clause.head, step, bindings):
        return False
    return all(
        _shows(clause, part, one, bindings) for part, one in zip(clause.parts, below, strict=True)
    )


def _shows(clause: Clause, part: Part, step: Step, bindings: dict[int, Held]) -> bool:
    if isinstance(part, Atom):
        name = name_of(part.predicate).removeprefix(FACTS)
        is_absent = step.kind is StepKind.ABSENT
        if step.claim.predicate != name or part.negated is not is_absent:
            return False
        return part.negated or _agree(clause, part.args, step, bindings)
    if step.kind is not StepKind.COMPARISON:
        return False
    return step.claim.predicate == (part.operator if isinstance(part, Comparison) else "in")


def _agree(clause: Clause, args: Sequence[Arg], step: Step, bindings: dict[int, Held]) -> bool:
    values = held_row(step.claim.args)
    if len(values) != len(args):
        return False
    for arg, value in zip(args, values, strict=True):
        if isinstance(arg, Const) and arg.value != value:
            return False
        if isinstance(arg, Ref):
            is_type = kind(value) in clause.slots[arg.number].types
            if not is_type or bindings.setdefault(arg.number, value) != value:
                return False
    return True
