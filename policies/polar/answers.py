"""The answers that `assert ... iff ...` lists, and those of a query, in one form to compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from policies.model import Answer, Anything
from policies.polar.clauses import conjunctions
from policies.polar.syntax import Compare, Expression, Literal, Member, Term, Truth, Variable
from policies.polar.values import Held, Row, held, kind

Binding = Mapping[str, Held]


class UnlistedError(ValueError):
    """An `iff` that does not come down to a list of answers."""


def binding_of(names: Sequence[str], row: Iterable[Answer]) -> Binding | None:
    """Return what *row* gives each variable, or None where one would have two values."""
    found: dict[str, Held] = {}
    for name, value in zip(names, map(held, row), strict=True):
        if name:
            both = _met(found.get(name, value), value)
            if both is None:
                return None
            found[name] = both
    return found


def _met(one: Held, other: Held) -> Held | None:
    if one == other or (isinstance(other, Anything) and kind(one) == other.type):
        return one
    return other if isinstance(one, Anything) and kind(other) == one.type else None


def listed(iff: Expression | None, variables: Mapping[str, str | None], now: int) -> Iterator[Row]:
    """Yield the answers that *iff* lists, as values of *variables*, which map names to types.

    A variable that it leaves open stands for every value of its type. Raise `UnlistedError` if it
    does not come down to a list.
    """
    try:
        alternatives = conjunctions(iff)
    except OverflowError:
        raise UnlistedError("its `iff` has too many alternatives.") from None
    for conditions in alternatives:
        bindings: list[Binding] = [{}]
        for condition in sorted(conditions, key=_links):
            bindings = [more for one in bindings for more in _extended(one, condition, now)]
        for binding in bindings:
            yield tuple(
                binding.get(name, Anything(type_ or "value")) for name, type_ in variables.items()
            )


def _links(condition: Expression) -> bool:
    """Tell whether *condition* gives no value but equates two variables, so must come last."""
    return (
        isinstance(condition, Compare)
        and isinstance(condition.left, Variable)
        and isinstance(condition.right, Variable)
    )


def _extended(binding: Binding, condition: Expression, now: int) -> Iterator[Binding]:
    match condition:
        case Truth(value):
            if value:
                yield binding
        case Member(term, options):
            for option in options:
                yield from _equated(binding, term, option, now)
        case Compare("=", left, right):
            yield from _equated(binding, left, right, now)
        case _:
            raise UnlistedError("`iff` takes `in`, `=`, `and`, `or`, `true` and `false`.")


def _equated(binding: Binding, left: Term, right: Term, now: int) -> Iterator[Binding]:
    one, other = _value(binding, left, now), _value(binding, right, now)
    if one is not None and other is not None:
        if one == other:
            yield binding
    elif one is None and isinstance(left, Variable) and other is not None:
        yield {**binding, left.name: other}
    elif isinstance(right, Variable) and one is not None:
        yield {**binding, right.name: one}
    else:
        raise UnlistedError("`iff` equates two variables and gives neither a value.")


def _value(binding: Binding, term: Term, now: int) -> Held | None:
    match term:
        case Literal(value):
            return held(value)
        case Variable(name):
            return binding.get(name)
        case _:
            return now
