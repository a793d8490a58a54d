"""The words every room shares: values, facts, proofs. Frozen, and standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Entity(NamedTuple):
    """One actor or resource, such as `Tool{"github__create_issue"}`."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}{{{quoted(self.id)}}}"


class Anything(NamedTuple):
    """Every value of one type: what an answer holds where a rule leaves an argument open."""

    type: str

    def __str__(self) -> str:
        return f"any {self.type}"


_PRIMITIVES: dict[type, str] = {str: "String", int: "Integer", bool: "Boolean"}

Value = str | int | bool | Entity
"""What a fact may carry. Integers are 64-bit; to a policy no Boolean equals an Integer."""

Answer = Value | Anything


class Fact(NamedTuple):
    """A ground statement, such as `has_role(Client{"ci"}, "caller", Server{"github"})`."""

    predicate: str
    args: tuple[Answer, ...]

    def __str__(self) -> str:
        return f"{self.predicate}({', '.join(map(written, self.args))})"


class StepKind(StrEnum):
    """What makes one line of a proof true."""

    RULE = "rule"
    FACT = "fact"
    ABSENT = "absent"
    COMPARISON = "comparison"


class Step(NamedTuple):
    """One line of a proof.

    `claim` is what holds: the head of a rule, a fact, the fact (or predicate) that is absent, or
    a comparison written as a fact whose predicate is the operator. `source` says where it comes
    from: `file:line` of a rule or of a fact in the policy, else the origin of the fact; several,
    with commas between them, where more than one states it.
    `premises` are indices of earlier steps, in the order in which the rule's body names them.
    """

    kind: StepKind
    claim: Fact
    source: str
    premises: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """Why something holds: steps in an order where premises come first; the last is the goal.

    A flat list, because proofs share parts and may be thousands of steps deep.
    """

    steps: tuple[Step, ...]

    @property
    def goal(self) -> Step:
        return self.steps[-1]

    @property
    def rules(self) -> tuple[str, ...]:
        """`file:line` of each rule used, the deciding one first, without repetition."""
        used = (step.source for step in reversed(self.steps) if step.kind is StepKind.RULE)
        return tuple(dict.fromkeys(used))


def type_name(value: Answer) -> str:
    """Return the Polar type of *value*."""
    return _PRIMITIVES.get(value.__class__) or value.type  # type: ignore[union-attr]


def written(value: Answer) -> str:
    """Return *value* as policy text writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """Return *text* as a string literal of the language, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


class FailureKind(StrEnum):
    """What a condition lacked."""

    MISSING = "missing"
    PRESENT = "present"
    COMPARISON = "comparison"


class Failure(NamedTuple):
    """One condition that did not hold.

    `claim` is the fact that is missing, or that is present and must not be, or the comparison as a
    fact whose predicate is the operator; `Anything` stands where any value would have done.
    `conditions` are the places (`file:line:column`) of the conditions that failed for this reason,
    the outermost first and the one that names the claim last; empty where a fact of the asked
    predicate itself is missing.
    """

    kind: FailureKind
    claim: Fact
    conditions: tuple[str, ...]


class Miss(NamedTuple):
    """How far one way of allowing a question came.

    `rules` are the `file:line` of the rules tried, the outermost first; `failed` is what they
    lacked: the fewer, the nearer.
    """

    rules: tuple[str, ...]
    failed: tuple[Failure, ...]


class Verdict(StrEnum):
    """What came of a question. Only an allow lets anything happen."""

    ALLOW = "allow"
    DENY = "deny"
    UNDECIDED = "undecided"


class Reason(StrEnum):
    """Why, from a closed list. Kept in records: a value is never renamed or reused."""

    GRANTED = "granted"
    NO_RULE = "no_rule"
    NOT_VISIBLE = "not_visible"
    UNKNOWN_METHOD = "unknown_method"
    MALFORMED = "malformed"
    UNDECIDED = "undecided"
    RATE_LIMITED = "rate_limited"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question: whether *actor* may do *action* on *resource*.

    `facts` hold for this question alone; `now` is the Unix second it is asked at.
    """

    actor: Entity
    action: str
    resource: Entity
    facts: tuple[Fact, ...]
    now: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one question, and what it rests on.

    `policy` is the content address of the bundle and `fact_version` that of the facts. `rules` are
    the `file:line` that an allow rests on, the deciding one first.
    """

    verdict: Verdict
    reason: Reason
    policy: str
    fact_version: int
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise `ValueError` for an allow that nothing granted, or a grant that does not allow."""
        if (self.verdict is Verdict.ALLOW) is not (self.reason is Reason.GRANTED):
            raise ValueError("A decision allows if, and only if, it was granted.")

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOW
