"""A limit that another rule lifts is told, and one that holds is not."""

from __future__ import annotations

import pytest

from policies.dialect import read_policy

BASE = """actor Client {}
resource Server {}
resource Tool { roles = ["caller", "admin"]; permissions = ["call"]; "caller" if "admin"; }
"""
SMALL = 'argument(t, "amount", n) and n <= 100'
FUNNEL = "allow(a, action, r) if has_permission(a, action, r) and not is_suspended(a);"


def lifted(*rules: str) -> list[int]:
    """Return the lines, the first rule's being 1, of limits that are said to have no effect."""
    program = read_policy({"p.polar": BASE + "\n".join(rules)})
    found = [one for one in program.warnings if one.code == "limit-has-no-effect"]
    return [problem.span.line - 3 for problem in found]


def may_call(role: str, condition: str = "") -> str:
    tail = f" and {condition}" if condition else ""
    return f'has_permission(c: Client, "call", t: Tool) if has_role(c, "{role}", t){tail};'


@pytest.mark.parametrize(
    "limit",
    [
        SMALL,
        'argument_host(t, "url", "a.example")',
        'not argument_present(t, "force")',
        "lease(c, until) and @current_unix_time < until",
        "not is_quarantined(t)",
        'kind_of(t, k) and k = "pay" and not is_locked(t)',
    ],
)
def test_a_limit_is_lifted_by_the_same_rule_without_it(limit: str) -> None:
    assert lifted(may_call("caller", limit), may_call("caller")) == [1]


def test_a_limit_is_lifted_by_a_rule_for_a_role_that_implies_it() -> None:
    assert lifted(may_call("admin", SMALL), may_call("caller")) == [1]


def test_a_limit_on_the_weaker_role_holds_beside_a_free_rule_for_the_stronger() -> None:
    assert lifted(may_call("caller", SMALL), may_call("admin")) == []


def test_two_limits_of_which_either_is_enough_do_not_lift_each_other() -> None:
    other = may_call("caller", 'argument_host(t, "url", "a.example")')

    assert lifted(may_call("caller", SMALL), other) == []


def test_the_alternatives_of_one_limit_do_not_lift_each_other() -> None:
    within = [
        'within(t: Tool) if not argument_present(t, "amount");',
        f"within(t: Tool) if {SMALL};",
    ]

    assert lifted(*within, may_call("caller", "within(t)")) == []


def test_a_limit_in_a_rule_of_its_own_is_lifted_where_it_is_asked() -> None:
    assert lifted(
        f"small(t: Tool) if {SMALL};", may_call("caller", "small(t)"), may_call("caller")
    ) == [2]


def test_a_funnel_is_bypassed_by_an_allow_rule_beside_it() -> None:
    beside = 'allow(c: Client, "call", t: Tool) if has_permission(c, "call", t);'

    assert lifted(FUNNEL, may_call("caller"), beside) == [1]
    assert lifted(FUNNEL, may_call("caller")) == []


def test_a_limit_for_some_types_is_not_lifted_by_a_rule_for_others() -> None:
    other = 'has_permission(c: Client, "connect", s: Server) if has_role(c, "caller", s);'

    assert lifted(may_call("caller", SMALL), other) == []
