"""Goals: what is asked, which of its variables are wanted, and the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.model import Answer, Entity, Value, written
from policies.polar.answers import binding_of
from policies.polar.engine import Engine, Free, Ruling
from policies.polar.parser import parse_goal
from policies.polar.program import Program
from policies.polar.runtime import Limits
from policies.polar.source import PolicyError, Problem, Span
from policies.polar.suggest import did_you_mean
from policies.polar.syntax import Literal, Parameter, Variable
from policies.polar.types import ABSTRACT
from policies.polar.values import held, key_of, told
from proxy.cli.policy.inputs import InputError

PATIENCE = Limits(steps=50_000_000, seconds=120)
"""A person who waits for an answer gives it more time than a gateway has."""

Row = tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """A question: `args` are as the engine takes them, `names` the variable at each place or ""."""

    text: str
    predicate: str
    args: tuple[Value | Free, ...]
    names: tuple[str, ...]

    @property
    def variables(self) -> list[str]:
        """The named variables, each once, in reading order."""
        return list(dict.fromkeys(filter(None, self.names)))


@dataclass(frozen=True, slots=True)
class Found:
    """One answer to a goal: the whole row, what it gives each variable, and its reasons."""

    row: Row
    bindings: Mapping[str, Answer]
    ruling: Ruling


def read_goal(text: str, program: Program, now: int) -> Goal:
    """Return the goal that *text* writes; raise `InputError` if *program* cannot be asked it."""
    try:
        predicate, parameters = parse_goal(text)
    except PolicyError as error:
        raise InputError(error.problems, {"<query>": text}) from error
    problems: list[Problem] = []
    _check_predicate(predicate, parameters, program, text, problems)
    for parameter in parameters:
        _check_type(parameter, program, problems)
    if problems:
        raise InputError(problems, {"<query>": text})
    args = tuple(_argument(parameter, now) for parameter in parameters)
    return Goal(text, predicate, args, tuple(map(_name, parameters)))


def answers(goal: Goal, engine: Engine, now: int) -> list[Found]:
    """Return the answers to *goal* in the order of their text, one for each way to bind it."""
    found: dict[tuple[Answer, ...], Found] = {}
    for row, ruling in engine.explain(goal.predicate, goal.args, now=now):
        binding = binding_of(goal.names, row)
        if binding is not None:
            values = {name: told(value) for name, value in binding.items()}
            places = zip(goal.names, row, strict=True)
            whole = tuple(values[name] if name else value for name, value in places)
            found.setdefault(tuple(map(held, values.values())), Found(whole, values, ruling))
    return sorted(found.values(), key=lambda one: [written(value) for value in one.row])


def _name(parameter: Parameter) -> str:
    term = parameter.term
    return term.name if isinstance(term, Variable) and term.name != "_" else ""


def _argument(parameter: Parameter, now: int) -> Value | Free:
    match parameter.term:
        case Literal(value):
            return value
        case Variable():
            return Free(parameter.type)
    return now


def _check_predicate(
    predicate: str,
    parameters: Sequence[Parameter],
    program: Program,
    text: str,
    problems: list[Problem],
) -> None:
    known = {*program.clauses, *program.stated, *program.schema.signatures}
    if key_of(predicate, len(parameters)) in known:
        return
    names = {key.rpartition("/")[0] for key in known}
    arities = sorted(key.rpartition("/")[2] for key in known if key.startswith(f"{predicate}/"))
    span = Span("<query>", 1, 1, 1, 1 + len(text))
    if arities:
        message = f"`{predicate}` takes {' or '.join(arities)} arguments, not {len(parameters)}."
        problems.append(Problem("arity-conflict", message, span, text=predicate))
    else:
        message = f"the policy has no rule and no fact `{predicate}`."
        hint = did_you_mean(predicate, names)
        problems.append(Problem("unknown-predicate", message, span, hint=hint, text=predicate))


def _check_type(parameter: Parameter, program: Program, problems: list[Problem]) -> None:
    term = parameter.term
    named = parameter.type
    if isinstance(term, Literal) and isinstance(term.value, Entity):
        named = term.value.type
    every = program.types.every
    if named is None or named in every:
        return
    if named in ABSTRACT:
        below = ", ".join(sorted(program.types.below[named]))
        message = (
            f"`{named}` covers {below or 'no type'}, and a question is about exactly one type or, "
            "without a type, about all; name one or leave it out."
        )
        problems.append(Problem("abstract-type", message, parameter.span, text=named))
    else:
        message = f"the policy has no type `{named}`."
        hint = did_you_mean(named, every)
        problems.append(Problem("undeclared-type", message, parameter.span, hint=hint, text=named))
