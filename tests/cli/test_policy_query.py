"""`northgate policy query`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import TYPES, Ran, run, written

OPEN = """\
has_permission(_: Client, "list", _: Tool);
near(Client{"a"}, Client{"a"});
near(Client{"a"}, Client{"b"});
"""
FACTS = """\
has_role(Client{"ci"}, "caller", Tool{"x"});
has_role(Client{"bot"}, "caller", Tool{"y"});
"""


def ask(tmp_path: Path, goal: str, *options: str | Path, text: str = TYPES) -> Ran:
    policy = written(tmp_path / "a.polar", text)
    facts = written(tmp_path / "facts", FACTS)
    return run("query", policy, goal, "--facts", facts, *options)


def test_bindings_are_a_table_with_a_column_for_each_variable(tmp_path: Path) -> None:
    ran = ask(tmp_path, "allow(who, action, tool: Tool)")

    assert ran.code == 0
    assert ran.lines == [
        "who            action  tool",
        'Client{"bot"}  "call"  Tool{"y"}',
        'Client{"bot"}  "list"  Tool{"y"}',
        'Client{"ci"}   "call"  Tool{"x"}',
        'Client{"ci"}   "list"  Tool{"x"}',
    ]


@pytest.mark.parametrize(
    ("goal", "answer", "code"),
    [
        ('allow(Client{"ci"}, "call", Tool{"x"})', "true", 0),
        ('allow(Client{"ci"}, "call", Tool{"y"})', "false", 1),
        ('allow(_, "call", Tool{"x"})', "true", 0),
        ('allow(_, "fly", Tool{"x"})', "false", 1),
    ],
)
def test_a_goal_without_variables_is_true_or_false(
    tmp_path: Path, goal: str, answer: str, code: int
) -> None:
    ran = ask(tmp_path, goal)

    assert (ran.out, ran.code) == (f"{answer}\n", code)


def test_no_binding_leaves_stdout_empty(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"eve"}, action, tool: Tool)')

    assert (ran.code, ran.out, ran.err) == (1, "", "There is no answer.\n")


def test_a_value_that_a_rule_leaves_open_is_any_of_its_type(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"eve"}, "list", tool)', text=TYPES + OPEN)

    assert ran.lines == ["tool", "any Tool"]


def test_a_variable_written_twice_takes_one_value(tmp_path: Path) -> None:
    assert ask(tmp_path, "near(x, x)", text=TYPES + OPEN).lines == ["x", 'Client{"a"}']


def test_an_anonymous_variable_has_no_column_and_repeats_no_line(tmp_path: Path) -> None:
    assert ask(tmp_path, "near(x, _)", text=TYPES + OPEN).lines == ["x", 'Client{"a"}']


def test_the_moment_of_the_question_can_be_set(tmp_path: Path) -> None:
    text = TYPES + "awake(c: Client) if hours(c, n) and @current_unix_time < n;\n"
    facts = written(tmp_path / "hours", 'hours(Client{"ci"}, 50);')

    early, late = (
        ask(tmp_path, 'awake(Client{"ci"})', "--facts", facts, "--now", now, text=text)
        for now in ("49", "50")
    )

    assert (early.out, late.out) == ("true\n", "false\n")


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("alow(c, a, t)", "hint: Did you mean `allow`?"),
        ("allow(c, a)", "error[arity-conflict]: `allow` takes 3 arguments, not 2."),
        ("allow(c: Clint, a, t)", "hint: Did you mean `Client`?"),
        ('allow(Clint{"ci"}, a, t)', "hint: Did you mean `Client`?"),
        ("allow(c: Actor, a, t)", "error[abstract-type]: `Actor` covers Client"),
        ("allow(c, a, ", "<query>:1:"),
        ("", "error["),
    ],
)
def test_a_goal_that_cannot_be_asked_is_no_denial(tmp_path: Path, goal: str, said: str) -> None:
    ran = ask(tmp_path, goal)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


def test_every_fact_that_the_policy_refuses_is_told(tmp_path: Path) -> None:
    facts = written(
        tmp_path / "bad",
        'has_role(Client{"a"}, "caller", Tool{"x"});\nhas_rle(Client{"a"});\nhas_role(1, 2, 3);\n',
    )

    ran = ask(tmp_path, "allow(c, a, t)", "--facts", facts)

    assert (ran.code, ran.out) == (2, "")
    assert f"{facts}:2:1: error[bad-fact]: " in ran.err
    assert f"{facts}:3:1: error[bad-fact]: " in ran.err
    assert f"({tmp_path / 'a.polar'}:2)" in ran.err


def test_facts_that_do_not_parse_are_an_error_with_a_place(tmp_path: Path) -> None:
    facts = written(tmp_path / "bad", 'has_role(Client{"a"}, "caller"')

    ran = ask(tmp_path, "allow(c, a, t)", "--facts", facts)

    assert ran.code == 2
    assert f"{facts}:1:" in ran.err


def test_answers_that_cannot_be_listed_are_no_denial(tmp_path: Path) -> None:
    text = TYPES + "fine(c: Client) if not bad(c);\n"

    ran = ask(tmp_path, "fine(c)", text=text)

    assert (ran.code, ran.out) == (2, "")
    assert "its answers cannot be listed, because a rule restricts a value only" in ran.err


def test_the_document_holds_bindings_as_values(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"ci"}, action, t)', "--json", text=TYPES + OPEN)

    assert ran.document == {
        "goal": 'allow(Client{"ci"}, action, t)',
        "answer": True,
        "variables": ["action", "t"],
        "bindings": [
            {"action": "call", "t": {"type": "Tool", "id": "x"}},
            {"action": "list", "t": {"any": "Tool"}},
        ],
    }


def test_the_document_of_a_denial_has_no_bindings(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"eve"}, "call", Tool{"x"})', "--json")

    assert ran.code == 1
    assert (ran.document["answer"], ran.document["bindings"]) == (False, [])


def test_the_document_of_a_mistake_lists_it(tmp_path: Path) -> None:
    ran = ask(tmp_path, "alow(c)", "--json")

    assert ran.code == 2
    assert [error["code"] for error in ran.document["errors"]] == ["unknown-predicate"]
