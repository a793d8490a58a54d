"""Whatever is given, there are settings or a list of problems, never another error."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import SettingsError, load
from proxy.config.positions import key_lines
from proxy.config.shape import leaves

WORDS = sorted({part for leaf in leaves() for part in leaf.path})
CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"))
KEYS = st.sampled_from(WORDS) | st.sampled_from(["a", "b__c", ""]) | st.text(CHARACTERS, max_size=4)
TEXTS = st.text(CHARACTERS, max_size=12) | st.sampled_from(
    ["development", "oso_cloud", "stdio", "https://a", "http://[", "127.0.0.1:1", "file:/", "${A}"]
)
PLAIN = TEXTS | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats()
TREES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
TABLES = st.dictionaries(KEYS, TREES, max_size=6)
NAMES = st.sampled_from([leaf.variable for leaf in leaves()]) | st.text(max_size=8).map(
    lambda text: f"NORTHGATE_{text}"
)
VARIABLES = st.dictionaries(NAMES, st.text(max_size=20), max_size=5)


def toml(value: Any) -> str:  # noqa: ANN401  any TOML value
    """Write *value* inline; JSON's strings are TOML's where no control character is in them."""
    match value:
        case dict():
            return "{" + ", ".join(f"{quoted(k)} = {toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case str():
            return quoted(value)
        case bool():
            return str(value).lower()
    return str(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def lines_of(table: dict[str, Any]) -> str:
    return "\n".join(f"{quoted(key)} = {toml(value)}" for key, value in table.items())


def loads_or_tells(content: bytes, environ: dict[str, str]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(content)
        file.flush()
        with suppress(SettingsError):
            load(Path(file.name), environ)


@settings(max_examples=400, deadline=None)
@given(TABLES, VARIABLES)
def test_any_table_and_any_variables_load_or_are_refused(
    table: dict[str, Any], environ: dict[str, str]
) -> None:
    loads_or_tells(lines_of(table).encode(), environ)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace"))
)
def test_any_bytes_load_or_are_refused(content: bytes) -> None:
    loads_or_tells(content, {})


def keys_in(table: dict[str, Any], around: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key in table:
        yield (*around, key)


@settings(max_examples=200, deadline=None)
@given(TABLES)
def test_every_key_is_found_on_the_line_it_stands_on(table: dict[str, Any]) -> None:
    text = lines_of(table)

    assert list(tomllib.loads(text)) == list(table)
    assert key_lines(text) == {path: line for line, path in enumerate(keys_in(table), 1)}


def test_lines_are_counted_through_every_form_of_toml() -> None:
    text = '''# a comment with [brackets] and "quotes
[ a . "b.c" ]  # after
x = """
y = [ \\""" ]
"""""
z = [ # ]
  "]", [ 1 ],
]
'l.m' . n = { o = 1 }
[[t]]
k = \'\'\'
[no]\'\'\'
last = 1'''

    assert key_lines(text) == {
        ("a", "b.c"): 2,
        ("a", "b.c", "x"): 3,
        ("a", "b.c", "z"): 6,
        ("a", "b.c", "l.m", "n"): 9,
        ("t",): 10,
        ("t", "k"): 11,
        ("t", "last"): 13,
    }
