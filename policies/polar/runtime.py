"""What compiled policy runs on: one question's view of the facts, its budget, and tabling.

Compiled functions are of two kinds. A *direct* function answers by plain nested code. Shapes that
recurse are *tabled*: each distinct sub-question becomes a `Goal` that is opened once and remembers
who waits for its answers, so evaluation ends on cyclic facts, and a worklist replaces the call
stack, so depth costs memory only.

A question with nothing sought answers with a proof node or None, any other with a dict from the
sought values to proof nodes. A node is a plain tuple, `(tag, row)` or `(tag, row, premises)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from policies.polar.tables import Places, Table, keyed
from policies.polar.values import Row, kind

Node = tuple[Any, ...]
Answers = dict[Row, Node]
Overlay = Sequence[Mapping[Row, str] | None]
"""The facts of one question by table number; the values say where each comes from."""

_STEPS_BETWEEN_CHECKS = 512


class UndecidedError(Exception):
    """The question was not answered; that is never an allow."""


class BudgetExceededError(UndecidedError):
    """The question took more steps, or more time, than it may."""


class UnboundedError(UndecidedError):
    """The answers cannot be listed: nothing but a negation or comparison restricts a value."""

    def __init__(self) -> None:
        super().__init__(
            "its answers cannot be listed, because a rule restricts a value only by a negation or "
            "a comparison; ask about one value, or add a condition that binds it"
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question may cost; `steps` are rows looked at plus sub-questions opened."""

    steps: int = 1_000_000
    seconds: float = 1.0


class Question:
    """One evaluation: read-only facts, a few facts of its own, a memory and a budget.

    `base` and `over` are numbered by table, as the compiled functions are.
    """

    __slots__ = ("base", "deadline", "limits", "memory", "now", "over", "pause", "spent")

    def __init__(self, base: Sequence[Table], over: Overlay, now: int, limits: Limits) -> None:
        self.base = base
        self.over = over
        self.now = now
        self.limits = limits
        self.memory: dict[Any, Any] = {}
        self.spent = 0
        self.pause = 0
        self.deadline = 0.0

    def check(self) -> None:
        """Raise if the budget is spent; else set the next moment to check."""
        now = perf_counter()
        if not self.deadline:
            self.deadline = now + self.limits.seconds
        if self.spent > self.limits.steps:
            raise BudgetExceededError(f"more than {self.limits.steps} steps")
        if now > self.deadline:
            raise BudgetExceededError(f"more than {self.limits.seconds} seconds")
        self.pause = min(self.spent + _STEPS_BETWEEN_CHECKS, self.limits.steps)

    def scan(self, table: int, places: Places, key: Row) -> Iterable[Row]:
        """Return the facts whose arguments at *places* are *key*, the question's own last."""
        rows = self.base[table].find(places, key)
        own = self.over[table]
        if own:
            rows = [*rows, *(row for row in own if keyed(row, places) == key)]
        self.spent += len(rows)  # type: ignore[arg-type]
        if self.spent > self.pause:
            self.check()
        return rows

    def first(
        self, table: int, places: Places, key: Row, types: Sequence[tuple[int, frozenset[str]]]
    ) -> Row | None:
        """Return some row that `scan` finds with values of *types* at their places."""
        for row in self.scan(table, places, key):
            if all(kind(row[place]) in wanted for place, wanted in types):
                return row
        return None


class Goal:
    """One tabled sub-question: the answers so far and who waits for them."""

    __slots__ = ("answers", "done", "key", "single", "waiting")

    def __init__(self, key: tuple[Any, ...], *, single: bool) -> None:
        self.key = key
        self.single = single
        self.done = False
        self.answers: Answers = {}
        self.waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []


@dataclass(frozen=True, slots=True)
class Tabled:
    """The compiled clauses of a tabled shape; `single` if nothing is sought."""

    number: int
    single: bool
    openings: Sequence[Callable[..., None]]


class Run:
    """A worklist evaluation of one tabled question, over as many goals as it takes."""

    __slots__ = ("agenda", "goals", "question", "shapes")

    def __init__(self, question: Question, shapes: Mapping[int, Tabled]) -> None:
        self.question = question
        self.shapes = shapes
        self.goals: dict[tuple[Any, ...], Goal] = {}
        self.agenda: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def goal(self, number: int, given: Row) -> Goal:
        """Return the goal of shape *number* for *given*, opened if it is new."""
        key = (number, *given)
        goal = self.goals.get(key)
        if goal is None:
            shape = self.shapes[number]
            goal = self.goals[key] = Goal(key, single=shape.single)
            arguments = (goal, *given)
            self.agenda.extend((opening, arguments) for opening in reversed(shape.openings))
        return goal

    def ask(
        self, number: int, given: Row, resume: Callable[..., None], frame: tuple[Any, ...]
    ) -> None:
        """Call *resume* with *frame* for each answer of a goal, those that come later too."""
        goal = self.goal(number, given)
        self.agenda.extend((resume, (frame, *answer)) for answer in goal.answers.items())
        if not goal.done:
            goal.waiting.append((resume, frame))

    def answer(self, goal: Goal, values: Row, node: Node) -> None:
        """Add an answer to *goal* and wake who waits for it."""
        if values in goal.answers:
            return
        goal.answers[values] = node
        self.agenda.extend((resume, (frame, values, node)) for resume, frame in goal.waiting)
        if goal.single:
            goal.done = True
            goal.waiting.clear()

    def solve(self, number: int, given: Row) -> Goal:
        """Work until the goal is answered whole, and remember what else was answered whole."""
        root = self.goal(number, given)
        question, agenda = self.question, self.agenda
        while agenda and not root.done:
            question.spent += 1
            if question.spent > question.pause:
                question.check()
            task, arguments = agenda.pop()
            task(self, *arguments)
        finished = not agenda
        for key, goal in self.goals.items():
            if goal.done or finished:
                question.memory[key] = result(goal)
        return root


def result(goal: Goal) -> Any:  # noqa: ANN401  a node, None, or a dict of answers
    return goal.answers.get(()) if goal.single else goal.answers


def entrance(shapes: Mapping[int, Tabled], number: int) -> Callable[..., Any]:
    """Return the direct function that asks tabled shape *number*."""

    def ask(question: Question, *given: Any) -> Any:  # noqa: ANN401  held values in, a result out
        key = (number, *given)
        found = question.memory.get(key, question)
        if found is question:
            found = result(Run(question, shapes).solve(number, given))
            question.memory[key] = found
        return found

    return ask
