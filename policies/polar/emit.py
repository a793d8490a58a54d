"""Code generation: the plans of a shape become Python functions.

The source text is made of names this module makes up; every value of the policy (a string, an id,
a type) reaches the code as an object bound to such a name. Text of a policy is never read as code.

In the text, `x` is the question, `b` and `o` its tables and its own facts, `a0` a given argument,
`v0` a variable and `w0` its type while its value is open, `r0` the row and `p0` the proof of the
condition with that number, `q0` an answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeGuard

from policies.model import Anything, StepKind
from policies.polar.clauses import FACTS, Arg, Atom, Clock, Comparison, Const, OneOf, Part, Ref
from policies.polar.code import Body, Code, Tag
from policies.polar.plan import (
    Alike,
    Among,
    Ask,
    Choose,
    Compare,
    Equal,
    First,
    Lookup,
    Plan,
    Scan,
    Shape,
    Step,
    Stuck,
    Take,
    Typed,
)
from policies.polar.values import BOOLEANS, name_of

_OPERATORS = {"=": "=="}


class Numbering(Protocol):
    """Numbers that the functions of one program agree on."""

    def table(self, predicate: str) -> int: ...

    def shape(self, shape: Shape) -> int: ...

    def is_tabled(self, shape: Shape) -> bool: ...


def emit(
    code: Code, numbering: Numbering, shape: Shape, plans: Sequence[Plan], *, memo: bool
) -> None:
    """Write the function (or, for a tabled shape, the functions) that answer *shape*.

    A direct shape gives `f{number}`; with *memo* it remembers its results for the question. A
    tabled shape gives an opening `t{number}_{i}` for each plan.
    """
    number = numbering.shape(shape)
    given = [f"a{place}" for place in shape.given]
    if numbering.is_tabled(shape):
        for index, plan in enumerate(plans):
            writer = _TabledWriter(code, numbering, shape, f"t{number}_{index}")
            body = writer.opened(given)
            writer.write(plan, plan.steps, body)
    else:
        _DirectWriter(code, numbering, shape, memo=memo).function(f"f{number}", given, plans)


class _Writer(ABC):
    """Writes plans into bodies; what differs between direct and tabled is in the subclasses."""

    def __init__(self, code: Code, numbering: Numbering, shape: Shape) -> None:
        self.code = code
        self.numbering = numbering
        self.shape = shape

    def write(self, plan: Plan, steps: Sequence[Step], body: Body) -> None:
        """Write *steps* of *plan* and what follows them into *body*."""
        for index, step in enumerate(steps):
            if self.suspends(step):
                self.suspend(plan, step, steps[index + 1 :], body)
                return
            self._step(step, body)
        self.finish(plan, body)

    def finish(self, plan: Plan, body: Body) -> None:
        if plan.split is None:
            self._answer(plan, body)
            return
        variable = plan.split.variable
        body.line(f"if v{variable}.__class__ is Anything:")
        branch = body.branch()
        branch.set(f"w{variable}", f"v{variable}[0]")
        end = body.branch()
        self.write(plan.split.wild, plan.split.wild.steps, branch)
        end.line(end.skip)
        self.write(plan.split.bound, plan.split.bound.steps, body)

    @abstractmethod
    def suspends(self, step: Step) -> TypeGuard[Ask]:
        """Tell whether what follows *step* goes into a function of its own."""

    @abstractmethod
    def suspend(self, plan: Plan, step: Ask, rest: Sequence[Step], body: Body) -> None: ...

    @abstractmethod
    def answer(self, key: str, node: str, body: Body) -> None: ...

    def _step(self, step: Step, body: Body) -> None:
        match step:
            case Equal(place, arg):
                body.skip_if(f"a{place} != {self._arg(arg)}")
            case Take(variable, place):
                body.set(f"v{variable}", f"a{place}")
            case Alike(variable):
                body.skip_if(f"kind(v{variable}) != w{variable}")
            case Typed(variable, types):
                body.skip_if(self._not_of(f"v{variable}", types))
            case Lookup():
                self._lookup(step, body)
            case Scan():
                self._scan(step, body)
            case First():
                self._first(step, body)
            case Ask():
                self._ask(step, body)
            case Compare(_, Comparison(operator, left, right)):
                python = _OPERATORS.get(operator, operator)
                body.skip_if(f"not ({self._arg(left)} {python} {self._arg(right)})")
            case Among(_, member):
                options = self.code.constant(frozenset(member.options))
                body.skip_if(f"{self._arg(member.arg)} not in {options}")
            case Choose(_, variable, options):
                body.loop(f"for v{variable} in {self.code.constant(options)}:")
                body.bind(f"v{variable}")
            case Stuck():
                body.line("raise UnboundedError")

    def _lookup(self, step: Lookup, body: Body) -> None:
        row, table = f"r{step.part}", self.numbering.table(step.atom.predicate)
        body.set(row, self._row(step.atom.args))
        absent = f"{row} not in b[{table}].rows and (o[{table}] is None or {row} not in o[{table}])"
        body.skip_if(f"not ({absent})" if step.atom.negated else absent)

    def _scan(self, step: Scan, body: Body) -> None:
        row, table = f"r{step.part}", self.numbering.table(step.atom.predicate)
        key = self._row([step.atom.args[place] for place in step.keys])
        body.loop(f"for {row} in x.scan({table}, {self.code.constant(step.keys)}, {key}):")
        body.bind(row)
        self._bind(row, step.binds, step.repeats, body)

    def _first(self, step: First, body: Body) -> None:
        row, table = f"r{step.part}", self.numbering.table(step.atom.predicate)
        key = self._row([step.atom.args[place] for place in step.keys])
        keys, types = self.code.constant(step.keys), self.code.constant(step.types)
        body.set(row, f"x.first({table}, {keys}, {key}, {types})")
        body.skip_if(f"{row} is None")
        self._bind(row, step.binds, (), body)

    def _ask(self, step: Ask, body: Body) -> None:
        proof = f"p{step.part}"
        call = f"f{self.numbering.shape(step.shape)}({', '.join(['x', *self._given(step)])})"
        if step.atom.negated:
            body.skip_if(f"{call} is not None")
        elif not step.shape.sought:
            body.set(proof, call)
            body.skip_if(f"{proof} is None")
            self._show(step, body)
        else:
            body.loop(f"for q{step.part}, {proof} in {call}.items():")
            body.bind(proof)
            self.bind_answer(step, body)

    def bind_answer(self, step: Ask, body: Body) -> None:
        """Bind what *step* sought from the answer `q`, a tuple in the order of the places."""
        order = {place: index for index, place in enumerate(step.shape.sought)}

        binds = [(variable, order[place]) for variable, place in step.binds]
        self._bind(f"q{step.part}", binds, (), body)
        self._show(step, body)

    def _show(self, step: Ask, body: Body) -> None:
        """Bind what only the proof shows from the claim of the answer's own proof."""
        for variable, place in step.shown:
            body.set(f"v{variable}", f"p{step.part}[1][{place}]")

    def _bind(
        self,
        row: str,
        binds: Iterable[tuple[int, int]],
        repeats: Iterable[tuple[int, int]],
        body: Body,
    ) -> None:
        for variable, place in binds:
            body.set(f"v{variable}", f"{row}[{place}]")
        for variable, place in repeats:
            body.skip_if(f"v{variable} != {row}[{place}]")

    def _given(self, step: Ask) -> list[str]:
        return [self._arg(step.atom.args[place]) for place in step.shape.given]

    def _arg(self, arg: Arg) -> str:
        match arg:
            case Ref(number):
                return f"v{number}"
            case Const(value):
                return self.code.constant(value)
            case Clock():
                return "x.now"

    def _row(self, args: Iterable[Arg]) -> str:
        return _tuple(map(self._arg, args))

    def _not_of(self, name: str, types: frozenset[str]) -> str:
        if types == {"String"}:
            return f"{name}.__class__ is not str"
        if types == {"Integer"}:
            return f"{name}.__class__ is not int"
        if types & {"String", "Integer"}:
            return f"kind({name}) not in {self.code.constant(types)}"
        return f"{name}.__class__ is not Entity or {name}[0] not in {self.code.constant(types)}"

    def _answer(self, plan: Plan, body: Body) -> None:
        sought = [plan.head[place] for place in self.shape.sought]
        variables = [arg.number for arg in sought if isinstance(arg, Ref)]
        open_ = [number for number in variables if number in plan.unbound | plan.wild]
        if len(open_) != len(set(open_)):
            # "Any value, but the same one twice" has no finite form.
            body.line("raise UnboundedError")
            return
        for number in open_:
            if number in plan.unbound:
                types = tuple(Anything(type_) for type_ in sorted(plan.slots[number].types))
                body.loop(f"for v{number} in {self.code.constant(types)}:")
                body.bind(f"v{number}")
        node = self._node(plan, set(open_))
        self.answer(_tuple(map(self._arg, sought)), node, body)

    def _node(self, plan: Plan, told: set[int]) -> str:
        """Return the proof node of the answer; variables not *told* may be open in the claim."""
        proofs = [
            premise
            for number, part in enumerate(plan.parts)
            if (premise := self._premise(number, part, plan))
        ]
        if plan.clause.rule is None:
            return proofs[0]

        def value(arg: Arg) -> str:
            if isinstance(arg, Ref) and arg.number in plan.unbound - told:
                return self.code.constant(Anything(min(plan.slots[arg.number].types)))
            return self._arg(arg)

        clause = plan.clause
        plain = self._is_plain(plan.head, plan)
        tag = Tag(StepKind.RULE, name_of(clause.predicate), plain, source=clause.source)
        head = _tuple(map(value, plan.head))
        return f"({self.code.constant(tag)}, {head}, {_tuple(proofs)})"

    def _premise(self, number: int, part: Part, plan: Plan) -> str:
        match part:
            case OneOf():
                return ""
            case Comparison(operator, left, right):
                tag = Tag(StepKind.COMPARISON, operator, plain=True)
                return f"({self.code.constant(tag)}, {self._row((left, right))})"
            case Atom(predicate, args, negated=True):
                tag = Tag(StepKind.ABSENT, name_of(predicate), self._is_plain(args, plan))
                return f"({self.code.constant(tag)}, {self._row(args)})"
            case Atom(predicate, args) if (table := self.numbering.table(predicate)) >= 0:
                name = name_of(predicate.removeprefix(FACTS))
                tag = Tag(StepKind.FACT, name, self._is_plain(args, plan), table)
                return f"({self.code.constant(tag)}, r{number})"
            case Atom():
                return f"p{number}"

    def _is_plain(self, args: Iterable[Arg], plan: Plan) -> bool:
        return all(
            "Boolean" not in plan.slots[arg.number].types
            if isinstance(arg, Ref)
            else not isinstance(arg, Const) or arg.value not in BOOLEANS
            for arg in args
        )


class _DirectWriter(_Writer):
    def __init__(self, code: Code, numbering: Numbering, shape: Shape, *, memo: bool) -> None:
        super().__init__(code, numbering, shape)
        self.memo = memo

    def function(self, name: str, given: Sequence[str], plans: Sequence[Plan]) -> None:
        lines = [f"def {name}({', '.join(['x', *given])}):"]
        self.code.functions.append(lines)
        body = Body(lines)
        if self.memo:
            number = self.code.constant(self.numbering.shape(self.shape))
            body.line(f"m = {_tuple([number, *given])}")
            body.line("found = x.memory.get(m, x)")
            body.line("if found is not x: return found")
            body.line("x.spent += 1")
            body.line("if x.spent > x.pause: x.check()")
        body.line("b = x.base; o = x.over")
        if self.shape.sought:
            body.line("out = {}")
        for plan in plans:
            body.line("while True:")
            self.write(plan, plan.steps, Body(lines, indent=2))
            lines.append("        break")
        self._return("out" if self.shape.sought else "None", body)

    def _return(self, value: str, body: Body) -> None:
        if self.memo:
            body.line(f"x.memory[m] = found = {value}")
            value = "found"
        body.line(f"return {value}")

    def suspends(self, step: Step) -> TypeGuard[Ask]:  # noqa: ARG002  direct code never waits
        return False

    def suspend(self, plan: Plan, step: Ask, rest: Sequence[Step], body: Body) -> None:
        raise TypeError(plan, step, rest, body)

    def answer(self, key: str, node: str, body: Body) -> None:
        if not self.shape.sought:
            self._return(node, body)
            return
        body.line(f"q = {key}")
        body.line(f"if q not in out: out[q] = {node}")
        body.line(body.skip)


class _TabledWriter(_Writer):
    def __init__(self, code: Code, numbering: Numbering, shape: Shape, name: str) -> None:
        super().__init__(code, numbering, shape)
        self.name = name
        self.resumptions = 0

    def opened(self, parameters: Sequence[str]) -> Body:
        """Begin the function that opens a goal and return its body."""
        body = self._function(self.name, ["run", "goal", *parameters])
        self._prelude(body)
        return body

    def _function(self, name: str, parameters: Sequence[str]) -> Body:
        lines = [f"def {name}({', '.join(parameters)}):"]
        self.code.functions.append(lines)
        return Body(lines)

    def _prelude(self, body: Body) -> None:
        body.line("if goal.done: return")
        body.line("x = run.question; b = x.base; o = x.over")
        # One round, so that "go on to the next candidate" is `continue` at every depth.
        body.loop("for _ in (0,):")

    def suspends(self, step: Step) -> TypeGuard[Ask]:
        return (
            isinstance(step, Ask) and not step.atom.negated and self.numbering.is_tabled(step.shape)
        )

    def suspend(self, plan: Plan, step: Ask, rest: Sequence[Step], body: Body) -> None:
        """Ask a goal, and write *rest* as a function of its own that each answer resumes."""
        self.resumptions += 1
        name = f"{self.name}_{self.resumptions}"
        number, given = self.numbering.shape(step.shape), _tuple(self._given(step))
        body.line(f"run.ask({number}, {given}, {name}, {_tuple(['goal', *body.live])})")
        body.line(body.skip)
        answer, proof = f"q{step.part}", f"p{step.part}"
        resumed = self._function(name, ["run", "frame", answer, proof])
        resumed.line(f"{_tuple(['goal', *body.live])} = frame")
        resumed.live = [*body.live, proof]
        self._prelude(resumed)
        self.bind_answer(step, resumed)
        self.write(plan, rest, resumed)

    def answer(self, key: str, node: str, body: Body) -> None:
        body.line(f"run.answer(goal, {key}, {node})")
        body.line(body.skip if self.shape.sought else "return")


def _tuple(items: Iterable[str]) -> str:
    inside = ", ".join(items)
    return f"({inside},)" if inside else "()"
