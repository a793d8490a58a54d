"""Tests that policy files hold: what they see, and what they say when they fail."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from policies.polar.program import compile_policy
from policies.polar.reports import FailedAssertion, Report, junit
from policies.polar.runtime import Limits
from policies.polar.source import PolicyError
from policies.polar.testing import run_tests

POLICY = """\
actor User {}
actor Robot {}
resource Tool {
  roles = ["caller", "viewer"];
  permissions = ["call", "list"];
  "call" if "caller";
  "list" if "viewer";
  "viewer" if "caller";
}
allow(user: User, action: String, tool: Tool) if
  has_permission(user, action, tool) and not is_suspended(user);
limit(tool: Tool, n: Integer) if set_limit(tool, n) and n <= 10;
"""

NOW = 1_700_000_000


def report(tests: str, policy: str = POLICY, limits: Limits | None = None) -> Report:
    program = compile_policy({"main.polar": policy, "tests.polar": tests})
    return run_tests(program, limits, now=NOW)


def failures(assertions: str, setup: str = "", policy: str = POLICY) -> list[FailedAssertion]:
    [result] = report(f'test "t" {{ setup {{ {setup} }}\n{assertions} }}', policy).results
    return list(result.failures)


def failure(assertions: str, setup: str = "", policy: str = POLICY) -> FailedAssertion:
    [found] = failures(assertions, setup, policy)
    return found


CALLER = 'has_role(User{"ann"}, "caller", Tool{"t"});'
TWO = CALLER + 'has_role(User{"bob"}, "viewer", Tool{"u"});'


def test_a_test_sees_the_facts_of_its_own_setup_and_not_those_of_another() -> None:
    found = report(
        f"""
        test "granted" {{ setup {{ {CALLER} }} assert allow(User{{"ann"}}, "call", Tool{{"t"}}); }}
        test "bare" {{ assert_not allow(User{{"ann"}}, "call", Tool{{"t"}}); }}
        """
    )

    assert [result.name for result in found.results] == ["granted", "bare"]
    assert found.passed


def test_a_fixture_counts_only_where_it_is_used() -> None:
    found = report(
        f"""
        test fixture people {{ {CALLER} }}
        test "with" {{ setup {{ fixture people; }}
          assert allow(User{{"ann"}}, "call", Tool{{"t"}}); }}
        test "without" {{ assert_not allow(User{{"ann"}}, "call", Tool{{"t"}}); }}
        """
    )

    assert found.passed


def test_a_test_sees_the_facts_that_the_policy_states() -> None:
    stated = POLICY + CALLER

    assert failures('assert allow(User{"ann"}, "call", Tool{"t"});', policy=stated) == []


def test_one_failing_assertion_does_not_hide_the_next() -> None:
    found = failures(
        'assert allow(User{"a"}, "call", Tool{"t"});\nassert allow(User{"b"}, "call", Tool{"t"});'
    )

    assert [str(one.span) for one in found] == ["tests.polar:2", "tests.polar:3"]


def test_a_failed_assert_says_what_it_expected_and_what_would_make_it_hold() -> None:
    found = failure('assert allow(User{"ann"}, "list", Tool{"t"});')

    assert found.message == (
        '`allow(User{"ann"}, "list", Tool{"t"})` was expected to hold, but nothing makes it hold.'
    )
    assert (
        'it would hold if there were has_role(User{"ann"}, "viewer", Tool{"t"}) (main.polar:7:13)'
        in found.details
    )


def test_a_failed_assert_names_the_fact_that_stands_in_the_way() -> None:
    found = failure(
        'assert allow(User{"ann"}, "call", Tool{"t"});', CALLER + 'is_suspended(User{"ann"});'
    )

    assert found.details[0].startswith(
        'it would hold if there were no is_suspended(User{"ann"}) (main.polar:11:'
    )


def test_a_failed_assert_names_the_comparison_that_is_false() -> None:
    found = failure('assert limit(Tool{"t"}, 11);', 'set_limit(Tool{"t"}, 11);')

    assert "it would hold if 11 <= 10 were true (main.polar:12:57)" in found.details


def test_a_failed_assert_not_names_the_rules_of_the_proof() -> None:
    found = failure('assert_not allow(User{"ann"}, "list", Tool{"t"});', CALLER)

    assert found.message == (
        '`allow(User{"ann"}, "list", Tool{"t"})` was expected not to hold, but it does.'
    )
    assert found.details == ("holds by main.polar:10, main.polar:7, main.polar:8",)


def test_a_failed_assert_not_names_the_line_of_a_fact_that_no_rule_derives() -> None:
    found = failure('assert_not is_suspended(User{"ann"});', 'is_suspended(User{"ann"});')

    assert found.details == ("holds by tests.polar:1",)


def test_a_failed_assert_not_with_variables_shows_each_answer() -> None:
    found = failure('assert_not allow(u: User, "list", tool: Tool);', TWO)

    assert [line.split(" holds by ")[0] for line in sorted(found.details)] == [
        'allow(User{"ann"}, "list", Tool{"t"})',
        'allow(User{"bob"}, "list", Tool{"u"})',
    ]


def test_a_long_list_of_answers_is_cut() -> None:
    setup = "".join(f'has_role(User{{"u{n}"}}, "caller", Tool{{"t"}});' for n in range(30))

    found = failure('assert_not allow(u: User, "call", Tool{"t"});', setup)

    assert len(found.details) == 21
    assert found.details[-1] == "... and 10 more"


@pytest.mark.parametrize(
    "assertion",
    [
        'assert allow(User{"ann"}, action: String, Tool{"t"}) iff action in ["list", "call"];',
        'assert allow(User{"ann"}, action, Tool{"t"}) iff action in ["call", "list", "call"];',
        'assert allow(User{"ann"}, a: String, Tool{"t"}) iff a = "call" or "list" = a;',
        'assert allow(User{"bob"}, a: String, Tool{"t"}) iff false;',
        'assert allow(User{"bob"}, a: String, Tool{"t"}) iff a = "call" and a = "list";',
        'assert allow(User{"ann"}, "call", Tool{"t"}) iff true;',
        'assert allow(User{"bob"}, "call", Tool{"t"}) iff false;',
        """assert allow(u: User, "list", t: Tool) iff
             (u = User{"ann"} and t = Tool{"t"}) or (u = User{"bob"} and t = Tool{"u"});""",
        """assert allow(User{"ann"}, a: String, t: Tool)
             iff a in ["call", "list"] and t = Tool{"t"};""",
        'assert allow(User{"ann"}, a: String, _: Tool) iff a in ["call", "list"];',
        'assert allow(_, "call", t) iff t = Tool{"t"};',
    ],
)
def test_an_iff_that_lists_the_answers_passes(assertion: str) -> None:
    assert failures(assertion, TWO) == []


def test_an_iff_names_the_answers_that_are_missing_and_unexpected() -> None:
    found = failure(
        'assert allow(User{"ann"}, a: String, Tool{"t"}) iff a in ["call", "edit"];', CALLER
    )

    assert found.message == (
        '`allow(User{"ann"}, a: String, Tool{"t"})` does not have exactly the answers that the '
        "test lists."
    )
    assert found.details == ('missing: a = "edit"', 'unexpected: a = "list"')


def test_an_iff_over_two_variables_compares_them_together() -> None:
    found = failure(
        'assert allow(u: User, "list", t: Tool) iff '
        'u in [User{"ann"}, User{"bob"}] and t in [Tool{"t"}, Tool{"u"}];',
        TWO,
    )

    assert found.details == (
        'missing: u = User{"ann"}, t = Tool{"u"}',
        'missing: u = User{"bob"}, t = Tool{"t"}',
    )


def test_an_iff_without_variables_says_whether_the_goal_holds() -> None:
    found = failure('assert allow(User{"ann"}, "call", Tool{"t"}) iff false;', CALLER)

    assert found.details == ("unexpected: yes",)


def test_an_answer_that_is_open_never_equals_a_list() -> None:
    policy = POLICY + 'allow(_: Robot, "ping", _: Tool);'

    found = failure(
        'assert allow(Robot{"r"}, "ping", t: Tool) iff t in [Tool{"t"}];', CALLER, policy
    )

    assert found.details == ('missing: t = Tool{"t"}', "unexpected: t = any Tool")


def test_an_iff_that_leaves_a_variable_open_means_every_value_of_its_type() -> None:
    policy = POLICY + 'allow(_: Robot, "ping", _: Tool);'

    assert failures('assert allow(Robot{"r"}, "ping", t: Tool) iff true;', "", policy) == []
    assert (
        failures('assert allow(Robot{"r"}, a: String, t: Tool) iff a = "ping";', "", policy) == []
    )
    assert failures('assert allow(User{"ann"}, "call", t: Tool) iff true;', CALLER, policy) != []


def test_true_is_not_one_and_text_is_not_a_number_in_an_iff() -> None:
    policy = "actor User {} declare level(User, Integer);"
    assertion = 'assert level(User{"ann"}, n: Integer) iff n in '

    assert failures(assertion + "[1];", 'level(User{"ann"}, 1);', policy) == []
    assert failures(assertion + "[true];", 'level(User{"ann"}, 1);', policy) != []
    assert failures(assertion + '["1"];', 'level(User{"ann"}, 1);', policy) != []


def test_the_variables_of_an_iff_may_be_equated() -> None:
    policy = "actor User {} declare knows(User, User);"
    setup = 'knows(User{"a"}, User{"a"}); knows(User{"b"}, User{"b"});'

    assert (
        failures('assert knows(x, y) iff x = y and x in [User{"a"}, User{"b"}];', setup, policy)
        == []
    )
    found = failure("assert knows(x, y) iff x = y;", setup, policy)
    assert "gives neither a value" in found.message


def test_a_repeated_variable_of_a_goal_has_one_value() -> None:
    policy = "actor User {} declare knows(User, User);"
    setup = 'knows(User{"a"}, User{"b"}); knows(User{"c"}, User{"c"});'

    assert failures('assert knows(x: User, x) iff x = User{"c"};', setup, policy) == []
    assert failures("assert_not knows(x, x);", 'knows(User{"a"}, User{"b"});', policy) == []


def test_an_iff_with_too_many_alternatives_fails_with_a_reason() -> None:
    either = '(a = "x" or a = "y")'
    assertion = (
        f'assert allow(User{{"a"}}, a: String, Tool{{"t"}}) iff {" and ".join([either] * 12)};'
    )

    assert "too many alternatives" in failure(assertion).message


def test_assert_not_with_iff_is_refused() -> None:
    with pytest.raises(PolicyError, match="goes with `assert`, not with `assert_not`"):
        failure('assert_not allow(User{"a"}, a: String, Tool{"t"}) iff a = "call";')


def test_a_typed_variable_of_a_goal_stands_for_that_very_type() -> None:
    policy = POLICY + 'has_permission(_: Robot, "list", _: Tool);'
    goal = 'has_permission(someone: {}, "list", Tool{{"t"}})'

    assert failures(f"assert {goal.format('Robot')};", CALLER, policy) == []
    assert failures(f"assert_not {goal.format('Actor')};", CALLER, policy) == []


def test_a_misspelt_predicate_is_refused_even_where_its_absence_is_asserted() -> None:
    with pytest.raises(PolicyError, match="no rule or fact is called `alow`"):
        failure('assert_not alow(User{"ann"}, "call", Tool{"t"});')


def test_an_assertion_over_its_budget_fails_with_the_reason() -> None:
    setup = "".join(f'has_role(User{{"u{n}"}}, "caller", Tool{{"t"}});' for n in range(50))

    found = report(
        f'test "t" {{ setup {{ {setup} }} assert allow(u: User, "call", Tool{{"t"}}); }}',
        limits=Limits(steps=10),
    )

    assert not found.passed
    assert found.results[0].failures[0].message == (
        '`allow(u: User, "call", Tool{"t"})` could not be decided: more than 10 steps.'
    )


def test_the_clock_is_the_one_given() -> None:
    policy = """
    actor User {} resource Tool {}
    allow(u: User, "call", t: Tool) if lease(u, t, until) and @current_unix_time < until;
    """
    tests = f"""test "lease" {{
      setup {{ lease(User{{"a"}}, Tool{{"t"}}, {NOW}); }}
      assert allow(User{{"a"}}, "call", Tool{{"t"}}); }}"""
    program = compile_policy({"main.polar": policy, "tests.polar": tests})

    assert run_tests(program, now=NOW - 1).passed
    assert not run_tests(program, now=NOW).passed
    assert not run_tests(program).passed


def test_one_test_can_be_run_alone() -> None:
    tests = """
    test "one" { assert_not allow(User{"a"}, "call", Tool{"t"}); }
    test "two" { assert allow(User{"a"}, "call", Tool{"t"}); }
    """
    program = compile_policy({"main.polar": POLICY, "tests.polar": tests})

    assert [result.name for result in run_tests(program, only="one").results] == ["one"]
    with pytest.raises(LookupError, match='no test is called "tow"'):
        run_tests(program, only="tow")


def test_junit_counts_tests_and_shows_each_failure() -> None:
    found = report(
        'test "good" { assert_not allow(User{"a"}, "call", Tool{"t"}); }\n'
        'test "bad <&\\" name" { assert allow(User{"<&"}, "call", Tool{"t"}); \n'
        'assert allow(User{"b"}, "call", Tool{"t"}); }'
    )

    suite = ET.fromstring(junit(found))[0]  # noqa: S314 - our own document
    good, bad = suite

    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert len(good) == 0
    assert (bad.get("name"), bad.get("file"), bad.get("line")) == (
        'bad <&" name',
        "tests.polar",
        "2",
    )
    assert "was expected to hold" in (bad[0].get("message") or "")
    assert len(bad) == 1
    assert "tests.polar:2" in (bad[0].text or "")
    assert "tests.polar:3" in (bad[0].text or "")


def test_junit_holds_only_characters_that_xml_allows() -> None:
    found = report('test "a\ufffeb\\n" { assert_not allow(User{"a"}, "call", Tool{"t"}); }')

    case = ET.fromstring(junit(found))[0][0]  # noqa: S314 - our own document

    assert case.get("name") == "a\ufffdb\n"
