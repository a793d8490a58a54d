"""What the tests of a policy exercise: which rules are proved, which conditions decide."""

from __future__ import annotations

from policies.polar.program import compile_policy
from policies.polar.reports import Coverage, Report
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

CALLER = 'has_role(User{"ann"}, "caller", Tool{"t"});'


def report(tests: str, policy: str = POLICY) -> Report:
    return run_tests(compile_policy({"main.polar": policy, "tests.polar": tests}))


def proved(coverage: Coverage) -> dict[int, bool]:
    return {rule.span.line: rule.proved for rule in coverage.rules}


def exercised(coverage: Coverage) -> dict[tuple[int, int], bool]:
    return {
        (one.span.line, one.span.column): one.exercised
        for rule in coverage.rules
        for one in rule.conditions
    }


def test_a_rule_is_proved_if_an_assertion_rests_on_it() -> None:
    found = report(
        f'test "t" {{ setup {{ {CALLER} }} assert allow(User{{"ann"}}, "call", t: Tool); }}'
    )

    assert proved(found.coverage) == {6: True, 7: False, 8: False, 10: True, 12: False}
    assert (
        found.coverage.unproved[0].label == 'has_permission(actor: Actor, "list", resource: Tool)'
    )


def test_every_answer_counts_toward_coverage() -> None:
    found = report(
        f'test "t" {{ setup {{ {CALLER} }}\n'
        'assert allow(User{"ann"}, a: String, Tool{"t"}) iff a in ["call", "list"]; }'
    )

    assert proved(found.coverage) == {6: True, 7: True, 8: True, 10: True, 12: False}


def test_an_open_answer_proves_its_rule() -> None:
    policy = 'actor User {}\nresource Tool {}\nallow(_: User, "ping", _: Tool);'

    found = report('test "t" { assert allow(u: User, "ping", t: Tool) iff true; }', policy)

    assert found.passed
    assert proved(found.coverage) == {3: True}


def test_rules_on_one_line_are_told_apart_by_what_they_conclude() -> None:
    policy = (
        "actor User {} resource Tool {}\n"
        'allow(u: User, "a", t: Tool) if x(u, t); allow(u: User, "b", t: Tool) if y(u, t);'
    )

    found = report(
        'test "t" { setup { y(User{"u"}, Tool{"t"}); } assert allow(User{"u"}, "b", Tool{"t"}); }',
        policy,
    )

    assert [rule.proved for rule in found.coverage.rules] == [False, True]


def test_the_implied_allow_rule_and_stated_facts_are_not_listed() -> None:
    policy = (
        'actor User {}\nresource Tool { permissions = ["call"]; }\n'
        'has_permission(User{"root"}, "call", Tool{"t"});'
    )

    found = report('test "t" { assert allow(User{"root"}, "call", Tool{"t"}); }', policy)

    assert found.passed
    assert found.coverage.rules == ()


def test_a_rule_without_a_body_is_listed_if_it_leaves_something_open() -> None:
    policy = 'actor User {}\nresource Tool {}\nallow(_: User, "ping", _: Tool); y(Tool{"t"});'

    found = report('test "t" { assert y(Tool{"t"}); }', policy)

    assert proved(found.coverage) == {3: False}


def test_a_condition_is_exercised_if_a_denial_rests_on_it_alone() -> None:
    denied = 'assert_not allow(User{"ann"}, "call", Tool{"t"});'
    suspended = 'is_suspended(User{"ann"});'
    role, permission, suspension = (6, 13), (11, 3), (11, 46)

    neither = report(f'test "t" {{ setup {{ {suspended} }} {denied} }}').coverage
    without_role = report(f'test "t" {{ {denied} }}').coverage
    by_suspension = report(f'test "t" {{ setup {{ {CALLER} {suspended} }} {denied} }}').coverage

    conditions = {role, permission, suspension}
    assert conditions <= exercised(neither).keys()
    assert {place for place in conditions if exercised(neither)[place]} == set()
    assert {p for p in conditions if exercised(without_role)[p]} == {role, permission}
    assert {p for p in conditions if exercised(by_suspension)[p]} == {suspension}


def test_a_comparison_is_exercised_by_a_denial_beyond_its_limit() -> None:
    found = report(
        'test "t" { setup { set_limit(Tool{"t"}, 11); } assert_not limit(Tool{"t"}, 11); }'
    ).coverage

    assert exercised(found)[12, 57] is True
    assert exercised(found)[12, 34] is False


def test_a_run_without_conditions_still_tells_which_rules_are_proved() -> None:
    program = compile_policy(
        {"main.polar": POLICY, "t.polar": 'test "t" { assert_not limit(Tool{"t"}, 11); }'}
    )

    with_conditions = run_tests(program).coverage
    without = run_tests(program, conditions=False).coverage

    assert exercised(without) == {}
    assert exercised(with_conditions) != {}
    assert proved(without) == proved(with_conditions)


def test_an_assertion_that_fails_exercises_no_condition() -> None:
    found = report('test "t" { assert allow(User{"ann"}, "call", Tool{"t"}); }').coverage

    assert not any(exercised(found).values())
