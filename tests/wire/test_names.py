"""Names and ids: exactly one spelling for each thing, and no name that could be two."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.model import Entity
from proxy.wire.names import (
    MAX_NAME,
    UnnameableError,
    check_item,
    check_server,
    identified,
    prompt,
    split,
    tool,
)

STRANGE = [
    "", " ", "a ", " a", "a b", "a\0", "a\n", "a\tb", "\u0430dmin", "a\u200b", "\ufeffa", "\u202ea",
    "caf\u00e9", "a/b", "a|b", 'a"b', "a\\b", "\ud800", "x" * 129, "a\u0301", "\uff41",
]  # fmt: skip


@pytest.mark.parametrize("name", ["github", "a", "A-1", "_x", "a_b", "-", "x" * MAX_NAME])
def test_a_server_may_bear_a_plain_name(name: str) -> None:
    assert check_server(name) == name


@pytest.mark.parametrize("name", [*STRANGE, "a__b", "a_", "_", "__", "a.b"])
def test_a_server_may_not_bear_a_name_that_does_not_split(name: str) -> None:
    with pytest.raises(UnnameableError):
        check_server(name)


@pytest.mark.parametrize("name", ["create_issue", "a.b", "a__b", "_", ".", "x" * MAX_NAME])
def test_a_tool_may_bear_a_plain_name(name: str) -> None:
    assert check_item(name) == name


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_is_no_name(name: str) -> None:
    with pytest.raises(UnnameableError):
        check_item(name)


def test_an_operator_may_list_a_strange_name_but_no_invisible_one() -> None:
    assert check_item("caf\u00e9 au lait", verbatim={"caf\u00e9 au lait"})
    for name in ["a\0", "a\n", "a\u200b", "\u202ea", "\ud800", "", "x" * 129]:
        with pytest.raises(UnnameableError):
            check_item(name, verbatim={name})
    with pytest.raises(UnnameableError):
        check_item("caf\u00e9", verbatim={"cafe\u0301"})


def test_what_a_policy_knows_is_server_and_name() -> None:
    assert tool("github", "create_issue") == Entity("Tool", "github__create_issue")
    assert prompt("github", "review") == Entity("Prompt", "github__review")
    with pytest.raises(UnnameableError):
        tool("git__hub", "x")


SERVERS = st.from_regex(re.compile(r"[A-Za-z0-9_-]{1,12}", re.ASCII), fullmatch=True).filter(
    lambda name: "__" not in name and not name.endswith("_")
)
ITEMS = st.from_regex(re.compile(r"[A-Za-z0-9_.-]{1,12}", re.ASCII), fullmatch=True)


@given(SERVERS, ITEMS, SERVERS, ITEMS)
def test_no_two_tools_share_an_id_and_each_splits_back(
    server: str, name: str, other_server: str, other: str
) -> None:
    entity = tool(server, name)

    assert split(entity.id) == (server, name)
    assert (entity == tool(other_server, other)) == ((server, name) == (other_server, other))


@given(st.text(max_size=200))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    is_plain = re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", text) is not None

    if is_plain:
        assert tool("s", text).id == f"s__{text}"
    else:
        with pytest.raises(UnnameableError, match=r"\.$"):
            tool("s", text)


@pytest.mark.parametrize("name", ["", "x", "a_b", "__x", "a__", "a b__x"])
def test_a_name_without_a_server_does_not_split(name: str) -> None:
    with pytest.raises(UnnameableError):
        split(name)


def test_an_id_is_measured_in_bytes() -> None:
    assert identified("Tool", "x" * 384).id
    assert identified("Tool", "\u00e9" * 192).id
    for id_ in ["x" * 385, "\u00e9" * 193, "", "\ud800"]:
        with pytest.raises(UnnameableError):
            identified("Tool", id_)
