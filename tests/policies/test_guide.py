"""The guide for security engineers: its examples run, and its tables tell the truth."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from policies.arguments.tests import COMPLEMENTS
from policies.dialect import read_policy
from policies.polar.format import format_text
from policies.polar.program import Program
from policies.polar.reports import Report
from policies.polar.source import PolicyError
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


@cache
def loaded(heading: str) -> tuple[Program, Report]:
    """Return the example beside the shipped rules, and what became of the tests of both."""
    program = read_policy({**SHIPPED, "example.polar": EXAMPLES[heading]})
    return program, run_tests(program, conditions=False)


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_loads_beside_the_shipped_rules_and_all_tests_pass(heading: str) -> None:
    program, report = loaded(heading)

    assert program.warnings == ()
    assert any(result.span.file == "example.polar" for result in report.results)
    assert [str(one) for result in report.results for one in result.failures] == []


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_tests_of_an_example_prove_each_of_its_rules(heading: str) -> None:
    _, report = loaded(heading)
    unproved = [rule.span for rule in report.coverage.unproved]

    assert [span for span in unproved if span.file == "example.polar"] == []


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_is_in_canonical_layout(heading: str) -> None:
    assert format_text("example.polar", EXAMPLES[heading]) == EXAMPLES[heading]


def test_all_examples_together_are_one_policy() -> None:
    together = {f"example{number}.polar": text for number, text in enumerate(EXAMPLES.values())}
    program = read_policy({**SHIPPED, **together})

    assert run_tests(program, conditions=False).passed


def test_the_table_of_facts_of_one_call_names_what_the_gateway_supplies() -> None:
    assert facts("Facts of one call") == {*SUPPLIED, "acts_alone/1"}


def test_the_tables_name_every_fact_that_the_shipped_policy_accepts() -> None:
    program = read_policy(SHIPPED)
    named = facts("Facts that are stored", "Facts that the gateway keeps", "Facts of one call")

    assert named == set(program.schema.signatures) - _DERIVED


def test_each_test_of_a_pattern_stands_beside_its_complement() -> None:
    names = [name for name, _ in _NAMED_FACT.findall(section("Facts of one call"))]

    assert all(names.index(no) == names.index(yes) + 1 for yes, no in COMPLEMENTS.items())


def test_the_table_of_actions_is_that_of_the_gateway() -> None:
    rows = _NAMED_ACTIONS.findall(section("Actions"))

    assert {type_: tuple(re.findall(r"`(\w+)`", row)) for type_, row in rows} == ACTIONS


_CALL = 'has_permission(actor: Actor, "call", tool: Tool) if has_role(actor, "caller", tool) and '


@pytest.mark.parametrize(
    "text",
    [
        _CALL + 'not (is_read_only(tool) and has_tag(tool, "x"));',
        _CALL + 'not has_role(actor, "viewer", tool);',
        _CALL + "not acts_for(actor, _);",
        _CALL + 'argument(tool, "depth", depth) and depth in [1, 2];',
        _CALL + "limit < 3 and limit > 1;",
        _CALL + 'tool = Tool{"a"} and tool = Tool{"b"};',
        _CALL + 'has_tag(thing, "x");',
        'resource Printer { permissions = ["print"]; "print" if "owner"; }',
        'resource Tool { roles = ["owner"]; }',
        "is_served(printer: Printer) if is_disabled(printer);",
        'acts_for(Client{"agent"}, User{"ann"});',
    ],
)
def test_what_the_guide_says_is_refused_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        read_policy({**SHIPPED, "mistake.polar": text})


def test_what_the_guide_says_may_be_negated_loads() -> None:
    text = _CALL + 'not argument_present(tool, "proxy") and not is_destructive(tool);'

    assert read_policy({**SHIPPED, "own.polar": text}).warnings == ()
