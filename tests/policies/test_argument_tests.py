from __future__ import annotations

import posixpath
import time
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.arguments import COMPLEMENTS, ArgumentTest, ambiguous_keys, pattern_problem, run
from policies.model import Entity, Fact, Value

TOOL = Entity("Tool", "files__read")
PROMPT = Entity("Prompt", "files__summary")

MATCHES = ArgumentTest("argument_matches", "x", "ok*")
UNDER = ArgumentTest("argument_under", "x", "/ok")
HOST = ArgumentTest("argument_host", "x", "ok.example")

PASSES = {MATCHES: "okay", UNDER: "/ok/a", HOST: "https://ok.example/"}
FAILS = {MATCHES: "bad", UNDER: "/bad", HOST: "https://bad.example/"}
IRREGULAR = {MATCHES: "ok\n", UNDER: "/ok/../a", HOST: "https://a@ok.example/"}

pattern_tests = pytest.mark.parametrize("test", PASSES, ids=lambda test: test.predicate)


def holding(test: ArgumentTest, value: object) -> list[str]:
    """Return the predicates that hold of *value*, and check that the facts say no more."""
    facts = run([test], TOOL, {"x": value})
    assert all(fact.args == (TOOL, "x", test.pattern) for fact in facts)
    return [fact.predicate for fact in facts]


@pattern_tests
def test_a_string_that_passes_gives_the_fact(test: ArgumentTest) -> None:
    assert holding(test, PASSES[test]) == [test.predicate]


@pattern_tests
def test_a_string_that_fails_gives_the_complement(test: ArgumentTest) -> None:
    assert holding(test, FAILS[test]) == [COMPLEMENTS[test.predicate]]


@pattern_tests
def test_an_irregular_string_gives_neither(test: ArgumentTest) -> None:
    assert holding(test, IRREGULAR[test]) == []


@pattern_tests
@pytest.mark.parametrize("value", [None, True, False, 0, 1, 1.5, {}, {"x": "okay"}, []], ids=repr)
def test_a_value_that_is_no_string_gives_neither(test: ArgumentTest, value: object) -> None:
    assert holding(test, value) == []


@pattern_tests
def test_an_absent_key_gives_neither(test: ArgumentTest) -> None:
    assert run([test], TOOL, {"y": PASSES[test]}) == []


@pattern_tests
def test_an_array_whose_elements_all_pass_gives_the_fact(test: ArgumentTest) -> None:
    assert holding(test, [PASSES[test]]) == [test.predicate]
    assert holding(test, [PASSES[test]] * 3) == [test.predicate]


@pattern_tests
def test_an_array_whose_elements_all_fail_gives_the_complement(test: ArgumentTest) -> None:
    assert holding(test, [FAILS[test]]) == [COMPLEMENTS[test.predicate]]
    assert holding(test, [FAILS[test]] * 3) == [COMPLEMENTS[test.predicate]]


@pattern_tests
@pytest.mark.parametrize("order", [1, -1])
def test_a_mixed_array_gives_neither(test: ArgumentTest, order: int) -> None:
    assert holding(test, [PASSES[test], FAILS[test]][::order]) == []


@pattern_tests
@pytest.mark.parametrize("known", [PASSES, FAILS], ids=["passes", "fails"])
@pytest.mark.parametrize("order", [1, -1])
def test_an_array_with_one_unjudged_element_gives_neither(
    test: ArgumentTest, known: dict[ArgumentTest, str], order: int
) -> None:
    odds: list[object] = [IRREGULAR[test], None, 1, True, {}, [], [known[test]], "x" * 8193]
    for odd in odds:
        assert holding(test, [known[test], odd][::order]) == []


@pattern_tests
def test_a_nested_array_gives_neither(test: ArgumentTest) -> None:
    assert holding(test, [[PASSES[test]]]) == []
    assert holding(test, [[FAILS[test]]]) == []


@pytest.mark.parametrize(
    "value",
    [
        "a",
        " ",
        "\0",
        "a\nb",
        "x" * 384,
        "\u00e9" * 192,
        0,
        1,
        -1,
        2**53 - 1,
        1 - 2**53,
        True,
        False,
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_value_a_fact_can_carry_is_supplied_with_its_type(value: Value) -> None:
    facts = run([ArgumentTest("argument", "x")], TOOL, {"x": value})

    assert facts == [Fact("argument", (TOOL, "x", value))]
    assert type(facts[0].args[2]) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x" * 385,
        "\u00e9" * 193,
        "\ud800",
        2**53,
        -(2**53),
        10**400,
        1.0,
        0.5,
        float("nan"),
        float("inf"),
        None,
        {},
        {"a": 1},
        [],
        [[]],
        [["a"]],
        [None],
        [1.0],
        [2**53],
        ["a", "b"],
        ["a", "a", "b"],
        ["b", "a", "a"],
        ["a", None],
        ["a", ["a"]],
        ["", ""],
        [1, True],
        [True, 1],
        [0, False],
        [1, 1.0],
        [1.0, 1],
        ["1", 1],
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_value_a_fact_cannot_carry_is_present_without_being_known(value: object) -> None:
    tests = [ArgumentTest("argument", "x"), ArgumentTest("argument_present", "x")]

    assert run(tests, TOOL, {"x": value}) == [Fact("argument_present", (TOOL, "x"))]


@pytest.mark.parametrize("value", ["a", 1, True, False])
def test_an_array_of_one_repeated_value_is_that_value(value: Value) -> None:
    facts = run([ArgumentTest("argument", "x")], TOOL, {"x": [value, value]})

    assert facts == [Fact("argument", (TOOL, "x", value))]
    assert type(facts[0].args[2]) is type(value)


def test_facts_come_in_the_order_of_the_tests_and_name_the_resource_and_key() -> None:
    tests = [
        ArgumentTest("argument_under", "/file/path", "/srv"),
        ArgumentTest("argument_present", "missing"),
        ArgumentTest("argument", "limit"),
        ArgumentTest("argument_present", "file"),
        ArgumentTest("argument_host", "/urls", "*.example.com"),
    ]
    arguments = {"file": {"path": "/etc"}, "limit": 5, "urls": ["https://a.example.com"]}

    assert run(tests, PROMPT, arguments) == [
        Fact("argument_not_under", (PROMPT, "/file/path", "/srv")),
        Fact("argument", (PROMPT, "limit", 5)),
        Fact("argument_present", (PROMPT, "file")),
        Fact("argument_host", (PROMPT, "/urls", "*.example.com")),
    ]


@pytest.mark.parametrize(
    ("predicate", "pattern"),
    [
        ("argument_matches", None),
        ("argument_host", None),
        ("argument_present", "x"),
        ("argument", "x"),
        ("argument_not_host", "x"),
        ("uri_matches", "x"),
    ],
)
def test_a_test_that_makes_no_sense_cannot_be_made(predicate: str, pattern: str | None) -> None:
    with pytest.raises(ValueError, match=predicate):
        ArgumentTest(predicate, "x", pattern)


@pytest.mark.parametrize("predicate", ["argument", "argument_present", "uri_under"])
def test_only_the_predicates_with_a_pattern_have_pattern_problems(predicate: str) -> None:
    with pytest.raises(KeyError):
        pattern_problem(predicate, "x")


SEGMENTS = ["/", "/ok", "/a", "..", ".", "%", "\\", "~", "\0", "\u202e", "e\u0301", "\ud800", "*"]
ADDRESSES = ["https://", "HTTP://", "ok.example", "a.", "@", ":80", ":", "?", "#", "127.0.0.1"]
STRINGS = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(), max_size=5),
    st.lists(st.sampled_from(SEGMENTS + ADDRESSES), max_size=6).map("".join),
    st.sampled_from(["", "x" * 384, "x" * 385, "x" * 8192, "x" * 8193, "\u00e9" * 4097]),
    st.sampled_from([*PASSES.values(), *FAILS.values(), *IRREGULAR.values()]),
)
KEYS = st.one_of(st.sampled_from(["x", "X", "x\0", "a", "0", "", "~", "/x", "\ud800"]), STRINGS)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), STRINGS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)
ARGUMENTS = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=4),
    VALUES.map(lambda value: {"x": value}),
    st.lists(STRINGS, max_size=3).map(lambda value: {"x": value}),
)
PATTERNS = st.one_of(STRINGS, st.sampled_from(["ok*", "**", "/ok", "ok.example", "*.ok.example"]))
TESTS = st.one_of(
    st.builds(ArgumentTest, st.sampled_from(["argument_present", "argument"]), KEYS),
    st.builds(ArgumentTest, st.sampled_from([*COMPLEMENTS]), st.just("x"), PATTERNS),
    st.builds(
        ArgumentTest,
        st.sampled_from([*COMPLEMENTS]),
        st.one_of(KEYS, st.sampled_from(["/x", "/x/0", "/x/x", "/a/0/x"])),
        PATTERNS,
    ),
)


@given(st.lists(TESTS, max_size=6), ARGUMENTS)
@settings(max_examples=500, deadline=None)
def test_no_json_value_makes_a_test_raise_or_gives_both_polarities(
    tests: list[ArgumentTest], arguments: dict[str, object]
) -> None:
    ambiguous_keys(arguments, [test.key for test in tests])
    facts = run(tests, TOOL, arguments)

    assert len(facts) <= len(tests)
    for fact in facts:
        assert Fact(COMPLEMENTS.get(fact.predicate, ""), fact.args) not in facts
        assert all(len(arg.encode()) <= 384 for arg in fact.args if isinstance(arg, str))
        assert not any(isinstance(arg, float) for arg in fact.args)


@given(st.one_of(STRINGS, st.lists(STRINGS, max_size=3)), PATTERNS)
@settings(max_examples=500, deadline=None)
def test_a_path_of_which_anything_is_said_is_absolute_and_normal(
    value: str | list[str], directory: str
) -> None:
    test = ArgumentTest("argument_under", "x", directory)

    if holding(test, value):
        paths = [value] if isinstance(value, str) else value
        assert paths != []
        assert all(path.startswith("/") and posixpath.normpath(path) == path for path in paths)


@given(st.one_of(STRINGS, st.lists(STRINGS, max_size=3)), PATTERNS)
@settings(max_examples=500, deadline=None)
def test_a_url_of_which_anything_is_said_has_a_host_to_urlsplit_too(
    value: str | list[str], host: str
) -> None:
    test = ArgumentTest("argument_host", "x", host)

    if predicates := holding(test, value):
        urls = [value] if isinstance(value, str) else value
        hosts = [urlsplit(url).hostname or "" for url in urls]
        suffix = host.lower().removeprefix("*")
        passed = [h.endswith(suffix) if suffix != host.lower() else h == suffix for h in hosts]
        assert set(passed) == {predicates == ["argument_host"]}


@given(VALUES)
@settings(max_examples=500, deadline=None)
def test_each_test_alone_gives_at_most_one_polarity_of_any_value(value: object) -> None:
    for test in PASSES:
        assert holding(test, value) in ([], [test.predicate], [COMPLEMENTS[test.predicate]])


def test_many_patterns_in_turn_are_judged_as_if_each_were_the_only_one() -> None:
    tests = [ArgumentTest("argument_matches", "x", f"{n}*") for n in range(5000)]

    facts = run([*tests, *tests], TOOL, {"x": "4999"})

    passed = [fact for fact in facts if fact.predicate == "argument_matches"]
    assert [fact.args[2] for fact in passed] == ["4*", "49*", "499*", "4999*"] * 2
    assert len(facts) == 10_000


def test_a_megabyte_of_hostile_strings_is_tested_in_linear_time() -> None:
    hostile = {
        MATCHES: "ok" + "\u0315\u0300" * 2000,
        UNDER: "/ok/" + "\u0315\u0300\u05ae" * 1300,
        HOST: "https://" + "a." * 4000 + "@",
    }

    began = time.process_time()
    for test, text in hostile.items():
        run([test], TOOL, {"x": [text] * 128})

    assert time.process_time() - began < 1
