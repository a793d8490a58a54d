"""The policy we ship: it loads as it is, its tests pass, and they notice any change to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from policies.dialect import read_policy
from policies.model import Entity, Fact
from policies.polar.engine import Engine, Free
from policies.polar.format import format_text
from policies.polar.parser import parse
from policies.polar.program import Program
from policies.polar.soundness import ground_fact
from policies.polar.source import PolicyError, Span
from policies.polar.syntax import (
    And,
    AnyOf,
    Block,
    FixtureUse,
    Literal,
    Matches,
    Or,
    Rule,
    Shorthand,
)
from policies.polar.testing import run_tests
from policies.vocabulary import ACTIONS

RULES = Path(__file__).parents[2] / "policies" / "rules"
SHIPPED = {path.name: path.read_text() for path in sorted(RULES.glob("*.polar"))}
WITHOUT_TESTS = {
    file: re.sub(r'^test ".*?^}\n', "", text, flags=re.MULTILINE | re.DOTALL)
    for file, text in SHIPPED.items()
}

CLIENT, TOOL = Entity("Client", "ci"), Entity("Tool", "code__get_issue")


def compiled(sources: Mapping[str, str]) -> Program:
    return read_policy(sources)


UNCHANGED = compiled(SHIPPED)


@pytest.fixture
def shipped() -> Program:
    return UNCHANGED


class Change(NamedTuple):
    """One edit of one file; `name` says which, for the report of the test."""

    name: str
    file: str
    text: str


def offsets(span: Span) -> tuple[int, int]:
    """Return where *span* begins and ends in its file, in characters."""
    lines = SHIPPED[span.file].splitlines(keepends=True)
    start = sum(map(len, lines[: span.line - 1])) + span.column - 1
    end = sum(map(len, lines[: span.end_line - 1])) + span.end_column - 1
    return start, end


def written_at(span: Span) -> str:
    start, end = offsets(span)
    return SHIPPED[span.file][start:end]


def replaced(what: str, span: Span, replacement: str) -> Change:
    """Return the change that puts *replacement* where *span* is."""
    start, end = offsets(span)
    text = SHIPPED[span.file]
    return Change(f"{what} at {span}", span.file, text[:start] + replacement + text[end:])


def rules() -> Iterator[Rule | Shorthand]:
    """Yield every rule and shorthand as it is written."""
    for file, text in SHIPPED.items():
        for item in parse(file, text).module.items:
            if isinstance(item, Rule):
                yield item
            elif isinstance(item, Block):
                yield from item.shorthands


def deletions() -> Iterator[Change]:
    """Yield the shipped policy less one rule, for each."""
    for rule in rules():
        end = rule.span.end_column + len(";")
        yield replaced("rule", rule.span._replace(end_column=end), "")


def weakenings() -> Iterator[Change]:
    """Yield the shipped policy with one condition of one rule taken to be true, for each."""
    for rule in rules():
        for part in rule.body.parts if isinstance(rule.body, And) else ():
            if not isinstance(part, Matches):
                yield replaced(written_at(part.span), part.span, "true")


def narrowings() -> Iterator[Change]:
    """Yield the shipped policy with one alternative of one rule left out, for each."""
    for rule in rules():
        body = rule.body
        if isinstance(body, Or | AnyOf):
            for left_out in body.parts:
                kept = [written_at(part.span) for part in body.parts if part != left_out]
                yield replaced(written_at(left_out.span), body.span, " or ".join(kept))


def answers(program: Program, file: str) -> Iterator[object]:
    """Yield what the policy answers to each assertion in *file*, as far as the assertion asks."""
    engine = Engine(program, {})
    for test in program.tests:
        if test.span.file != file:
            continue
        steps = [
            program.fixtures[step.name].facts if isinstance(step, FixtureUse) else (step,)
            for step in test.setup
        ]
        own = engine.overlay([(ground_fact(fact), "test") for step in steps for fact in step])
        for one in test.assertions:
            terms = [(parameter.term, parameter.type) for parameter in one.parameters]
            goal = [
                term.value if isinstance(term, Literal) else Free(type_) for term, type_ in terms
            ]
            rows = engine.query(one.predicate, goal, own)
            yield set(rows) if one.iff else bool(rows)


def is_noticed(change: Change) -> bool:
    """Tell whether the policy as changed does not load, or fails a test of the changed file.

    As the tests pass without the change, one fails with it where its answers are others. Looking
    for that alone takes half the time of running the tests, which also explain themselves.
    """
    try:
        program = compiled({**WITHOUT_TESTS, change.file: change.text})
    except PolicyError:
        return True
    pairs = zip(answers(program, change.file), answers(UNCHANGED, change.file), strict=True)
    return any(now != before for now, before in pairs)


def by_name(change: Change) -> str:
    return change.name


def test_the_shipped_policy_loads_as_portable_and_without_a_warning(shipped: Program) -> None:
    assert shipped.warnings == ()


@pytest.mark.parametrize("file", SHIPPED)
def test_a_shipped_file_is_in_canonical_layout(file: str) -> None:
    assert format_text(file, SHIPPED[file]) == SHIPPED[file]


def test_the_tests_in_the_shipped_files_pass(shipped: Program) -> None:
    report = run_tests(shipped, conditions=False)

    assert [str(one) for result in report.results for one in result.failures] == []


@pytest.mark.parametrize("file", SHIPPED)
def test_every_shipped_file_holds_tests_of_its_own(file: str, shipped: Program) -> None:
    assert any(test.span.file == file for test in shipped.tests)


def test_some_test_proves_every_rule(shipped: Program) -> None:
    report = run_tests(shipped, conditions=False)

    assert [str(rule.span) for rule in report.coverage.unproved] == []


@pytest.mark.parametrize("change", list(deletions()), ids=by_name)
def test_a_rule_cannot_be_deleted_unnoticed(change: Change) -> None:
    assert is_noticed(change)


@pytest.mark.parametrize("change", list(weakenings()), ids=by_name)
def test_a_condition_cannot_be_dropped_unnoticed(change: Change) -> None:
    assert is_noticed(change)


@pytest.mark.parametrize("change", list(narrowings()), ids=by_name)
def test_an_alternative_cannot_be_left_out_unnoticed(change: Change) -> None:
    assert is_noticed(change)


@pytest.mark.parametrize(
    ("file", "rule"),
    [
        ("allow.polar", "allow(_, _, _);"),
        ("allow.polar", "may(_, _, _);"),
        ("allow.polar", "is_served(_);"),
        ("types.polar", "has_permission(_, _, _);"),
        ("types.polar", "sees(_, _);"),
        ("types.polar", "uses(_, _);"),
        ("grants.polar", "has_role(_, _, _);"),
        ("gateway.polar", "has_role(_: Actor, _: String);"),
    ],
)
def test_a_rule_that_allows_all_cannot_be_added_unnoticed(file: str, rule: str) -> None:
    assert is_noticed(Change(rule, file, f"{SHIPPED[file]}\n{rule}\n"))


@pytest.mark.parametrize("type_", ACTIONS)
def test_the_blocks_declare_the_actions_the_gateway_asks_about(
    type_: str, shipped: Program
) -> None:
    assert tuple(shipped.types.permissions(type_)) == ACTIONS[type_]


def test_no_type_is_declared_beyond_those_the_gateway_knows(shipped: Program) -> None:
    assert set(shipped.types.blocks) - {""} == {"Client", "User", "Team", "Toolset", *ACTIONS}


def test_a_guarded_tool_is_listed_when_some_call_of_it_could_pass(shipped: Program) -> None:
    facts = [
        Fact("acts_alone", (CLIENT,)),
        Fact("has_role", (CLIENT, "viewer", TOOL)),
        Fact("lease", (CLIENT, "caller", TOOL, 2_000)),
        Fact("has_relation", (TOOL, "server", Entity("Server", "code"))),
        Fact("definition_state", (TOOL, "approved")),
        Fact("has_tag", (TOOL, "guarded")),
        Fact("amount_limit", (TOOL, 500)),
    ]
    engine = Engine(shipped, {})
    own = engine.overlay([(fact, "test") for fact in facts])

    assert engine.select(CLIENT, "call", [TOOL], own, 1_999) == []
    assert engine.select(CLIENT, "call", [TOOL], own, 1_999, possibly=True) == [TOOL]
    assert engine.select(CLIENT, "call", [TOOL], own, 2_000, possibly=True) == []


def test_a_lease_ends_at_its_second(shipped: Program) -> None:
    facts = [
        Fact("acts_alone", (CLIENT,)),
        Fact("lease", (CLIENT, "caller", TOOL, 2_000)),
        Fact("has_relation", (TOOL, "server", Entity("Server", "code"))),
        Fact("definition_state", (TOOL, "approved")),
    ]
    engine = Engine(shipped, {})
    own = engine.overlay([(fact, "test") for fact in facts])

    assert engine.decide(CLIENT, "call", TOOL, own, 1_999)
    assert not engine.decide(CLIENT, "call", TOOL, own, 2_000)
