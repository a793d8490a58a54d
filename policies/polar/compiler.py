"""From clauses to callable functions: which shapes there are, how each is compiled, and when.

Shapes are found and compiled the first time a question needs them; a lock makes that safe from
several threads. What is compiled is never changed afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any, TypeVar

from policies.polar.clauses import FACTS, Clause
from policies.polar.code import Code
from policies.polar.emit import emit
from policies.polar.modes import find_modes
from policies.polar.plan import Plan, Shape
from policies.polar.planner import Planner
from policies.polar.runtime import BudgetExceededError, Tabled, entrance
from policies.polar.values import name_of

_MAX_DIRECT_DEPTH = 60
_MAX_SHAPES = 3_000

Node = TypeVar("Node", bound=Hashable)


class Compiler:
    """Compiles shapes of the derived predicates *clauses* on demand."""

    def __init__(
        self, clauses: Mapping[str, Sequence[Clause]], every: frozenset[str], tables: Sequence[str]
    ) -> None:
        self.tables = tuple(tables)
        self.modes = find_modes(clauses)
        self._planner = Planner(clauses, self.modes, every)
        self._table_numbers = {name: number for number, name in enumerate(tables)}
        self._lock = Lock()
        self._numbers: dict[Shape, int] = {}
        self._functions: dict[Shape, Callable[..., Any]] = {}
        self._tabled: dict[int, Tabled] = {}
        self._tabled_shapes: set[Shape] = set()
        self._depths: dict[Shape, int] = {}
        self._names: dict[str, Any] = {}

    def function(self, shape: Shape) -> Callable[..., Any]:
        """Return the function that answers *shape*: the question, then the given values."""
        found = self._functions.get(shape)
        if found is None:
            with self._lock:
                if shape not in self._functions:
                    self._compile(shape)
            found = self._functions[shape]
        return found

    def shapes(self) -> list[Shape]:
        """Return the shapes compiled so far."""
        return list(self._functions)

    def table(self, predicate: str) -> int:
        """Return the number of the table of a fact predicate, -1 for a derived one."""
        if predicate in self._planner.clauses:
            return -1
        return self._table_numbers[predicate.removeprefix(FACTS)]

    def shape(self, shape: Shape) -> int:
        return self._numbers.setdefault(shape, len(self._numbers))

    def is_tabled(self, shape: Shape) -> bool:
        return shape in self._tabled_shapes

    def _compile(self, root: Shape) -> None:
        plans = self._explore(root)
        graph = {shape: _callees(found) for shape, found in plans.items()}
        groups = components(graph)
        self._choose(groups, graph)
        shared = _shared(plans)
        code = Code()
        for shape, found in plans.items():
            emit(code, self, shape, found, memo=shape in shared)
        self._load(code, plans)

    def _explore(self, root: Shape) -> dict[Shape, list[Plan]]:
        """Return the plans of *root* and of every shape it leads to that is not compiled yet."""
        found: dict[Shape, list[Plan]] = {}
        waiting = [root]
        while waiting:
            shape = waiting.pop()
            if len(found) > _MAX_SHAPES:
                raise BudgetExceededError(
                    f"the rules behind `{name_of(root.predicate)}` can be asked in more than "
                    f"{_MAX_SHAPES} forms; give their variables types"
                )
            if shape not in found and shape not in self._functions:
                found[shape] = self._planner.plans(shape)
                waiting += _callees(found[shape])
        return found

    def _choose(self, groups: Iterable[list[Shape]], graph: Mapping[Shape, set[Shape]]) -> None:
        """Decide which shapes are tabled: those that recurse, or all where calls nest too deep."""
        for group in groups:
            inside = set(group)
            below = {callee for shape in group for callee in graph[shape]} - inside
            depth = 1 + max((self._depths[callee] for callee in below), default=0)
            self._depths.update(dict.fromkeys(group, depth))
            if len(group) > 1 or group[0] in graph[group[0]]:
                self._tabled_shapes |= inside
        if max(self._depths.values()) > _MAX_DIRECT_DEPTH:
            self._tabled_shapes |= set(graph)

    def _load(self, code: Code, plans: Mapping[Shape, Sequence[Plan]]) -> None:
        names = {**self._names, **code.names}
        exec(compile(code.text(), "<policy>", "exec"), names)  # noqa: S102  names only, no policy text
        for shape, found in plans.items():
            number = self._numbers[shape]
            if shape in self._tabled_shapes:
                openings = tuple(names[f"t{number}_{index}"] for index in range(len(found)))
                self._tabled[number] = Tabled(number, not shape.sought, openings)
                names[f"f{number}"] = entrance(self._tabled, number)
        functions = {shape: names[f"f{self._numbers[shape]}"] for shape in plans}
        self._names.update({f"f{self._numbers[shape]}": functions[shape] for shape in plans})
        # Last, and at once: a thread that finds one of these calls the others without asking.
        self._functions.update(functions)


def _callees(plans: Iterable[Plan]) -> set[Shape]:
    return {shape for plan in plans for shape, _ in plan.asked()}


def _shared(plans: Mapping[Shape, Sequence[Plan]]) -> set[Shape]:
    """Return the shapes worth remembering: asked from several places, or from inside a loop."""
    seen: set[Shape] = set()
    shared: set[Shape] = set()
    for found in plans.values():
        for plan in found:
            for shape, looped in plan.asked():
                if looped or shape in seen:
                    shared.add(shape)
                seen.add(shape)
    return shared


def components(graph: Mapping[Node, Iterable[Node]]) -> list[list[Node]]:
    """Return the strongly connected components of *graph*, callees before callers.

    Tarjan's algorithm without recursion: policies may chain rules as deep as they like. Nodes that
    are no key of *graph* are left out.
    """
    order: dict[Node, int] = {}
    low: dict[Node, int] = {}
    open_: list[Node] = []
    found: list[list[Node]] = []
    for start in graph:
        if start in order:
            continue
        order[start] = low[start] = len(order)
        open_.append(start)
        path = [(start, iter(graph[start]))]
        while path:
            node, callees = path[-1]
            callee = next((one for one in callees if one in graph), None)
            if callee is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    found.append(_closed(open_, node, low, len(graph)))
            elif callee not in order:
                order[callee] = low[callee] = len(order)
                open_.append(callee)
                path.append((callee, iter(graph[callee])))
            else:
                low[node] = min(low[node], low[callee])
    return found


def _closed(open_: list[Node], root: Node, low: dict[Node, int], beyond: int) -> list[Node]:
    """Take the component of *root* off *open_*; *beyond* marks its nodes as finished."""
    group: list[Node] = []
    while not group or group[-1] != root:
        group.append(open_.pop())
    low.update(dict.fromkeys(group, beyond))
    return group
