"""`northgate fact`, in words that a shell passes on, against a control plane."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.cli.control import credentials as files
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.control.facts import value_of, word_of
from proxy.identity.sealing import Secret
from tests.admin.controlled import controlling
from tests.cli.answering import ran
from tests.cli.running import Ran

ENTITIES = st.builds(
    lambda type_, id_: {"type": type_, "id": id_},
    st.sampled_from(["Client", "Tool", "Server", "Document", "Project", "Odd_1"]),
    st.text(min_size=1),
)
VALUES = st.one_of(
    ENTITIES,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(),
    st.sampled_from(["true", "1", "-0", '"', '"x"', "client:ci", "Tool:x", "http://x", "", "a:"]),
)


@settings(max_examples=200)
@given(VALUES)
def test_what_a_list_shows_is_read_as_the_same_value(value: object) -> None:
    again = value_of(word_of(value))

    assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("tool:github__echo", {"type": "Tool", "id": "github__echo"}),
        ("document:a|file:///x", {"type": "Document", "id": "a|file:///x"}),
        ("Project:x:y", {"type": "Project", "id": "x:y"}),
        ("100", 100),
        ('"100"', "100"),
        ("true", True),
        ("*.example.com", "*.example.com"),
        ("https://x", "https://x"),
    ],
)
def test_a_word_means_what_it_looks_like(word: str, value: object) -> None:
    assert value_of(word) == value


def test_a_text_with_open_quotes_is_refused() -> None:
    with pytest.raises(CommandError):
        value_of('"open')


def test_a_fact_is_added_and_deleted_by_the_words_that_are_shown(tmp_path: Path) -> None:
    lines = (
        "fact add has_tag tool:github__echo '\"10 or so\"' --why 'an audit'",
        "fact add has_tag tool:github__echo '\"10 or so\"'",
        "fact delete has_tag tool:github__echo '10 or so' --json",
        "fact delete has_tag tool:github__echo '10 or so'",
        "fact add no_such client:ci",
        "fact add is_disabled client:ci --json",
    )

    async def story() -> list[Ran]:
        async with controlling(tmp_path / "data") as controlled:
            path = tmp_path / "northgate" / "credentials.json"
            files.prepare(path)
            token = Secret(controlled.token().encode())
            files.save(path, Credentials(controlled.url, token))
            return [await asyncio.to_thread(ran, tmp_path, shlex.split(one)) for one in lines]

    added, again, deleted, gone, unknown, wrong = asyncio.run(story())

    assert added.out == "has_tag tool:github__echo '10 or so': this holds now.\n"
    assert (again.code, again.out) == (0, added.out)
    assert deleted.document["args"] == [{"type": "Tool", "id": "github__echo"}, "10 or so"]
    assert (gone.code, "northgate fact list shows what there is." in gone.err) == (1, True)
    assert (unknown.code, "declare no_such" in unknown.err) == (2, True)
    assert wrong.document["errors"][0]["code"] == "invalid"
