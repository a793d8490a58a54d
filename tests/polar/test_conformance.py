"""The policy files beside this one: each exercises one part of the language, with tests inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from policies.model import Fact, Value
from policies.polar.engine import Engine
from policies.polar.program import Program, compile_policy
from policies.polar.soundness import ground_fact
from policies.polar.source import PolicyError, Severity
from policies.polar.syntax import Assertion, Call, FixtureUse, Item, Literal, Module, PolicyTest
from policies.polar.testing import run_tests
from policies.vocabulary import SUPPLIED
from tests.reference.evaluator import Reference

NOW = 1_700_000_000
FILES = Path(__file__).parent / "conformance"


def texts() -> Mapping[str, Mapping[str, str]]:
    """Return the policies by name, each as its texts by file."""
    single = sorted([*FILES.glob("*.polar"), *FILES.glob("beyond/*.polar")])
    found = {path.stem: {path.name: path.read_text(encoding="utf-8")} for path in single}
    parts = sorted(FILES.glob("bundle/*.polar"))
    return {**found, "bundle": {path.name: path.read_text(encoding="utf-8") for path in parts}}


POLICIES = texts()
# Their rules repeat each other, or are not all asked about.
LEFT_UNPROVED = {"01_roles", "02_parent", "alternatives"}
BEYOND = {path.stem for path in FILES.glob("beyond/*.polar")}

each_policy = pytest.mark.parametrize("name", POLICIES)


def compiled(name: str) -> Program:
    return compile_policy(POLICIES[name], supplied=SUPPLIED, portable=name not in BEYOND)


def turned_around(item: Item) -> Item:
    if not isinstance(item, PolicyTest):
        return item
    plain = tuple(one for one in item.assertions if one.iff is None)
    return replace(item, assertions=tuple(replace(one, negated=not one.negated) for one in plain))


@each_policy
def test_the_tests_in_the_file_pass(name: str) -> None:
    report = run_tests(compiled(name), now=NOW)

    assert [str(failure) for result in report.results for failure in result.failures] == []
    assert report.results


@pytest.mark.parametrize("name", sorted(POLICIES.keys() - LEFT_UNPROVED))
def test_every_rule_of_the_file_is_used_by_some_proof(name: str) -> None:
    report = run_tests(compiled(name), now=NOW)

    assert [rule.label for rule in report.coverage.unproved] == []


@each_policy
def test_an_assertion_turned_around_fails(name: str) -> None:
    program = compiled(name)
    modules = tuple(
        Module(module.file, tuple(map(turned_around, module.items))) for module in program.modules
    )
    report = run_tests(replace(program, modules=modules), now=NOW)
    asserted = [one for test in report.results for one in test.failures]
    plain = [one for test in program.tests for one in test.assertions if one.iff is None]

    assert [failure.span for failure in asserted] == [assertion.span for assertion in plain]


@each_policy
def test_the_reference_agrees_with_every_ground_assertion(name: str) -> None:
    program = compiled(name)
    for test in program.tests:
        facts = [fact for step in test.setup for fact in stated(program, step)]
        reference = Reference(program.modules, facts, NOW)
        for assertion in test.assertions:
            if assertion.iff is None and is_ground(assertion):
                held = reference.holds(assertion.predicate, values(assertion))
                assert held != assertion.negated, str(assertion.span)


def stated(program: Program, step: Call | FixtureUse) -> list[Fact]:
    calls = (step,) if isinstance(step, Call) else program.fixtures[step.name].facts
    return [ground_fact(call) for call in calls]


def is_ground(assertion: Assertion) -> bool:
    return all(isinstance(parameter.term, Literal) for parameter in assertion.parameters)


def values(assertion: Assertion) -> tuple[Value, ...]:
    terms = [parameter.term for parameter in assertion.parameters]
    return tuple(term.value for term in terms if isinstance(term, Literal))


@each_policy
def test_no_file_has_anything_to_warn_of_but_open_heads(name: str) -> None:
    codes = {problem.code for problem in compiled(name).warnings}

    assert codes <= {"singleton-variable"}
    assert all(problem.severity is Severity.WARNING for problem in compiled(name).warnings)


@pytest.mark.parametrize("name", sorted(BEYOND))
def test_what_oso_does_not_document_is_refused_where_policies_must_be_portable(name: str) -> None:
    with pytest.raises(PolicyError, match="not-portable"):
        compile_policy(POLICIES[name], supplied=SUPPLIED)


def test_there_are_enough_files_and_each_has_tests_both_ways() -> None:
    assertions = [
        one for name in POLICIES for test in compiled(name).tests for one in test.assertions
    ]

    assert len(POLICIES) >= 30
    assert sum(one.negated for one in assertions) >= 60
    assert sum(one.iff is not None for one in assertions) >= 40


def test_without_facts_a_policy_allows_only_what_it_states_for_everyone() -> None:
    for name in POLICIES:
        program = compiled(name)
        if "allow/3" in program.clauses and not program.stated:
            reference = Reference(program.modules, [], NOW)
            for test in program.tests:
                for assertion in test.assertions:
                    if assertion.predicate == "allow" and is_ground(assertion):
                        args = values(assertion)
                        ruling = Engine(program, {}).holds("allow", args, None, NOW)
                        assert ruling.allowed == reference.holds("allow", args)
