from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Mapping

import pytest

from policies.arguments import ArgumentTest, ambiguous_keys, key_problem, run
from policies.arguments.keys import _folded
from policies.model import Entity

TOOL = Entity("Tool", "files__read")


def is_present(arguments: Mapping[str, object], key: str) -> bool:
    return run([ArgumentTest("argument_present", key)], TOOL, arguments) != []


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("path", {"path": 1}),
        ("path", {"path": None}),
        ("path", {"path": []}),
        ("path", {"path": {}}),
        ("path", {"path": 1.0}),
        ("a.b", {"a.b": 1}),
        ("a/b", {"a/b": 1}),
        ("a~b", {"a~b": 1}),
        ("-", {"-": 1}),
        ("0", {"0": 1}),
        (" ", {" ": 1}),
        ("/path", {"path": 1}),
        ("/a/b", {"a": {"b": 1}}),
        ("/a/b", {"a": {"b": None}}),
        ("/a~1b", {"a/b": 1}),
        ("/~1path", {"/path": 1}),
        ("/m~0n", {"m~n": 1}),
        ("/~01", {"~1": 1}),
        ("/~10", {"/0": 1}),
        ("/", {"": 1}),
        ("//", {"": {"": 1}}),
        ("/a/", {"a": {"": 1}}),
        ("/a/0", {"a": [1]}),
        ("/a/10", {"a": list(range(11))}),
        ("/a/0/b", {"a": [{"b": 1}]}),
        ("/a/0/1", {"a": [[1, 2]]}),
        ("/a/01", {"a": {"01": 1}}),
        ("/a/-", {"a": {"-": 1}}),
    ],
)
def test_a_key_names_what_is_there(key: str, arguments: Mapping[str, object]) -> None:
    assert is_present(arguments, key)


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("path", {}),
        ("path", {"Path": 1}),
        ("path", {"/path": 1}),
        ("a.b", {"a": {"b": 1}}),
        ("a/b", {"a": {"b": 1}}),
        ("0", {"a": [1]}),
        ("/path", {"/path": 1}),
        ("/a~1b", {"a": {"b": 1}}),
        ("/a/b", {"a/b": 1}),
        ("/a/b", {"a": {}}),
        ("/a/b", {"a": "b"}),
        ("/a/b", {"a": None}),
        ("/a/b", {"a": [{"b": 1}]}),
        ("/a/0", {"a": []}),
        ("/a/1", {"a": [1]}),
        ("/a/0", {"a": "text"}),
        ("/a/-", {"a": [1]}),
        ("/a/-1", {"a": [1]}),
        ("/a/+0", {"a": [1]}),
        ("/a/00", {"a": [1]}),
        ("/a/01", {"a": [1, 2]}),
        ("/a/0x0", {"a": [1]}),
        ("/a/ 0", {"a": [1]}),
        ("/a/0\u0660", {"a": [1]}),
        ("/a/\u0660", {"a": [1]}),
        ("/a/\u00b2", {"a": [1, 2, 3]}),
        ("/a/" + "9" * 300, {"a": [1]}),
        ("/a/", {"a": [1]}),
        ("/", {"a": 1}),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_key_names_nothing_else(key: str, arguments: Mapping[str, object]) -> None:
    assert not is_present(arguments, key)


@pytest.mark.parametrize(
    "key",
    ["", "/~", "/~2", "/a~/b", "/a/~", "/~a", "/~~0", "a\0", "/a\n", "\x7f", "\ud800", "k" * 385],
    ids=lambda key: ascii(key)[:20],
)
def test_a_malformed_key_is_a_problem_and_names_nothing(key: str) -> None:
    assert key_problem(key) is not None
    assert not is_present({key: 1, "": 1, "a": {"b": 1}}, key)
    assert ambiguous_keys({key: 1, key.upper(): 2}, [key]) == []


@pytest.mark.parametrize("key", ["path", "a.b", "~", "~2", "a/~", "/", "/a/b", "/~0~1", "k" * 384])
def test_a_well_formed_key_is_no_problem(key: str) -> None:
    assert key_problem(key) is None


LOOKALIKES = {
    "another case": "Path",
    "all upper case": "PATH",
    "fullwidth letters": "\uff50\uff41\uff54\uff48",
    "one fullwidth letter": "p\uff41th",
    "fullwidth capitals": "\uff30ath",
    "mathematical letters": "\U0001d429\U0001d41a\U0001d42d\U0001d421",
    "circled letters": "\u24dfath",
    "NUL at the end": "path\0",
    "NUL at the start": "\0path",
    "NUL inside": "pa\0th",
    "NUL and more after it": "path\0.txt",
    "many NULs": "p\0\0a\0t\0h" + "\0" * 1000,
    "NUL and another case": "PA\0TH",
    "NUL and a fullwidth capital": "\uff30A\0th",
}


@pytest.mark.parametrize("lookalike", LOOKALIKES.values(), ids=LOOKALIKES)
def test_a_key_that_folds_onto_a_tested_key_is_ambiguous(lookalike: str) -> None:
    assert ambiguous_keys({lookalike: 1}, ["path"]) == [lookalike]
    assert ambiguous_keys({lookalike: 1, "path": 2, "other": 3}, ["path"]) == [lookalike]
    assert ambiguous_keys({lookalike: 1}, ["/path"]) == [lookalike]
    assert ambiguous_keys({lookalike: 1}, ["/path/0/x"]) == [lookalike]


@pytest.mark.parametrize(
    ("tested", "lookalike"),
    [
        ("kind", "\u212aind"),
        ("links", "link\u017f"),
        ("stra\u00dfe", "STRASSE"),
        ("stra\u00dfe", "stra\u1e9ee"),
        ("strasse", "stra\u00dfe"),
        ("id", "\u0130d"),
        ("id", "I\u0307d"),
        ("id", "\u0131d"),
        ("ID", "\u0131d"),
        ("caf\u00e9", "cafe\u0301"),
        ("cafe\u0301", "caf\u00e9"),
        ("caf\u00e9", "CAFE\u0301"),
        ("caf\u00e9", "CAFE\0\u0301"),
        ("\u03c3", "\u03c2"),
        ("\u03bc", "\u00b5"),
        ("fi", "\ufb01"),
        ("Path", "path"),
        ("\u1fb3", "\u0391\u0345"),
        ("\uac01", "\u1100\u1161\u11a8"),
    ],
    ids=ascii,
)
def test_folding_joins_case_and_compatible_forms_both_ways(tested: str, lookalike: str) -> None:
    assert ambiguous_keys({lookalike: 1}, [tested]) == [lookalike]
    assert ambiguous_keys({tested: 1}, [lookalike.replace("\0", "")]) == [tested]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ({"path": 1}, ["path"]),
        ({"path": 1, "paths": 2, "pat": 3, "p ath": 4, "other": 5}, ["path"]),
        ({"PATH": 1}, []),
        ({"PATH": 1}, ["other"]),
        ({"a": {"PATH": 1}}, ["path"]),
        ({"b": {"PATH": 1}}, ["/a/path"]),
        ({"a": [{"PATH": 1}]}, ["/a/path"]),
        ({"a": ["PATH"]}, ["/a/0"]),
        ({"a": "PATH"}, ["/a/path"]),
        ({"\u0430": 1}, ["a"]),
        ({"": 1}, ["a"]),
    ],
)
def test_an_equal_or_unrelated_key_is_not_ambiguous(
    arguments: Mapping[str, object], keys: list[str]
) -> None:
    assert ambiguous_keys(arguments, keys) == []


@pytest.mark.parametrize(
    ("arguments", "key", "ambiguous"),
    [
        ({"a": {"PATH": 1}}, "/a/path", ["PATH"]),
        ({"a": {"PATH": 1, "path": 2}}, "/a/path", ["PATH"]),
        ({"A": {"path": 1}}, "/a/path", ["A"]),
        ({"a": [{"B": 1}]}, "/a/0/b", ["B"]),
        ({"a": {"\uff10": 1}}, "/a/0", ["\uff10"]),
        ({"a": {"B/C": 1}}, "/a/b~1c", ["B/C"]),
        ({"a": {"B": {"c": 1}}}, "/a/b/c", ["B"]),
    ],
)
def test_a_pointer_is_guarded_at_each_level(
    arguments: Mapping[str, object], key: str, ambiguous: list[str]
) -> None:
    assert ambiguous_keys(arguments, [key]) == ambiguous


def test_tested_keys_that_fold_onto_each_other_are_ambiguous() -> None:
    assert ambiguous_keys({"userId": 1}, ["userId", "userid"]) == ["userId"]


def test_every_ambiguous_key_is_named_once_in_the_order_of_the_call() -> None:
    arguments = {"URL": 1, "Path": 2, "x": 3, "PATH": 4}

    assert ambiguous_keys(arguments, ["path", "/path/x", "url"]) == ["URL", "Path", "PATH"]


def test_folding_again_changes_no_character() -> None:
    characters = map(chr, range(sys.maxunicode + 1))

    restless = [c for c in characters if _folded(_folded(c)) != _folded(c)]

    assert restless == []


def test_every_case_form_of_a_character_folds_alike() -> None:
    letters = [c for c in map(chr, range(0x20000)) if unicodedata.category(c).startswith("L")]

    apart = [
        c for c in letters if any(_folded(form) != _folded(c) for form in (c.casefold(), c.upper()))
    ]

    assert apart == []


def test_long_keys_of_combining_marks_are_folded_in_linear_time() -> None:
    marks = "\u0315\u0300\u05ae\u0321" * 20_000
    arguments = {"a" + marks: 1, "b\0" + marks: 2, marks + "\0": 3, "\0" * 1_000_000: 4}

    began = time.process_time()
    ambiguous = ambiguous_keys(arguments, ["path", "b"])

    assert ambiguous == ["b\0" + marks]
    assert time.process_time() - began < 1
