"""The argument tests that a policy names, and the facts they supply.

A test of a pattern has three outcomes: it passes and gives its fact, it fails and gives the
complement, or the value is irregular and it gives neither, so that a rule that wants either is
not satisfied. Irregular are: a missing key, a value that is no string, a string over 8 KiB or
with a lone surrogate, what the test itself calls irregular, and a pattern or key that has a
problem.

An array passes if it is not empty and every element does, and fails if it is not empty and every
element does; a mixed array gives neither, as does one with an element that is irregular or an
array itself. In the same way `argument` holds of an array only if its elements are all one and
the same value, of the same type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from policies.arguments.globs import glob_check, glob_problem
from policies.arguments.hosts import host_check, host_problem
from policies.arguments.keys import ABSENT, find
from policies.arguments.paths import path_problem, under_check
from policies.arguments.text import MAX_FACT, MAX_STRING, Check, fits, literal_problem
from policies.model import Entity, Fact

_BEYOND_DOUBLE = 2**53


class _PatternTest(NamedTuple):
    complement: str
    problem: Callable[[str], str | None]
    check: Callable[[str], Check]


_PATTERN_TESTS = {
    "argument_matches": _PatternTest("argument_not_matches", glob_problem, glob_check),
    "argument_under": _PatternTest("argument_not_under", path_problem, under_check),
    "argument_host": _PatternTest("argument_not_host", host_problem, host_check),
}

COMPLEMENTS = {name: test.complement for name, test in _PATTERN_TESTS.items()}
"""The complement of each predicate that tests a pattern."""

_POSITIVE = {name: name for name in COMPLEMENTS} | {no: yes for yes, no in COMPLEMENTS.items()}


@dataclass(frozen=True, slots=True)
class ArgumentTest:
    """One test, named by the predicate that holds when it passes.

    `predicate` is `argument_present`, `argument`, or a key of `COMPLEMENTS`; `key` is a top-level
    key, or a JSON Pointer if it begins with `/`; `pattern` is `None` for the first two.
    Raises `ValueError` for another predicate, or a pattern where none belongs or none where one
    does.
    """

    predicate: str
    key: str
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.predicate not in (*COMPLEMENTS, "argument_present", "argument"):
            raise ValueError(f"{self.predicate} is not an argument test.")
        if (self.pattern is not None) != (self.predicate in COMPLEMENTS):
            raise ValueError(f"{self.predicate} has a pattern too few or too many.")


def run(
    tests: Iterable[ArgumentTest], resource: Entity, arguments: Mapping[str, object]
) -> list[Fact]:
    """Return the facts that hold of *arguments*, at most one for each test, in order."""
    return [fact for fact in outcomes(tests, resource, arguments) if fact is not None]


def outcomes(
    tests: Iterable[ArgumentTest], resource: Entity, arguments: Mapping[str, object]
) -> list[Fact | None]:
    """Return what each test says of *arguments*, in order: a fact, or None where it says nothing.

    *arguments* is decoded JSON: dicts, lists, str, int, float, bool and None. Never raises for
    such values. Call `ambiguous_keys` first: what it names makes an absent key mean little.
    """
    return [_fact(test, resource, find(arguments, test.key)) for test in tests]


def pattern_problem(predicate: str, pattern: str) -> str | None:
    """Return a sentence for the author of a pattern that cannot be right, else `None`.

    *predicate* is a key or a value of `COMPLEMENTS`; any other raises `KeyError`.
    """
    test = _PATTERN_TESTS[_POSITIVE[predicate]]
    return literal_problem("The pattern", pattern) or test.problem(pattern)


def _fact(test: ArgumentTest, resource: Entity, value: object) -> Fact | None:
    if value is ABSENT:
        return None
    if test.pattern is not None:
        return _pattern_fact(test.predicate, resource, test.key, test.pattern, value)
    if test.predicate == "argument_present":
        return Fact("argument_present", (resource, test.key))
    known = _one_value(value)
    return None if known is None else Fact("argument", (resource, test.key, known))


def _pattern_fact(
    predicate: str, resource: Entity, key: str, pattern: str, value: object
) -> Fact | None:
    check = _compiled(predicate, pattern)
    verdict = None if check is None else _verdict(check, value)
    if verdict is None:
        return None
    return Fact(predicate if verdict else COMPLEMENTS[predicate], (resource, key, pattern))


@lru_cache(maxsize=4096)
def _compiled(predicate: str, pattern: str) -> Check | None:
    if pattern_problem(predicate, pattern) is not None:
        return None
    return _PATTERN_TESTS[predicate].check(pattern)


def _verdict(check: Check, value: object) -> bool | None:
    if isinstance(value, str):
        return check(value) if fits(value, MAX_STRING) else None
    if isinstance(value, (list, tuple)) and value:
        return _verdict_of_all(check, value)
    return None


def _verdict_of_all(check: Check, values: Sequence[object]) -> bool | None:
    verdicts: set[bool] = set()
    for value in values:
        verdict = _verdict(check, value) if isinstance(value, str) else None
        if verdict is None:
            return None
        verdicts.add(verdict)
        if len(verdicts) > 1:
            return None
    return verdicts.pop()


def _one_value(value: object) -> str | int | bool | None:
    """Return the value that *value*, or every element of it, is; `None` if a fact cannot say."""
    if not isinstance(value, (list, tuple)):
        return _scalar(value)
    first = _scalar(value[0]) if value else None
    # By type as well, for to Python True equals 1, and 1 equals 1.0.
    same = all(type(other) is type(first) and other == first for other in value)
    return first if same else None


def _scalar(value: object) -> str | int | bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < _BEYOND_DOUBLE else None
    if isinstance(value, str):
        return value if value and fits(value, MAX_FACT) else None
    return None
