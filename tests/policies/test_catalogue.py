"""What a policy names and no upstream offers is a warning, once the offers are known."""

from __future__ import annotations

import pytest

from policies.catalogue import Catalogue, compare
from policies.dialect import read_policy

POLICY = """actor Client {}
resource Server {}
resource Prompt {}
resource Tool { permissions = ["call"]; }
has_permission(c: Client, "call", Tool{"pay__refund"}) if
  has_role(c, "payer", Server{"pay"}) and argument(Tool{"pay__refund"}, "amount", 1);
has_permission(c: Client, "call", t: Tool) if
  has_role(c, "caller", t) and argument_under(t, "path", "/srv")
  and not argument_present(t, "/options/force");
has_permission(c: Client, "get", Prompt{"pay__letter"}) if
  argument_present(Prompt{"pay__letter"}, "name") and has_role(c, "reader", Server{"pay"});
"""

OFFERS = {
    "servers": ["pay"],
    "tools": {
        "pay__refund": {"type": "object", "properties": {"amount": {"type": "integer"}}},
        "disk__read": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "options": {"type": "object", "properties": {"force": {"type": "boolean"}}},
            },
        },
    },
    "prompts": {"pay__letter": ["name"]},
}


def found(**changes: object) -> list[tuple[str, int, str]]:
    catalogue = Catalogue.of({**OFFERS, **changes})
    problems = compare(read_policy({"p.polar": POLICY}), catalogue)
    return [(problem.code, problem.span.line, problem.text) for problem in problems]


def test_a_policy_that_names_only_what_is_offered_is_not_remarked_on() -> None:
    assert found() == []


def test_a_server_that_is_not_registered_is_told_with_its_line() -> None:
    assert found(servers=["pays"]) == [("unknown-server", 6, "pay"), ("unknown-server", 11, "pay")]


def test_a_tool_that_is_not_offered_is_told_where_it_is_named() -> None:
    tools = {"disk__read": OFFERS["tools"]["disk__read"]}  # type: ignore[index]

    assert ("unknown-tool", 5, "pay__refund") in found(tools=tools)


def test_an_argument_that_the_schema_does_not_have_is_told() -> None:
    tools = {**OFFERS["tools"], "pay__refund": {"properties": {"sum": {}}}}  # type: ignore[dict-item, var-annotated]

    assert found(tools=tools) == [("unknown-argument", 6, "amount")]


def test_an_argument_of_any_tool_is_told_only_if_no_tool_has_it() -> None:
    tools = {"pay__refund": OFFERS["tools"]["pay__refund"]}  # type: ignore[index]

    assert [(code, text) for code, _, text in found(tools=tools)] == [
        ("unknown-argument", "path"),
        ("unknown-argument", "/options/force"),
    ]


@pytest.mark.parametrize("open_", [{}, {"$ref": "#/x"}, {"anyOf": [{}]}, {"type": "object"}])
def test_a_schema_that_leaves_its_members_open_is_not_remarked_on(open_: dict[str, object]) -> None:
    tools = {**OFFERS["tools"], "pay__refund": open_}  # type: ignore[dict-item]

    assert found(tools=tools) == []


def test_a_prompt_argument_is_compared_with_the_arguments_offered() -> None:
    assert found(prompts={"pay__letter": ["title"]}) == [("unknown-argument", 11, "name")]


@pytest.mark.parametrize("wrong", [{"servers": "pay"}, {"tools": []}, {"prompts": 1}])
def test_a_document_of_another_form_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Catalogue.of(wrong)
