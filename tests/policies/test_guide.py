"""The guide for security engineers: its examples run, and its tables tell the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.arguments.tests import COMPLEMENTS
from policies.polar.format import format_text
from policies.polar.program import compile_policy
from policies.polar.testing import run_tests
from policies.vocabulary import ACTIONS, SUPPLIED

POLICIES = Path(__file__).parents[2] / "policies"
GUIDE = (POLICIES / "README.md").read_text()
SHIPPED = {path.name: path.read_text() for path in sorted((POLICIES / "rules").glob("*.polar"))}

_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_EXAMPLE = re.compile(r"^```polar\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED_FACT = re.compile(r"^\| `(\w+)\(([^`]*)\)` \|", re.MULTILINE)
_NAMED_ACTIONS = re.compile(r"^\| `([A-Z]\w*)` \| (.*) \|$", re.MULTILINE)

# Facts of a derived predicate would load as well; an admin is not told to state any.
_DERIVED = {"has_permission/3", "may/3", "is_served/1", "sees/2", "uses/2"}


def examples() -> dict[str, str]:
    """Return the policy text of each example by the heading it stands under."""
    found = {}
    for example in _EXAMPLE.finditer(GUIDE):
        *_, heading = _HEADING.findall(GUIDE, 0, example.start())
        found[heading] = example[1]
    return found


def section(heading: str) -> str:
    start = GUIDE.index(f"\n### {heading}\n") + 1
    following = _HEADING.search(GUIDE, start + len("### "))
    return GUIDE[start : following.start() if following else None]


def facts(*headings: str) -> set[str]:
    """Return the facts that the tables under *headings* name, as `name/arity`."""
    rows = [row for heading in headings for row in _NAMED_FACT.findall(section(heading))]
    return {f"{name}/{len(args.split(','))}" for name, args in rows}


EXAMPLES = examples()


def test_there_are_ten_examples_in_order() -> None:
    assert [int(heading.partition(".")[0]) for heading in EXAMPLES] == list(range(1, 11))


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_loads_beside_the_shipped_rules_and_all_tests_pass(heading: str) -> None:
    program = compile_policy({**SHIPPED, "example.polar": EXAMPLES[heading]}, supplied=SUPPLIED)
    report = run_tests(program)

    assert program.warnings == ()
    assert any(result.span.file == "example.polar" for result in report.results)
    assert [str(one) for result in report.results for one in result.failures] == []


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_tests_of_an_example_prove_each_of_its_rules(heading: str) -> None:
    program = compile_policy({**SHIPPED, "example.polar": EXAMPLES[heading]}, supplied=SUPPLIED)
    unproved = {str(rule.span) for rule in run_tests(program).coverage.unproved}

    assert [place for place in unproved if place.startswith("example.polar")] == []


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_is_in_canonical_layout(heading: str) -> None:
    assert format_text("example.polar", EXAMPLES[heading]) == EXAMPLES[heading]


def test_all_examples_together_are_one_policy() -> None:
    together = {f"example{number}.polar": text for number, text in enumerate(EXAMPLES.values())}
    program = compile_policy({**SHIPPED, **together}, supplied=SUPPLIED)

    assert run_tests(program).passed


def test_the_table_of_facts_of_one_call_names_what_the_gateway_supplies() -> None:
    assert facts("Facts of one call") == {*SUPPLIED, "acts_alone/1"}


def test_the_tables_name_every_fact_that_the_shipped_policy_accepts() -> None:
    program = compile_policy(SHIPPED, supplied=SUPPLIED)
    named = facts("Facts that are stored", "Facts that the gateway keeps", "Facts of one call")

    assert named == set(program.schema.signatures) - _DERIVED


def test_each_test_of_a_pattern_stands_beside_its_complement() -> None:
    names = [name for name, _ in _NAMED_FACT.findall(section("Facts of one call"))]

    assert all(names.index(no) == names.index(yes) + 1 for yes, no in COMPLEMENTS.items())


def test_the_table_of_actions_is_that_of_the_gateway() -> None:
    rows = _NAMED_ACTIONS.findall(section("Actions"))

    assert {type_: tuple(re.findall(r"`(\w+)`", row)) for type_, row in rows} == ACTIONS
