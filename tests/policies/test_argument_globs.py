from __future__ import annotations

import random
import re
import time
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.arguments import ArgumentTest, pattern_problem, run
from policies.arguments.globs import glob_check
from policies.model import Entity, Fact

WRITE = Entity("Tool", "repo__write")


def expression(glob: str) -> re.Pattern[str]:
    """Return the regular expression that says what *glob* means, however slowly."""
    meanings = {"**": ".*", "*": "[^/]*"}
    tokens = re.findall(r"\*\*|\*|[^*]", glob, re.DOTALL)
    return re.compile("".join(meanings.get(token, re.escape(token)) for token in tokens), re.DOTALL)


def words(alphabet: str, longest: int) -> list[str]:
    lengths = range(longest + 1)
    return ["".join(word) for length in lengths for word in product(alphabet, repeat=length)]


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("main", "main"),
        ("*", "main"),
        ("*", ""),
        ("**", ""),
        ("**", "a/b"),
        ("refs/heads/*", "refs/heads/main"),
        ("refs/heads/*", "refs/heads/"),
        ("src/**", "src/a/b.py"),
        ("src/**/*.py", "src/a/b/c.py"),
        ("**/*.py", "a/b.py"),
        ("*.tar.*", "a.tar.gz"),
        ("*-*-*", "a-b-c-d"),
        ("**a*b/c*d**", "xaab/c/acb/cd/"),
        ("https://api.example.com/v1/**", "https://api.example.com/v1/users/1"),
        ("what?", "what?"),
        ("[ab]", "[ab]"),
        ("{a,b}", "{a,b}"),
        ("a\\*", "a\\anything"),
        ("caf\u00e9*", "caf\u00e9s"),
        ("*", "\u202etxt"),
        ("*", "x" * 8192),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_glob_matches_the_whole_string(glob: str, text: str) -> None:
    tests = [ArgumentTest("argument_matches", "x", glob)]

    assert run(tests, WRITE, {"x": text}) == [Fact("argument_matches", (WRITE, "x", glob))]


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("main", "Main"),
        ("main", "main2"),
        ("main", "amain"),
        ("main", ""),
        ("*", "a/b"),
        ("*", "/"),
        ("refs/heads/*", "refs/heads/a/b"),
        ("refs/heads/*", "refs/heads"),
        ("src/**/*.py", "src/a.py"),
        ("**/*.py", "a.py"),
        ("a*a", "a"),
        ("a**a", "a"),
        ("ab**bc", "abc"),
        ("a*/b", "a/x/b"),
        ("wha?", "what"),
        ("[ab]", "a"),
        ("{a,b}", "a"),
        ("a\\*", "a*"),
        ("caf\u00e9", "cafe\u0301"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_glob_that_leaves_a_part_over_fails(glob: str, text: str) -> None:
    tests = [ArgumentTest("argument_matches", "x", glob)]

    assert run(tests, WRITE, {"x": text}) == [Fact("argument_not_matches", (WRITE, "x", glob))]


@pytest.mark.parametrize(
    "text",
    [
        *("a\0", "\0", "a\nb", "a\r", "\ta", "\x1b[0m", "\x7f", "\x85", "\x9f", "\u2028", "\u2029"),
        *("\ud800", "a\udfff", "x" * 8193, "\u00e9" * 4097),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_text_with_a_control_a_surrogate_or_over_8_kib_supplies_neither_fact(text: str) -> None:
    tests = [ArgumentTest("argument_matches", "x", glob) for glob in ("**", "*", "a", "a**")]

    assert run(tests, WRITE, {"x": text}) == []


def test_every_short_glob_means_what_its_expression_means_on_every_short_text() -> None:
    globs = [glob for glob in words("ab/*", 5) if "***" not in glob]
    texts = words("ab/", 5)

    for glob in globs:
        check, meaning = glob_check(glob), expression(glob)
        wrong = [text for text in texts if check(text) != bool(meaning.fullmatch(text))]
        assert (glob, wrong) == (glob, [])


PIECES = ["a", "b", "ab", "/", "a/b", "//", "*", "**"]


@given(st.lists(st.sampled_from(PIECES), max_size=12), st.text("ab/", max_size=40))
@settings(max_examples=500, deadline=None)
def test_a_longer_glob_means_what_its_expression_means(pieces: list[str], text: str) -> None:
    glob = re.sub(r"\*{3,}", "**", "".join(pieces))

    assert glob_check(glob)(text) is bool(expression(glob).fullmatch(text))


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(10))
def test_a_great_many_globs_mean_what_their_expressions_mean(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(2_000):
        pieces = choose.choices(PIECES, k=choose.randrange(14))
        glob = re.sub(r"\*{3,}", "**", "".join(pieces))
        check, meaning = glob_check(glob), expression(glob)
        for _ in range(50):
            text = "".join(choose.choices("aab/", k=choose.randrange(40)))
            assert check(text) is bool(meaning.fullmatch(text)), (glob, text)


@pytest.mark.parametrize(
    "glob",
    [
        "*a*a*a*a*b",
        "*a" * 180 + "*b",
        "**a**a**a**a**b",
        "**a" * 120 + "**b",
        "**a*b**",
        "**a*a*b**c",
        "**a*a/*a/*b**",
        "**a/*a/*a/*b/**a*b",
        "**" + "*/" * 60 + "b**",
        "**" + "a" * 190 + "*b**",
        "*" + "a" * 380 + "b",
        "**a*b/**a*b",
    ],
    ids=lambda glob: glob[:20],
)
def test_no_glob_takes_long_on_8_kib(glob: str) -> None:
    texts = ["a" * 8192, "a/" * 4096, "aaaaaaa/" * 1024, "/" * 8192, "a" * 4096 + "/" + "a" * 4095]
    check = glob_check(glob)

    began = time.thread_time()  # of this thread alone: others of the process have work too
    verdicts = [check(text) for text in texts]

    assert verdicts == [False] * len(texts)
    assert time.thread_time() - began < 0.25


@pytest.mark.parametrize(
    "glob",
    [
        "https://*.example.com/**",
        "https://*/x",
        "https://**",
        "https://api.example.com*",
        "https://api.example.com**/x",
        "https://api.example.com:*/x",
        "https://*@api.example.com/",
        "https://api.example.com\\**",
        "HTTPS://*.example.com/",
        "*://api.example.com/**",
        "http*://api.example.com/**",
        "**://api.example.com/**",
        "**//api.example.com/**",
        "//*.example.com/",
        "https:*",
        "https:**",
        "https:/*",
        "https:///*",
        "https:\\\\*",
        "https:api.*/x",
        "http*",
        "http**",
        "s3://*/key",
    ],
)
def test_a_wildcard_in_the_authority_of_a_url_is_a_problem_that_names_argument_host(
    glob: str,
) -> None:
    tests = [ArgumentTest("argument_matches", "url", glob)]
    problem = pattern_problem("argument_matches", glob)

    assert problem is not None
    assert "argument_host" in problem
    assert pattern_problem("argument_not_matches", glob) == problem
    assert run(tests, WRITE, {"url": "https://api.example.com/x"}) == []


@pytest.mark.parametrize(
    "glob",
    ["", "***", "a***b", "****", "a\0b", "a\nb", "a\x7f", "\ud800", "a" * 385, "\u00e9" * 193],
    ids=lambda glob: ascii(glob)[:20],
)
def test_a_glob_that_can_match_nothing_regular_is_a_problem_and_supplies_no_fact(glob: str) -> None:
    tests = [ArgumentTest("argument_matches", "x", glob)]

    assert pattern_problem("argument_matches", glob) is not None
    assert run(tests, WRITE, {"x": glob}) == []
    assert run(tests, WRITE, {"x": "a"}) == []


@pytest.mark.parametrize(
    "glob",
    [
        "*",
        "**",
        "**/*.py",
        "a*b**c",
        "https://api.example.com/**",
        "https://api.example.com/*?q=*",
        "https://api.example.com?q=*",
        "https://api.example.com/?next=https://*.example.com/",
        "http-*",
        "httpd/*",
        "[a",
        "{a",
        "a" * 384,
    ],
    ids=lambda glob: glob[:30],
)
def test_a_glob_that_can_be_right_is_no_problem(glob: str) -> None:
    assert pattern_problem("argument_matches", glob) is None
