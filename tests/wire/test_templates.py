"""URI templates: no URI that values can give is missed, and no text makes matching slow."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.uri_template import UriTemplate

from proxy.wire import templates
from proxy.wire.templates import MAX_EXPRESSIONS, MAX_TEMPLATE, Template, TemplateError

HALF = "\ud800"
VALUES = {
    "var": "value",
    "hello": "Hello World!",
    "half": "50%",
    "base": "http://example.com/home/",
    "path": "/foo/bar",
    "who": "fred",
    "dub": "me/too",
    "x": "1024",
    "y": "768",
    "empty": "",
    "v": "6",
    "cafe": "caf\xe9",
    "coded": "a%2Fb%zz",
}

# What section 3.2 of RFC 6570 says of those values.
EXPANSIONS = [
    ("", ""),
    ("plain", "plain"),
    ("{var}", "value"),
    ("{hello}", "Hello%20World%21"),
    ("{half}", "50%25"),
    ("O{empty}X", "OX"),
    ("{path}/here", "%2Ffoo%2Fbar/here"),
    ("{cafe}", "caf%C3%A9"),
    ("{coded}", "a%252Fb%25zz"),
    ("map?{x}", "map?1024"),
    ("{x}{y}", "1024768"),
    ("{+var}", "value"),
    ("{+hello}", "Hello%20World!"),
    ("{+half}", "50%25"),
    ("{base}index", "http%3A%2F%2Fexample.com%2Fhome%2Findex"),
    ("{+base}index", "http://example.com/home/index"),
    ("O{+empty}X", "OX"),
    ("{+path}/here", "/foo/bar/here"),
    ("here?ref={+path}", "here?ref=/foo/bar"),
    ("up{+path}{var}/here", "up/foo/barvalue/here"),
    ("{+coded}", "a%2Fb%25zz"),
    ("{/who}", "/fred"),
    ("{/who}{/who}", "/fred/fred"),
    ("{/half}{/who}", "/50%25/fred"),
    ("{/who}{/dub}", "/fred/me%2Ftoo"),
    ("{/var}{/empty}", "/value/"),
    ("{?who}", "?who=fred"),
    ("{?half}", "?half=50%25"),
    ("{?x,y}", "?x=1024&y=768"),
    ("{?x,y,empty}", "?x=1024&y=768&empty="),
    ("{&who}", "&who=fred"),
    ("?fixed=yes{&x}", "?fixed=yes&x=1024"),
    ("{&x,y,empty}", "&x=1024&y=768&empty="),
    ("test://{var}/caf\xe9%2f'{x}", "test://value/caf%C3%A9%2f'1024"),
]

# Of these only the match is asked: lists are ("red", "green", "blue"), keys are
# (semi ";"), (dot "."), (comma ",").
MATCHES = [
    ("{x,y}", "1024,768"),
    ("{x,hello,y}", "1024,Hello%20World%21,768"),
    ("{var:3}", "val"),
    ("{var:30}", "value"),
    ("{list}", "red,green,blue"),
    ("{list*}", "red,green,blue"),
    ("{keys}", "semi,%3B,dot,.,comma,%2C"),
    ("{keys*}", "semi=%3B,dot=.,comma=%2C"),
    ("{+path:6}/here", "/foo/b/here"),
    ("{+keys}", "semi,;,dot,.,comma,,"),
    ("{+keys*}", "semi=;,dot=.,comma=,"),
    ("{#var}", "#value"),
    ("{#path:6}here", "#/foo/bhere"),
    ("{#keys*}", "#semi=;,dot=.,comma=,"),
    ("X{.var}", "X.value"),
    ("X{.x,y}", "X.1024.768"),
    ("X{.list*}", "X.red.green.blue"),
    ("X{.keys*}", "X.semi=%3B.dot=..comma=%2C"),
    ("X{.nothing}", "X"),
    ("{/var:1,var}", "/v/value"),
    ("{/list*,path:4}", "/red/green/blue/%2Ffoo"),
    ("{/keys*}", "/semi=%3B/dot=./comma=%2C"),
    ("{;x,y,empty}", ";x=1024;y=768;empty"),
    ("{;v,empty,who}", ";v=6;empty;who=fred"),
    ("{;list*}", ";list=red;list=green;list=blue"),
    ("{;keys*}", ";semi=%3B;dot=.;comma=%2C"),
    ("{?list}", "?list=red,green,blue"),
    ("{?keys*}", "?semi=%3B&dot=.&comma=%2C"),
    ("{&var:3}", "&var=val"),
    ("?fixed=yes{&x,nothing}", "?fixed=yes&x=1024"),
]

NEVER = [
    ("", "a"),
    ("a", ""),
    ("a", "aa"),
    ("file:///{name}", "file:///a/b"),
    ("file:///{name}", "file:///a?b"),
    ("file:///{name}", "file:///a:b"),
    ("file:///{name}", "file:///a=b"),
    ("file:///{name}", "file:///a b"),
    ("file:///{name}", "file:///a\xe9"),
    ("file:///{name}", "file://"),
    ("file:///{name}.md", "file:///a.txt"),
    ("file:///{name}.md", "file:///a.md/b"),
    ("file:///{name}/x", "FILE:///a/x"),
    ("file:///{+name}", "file:/etc/passwd"),
    ("file:///{+name}", "file:///a\0"),
    ("file:///{+name}", "file:///a\xe9"),
    ("test://template/{id}/data", "test://template/12/34/data"),
    ("test://template/{id}/data", "test://template/12/dataX"),
    ("test://a{/b}", "test://ab"),
    ("test://a{/b}", "test://a/b?c"),
    ("test://a{?b}", "test://ab=1"),
    ("test://a{?b}", "test://a?b=1?"),
    ("test://a{?b}", "test://a&b=1"),
    ("test://a{&b}", "test://a?b=1"),
    ("test://a{.b}", "test://ab"),
    ("test://a{;b}", "test://a/b"),
    ("test://a{#b}", "test://ab"),
    ("{x}1{y}2", "1"),
    ("caf\xe9", "caf\xe9"),
]

MALFORMED = [
    "{", "}", "{}", "{{x}}", "{x", "x}", "{x}}", "{ x}", "{x }", "{x,}", "{,x}", "{x,,y}", "{+}",
    "{?}", "{++x}", "{=x}", "{!x}", "{@x}", "{|x}", "{-x}", "{x-y}", "{.}", "{x.}", "{x..y}",
    "{x:}", "{x:0}", "{x:01}", "{x:10000}", "{x:3*}", "{x*:3}", "{x**}", "{x%}", "{x%2}", "{x%GG}",
    "{caf\xe9}", "{x\u0663}", "{x\n}", "a b", "a\n", 'a"b', "a<b", "a>b", "a\\b", "a^b", "a`b",
    "a|b", "a%", "a%2", "a%2G", "a\0", "a\x7f", "a\x80", HALF, "\ufdd0", "\ufffe", "{x:\u0663}",
]  # fmt: skip


@pytest.mark.parametrize(("text", "uri"), EXPANSIONS)
def test_a_template_expands_as_the_standard_says(text: str, uri: str) -> None:
    template = Template.parse(text)

    assert template.expanded(VALUES) == uri
    assert template.may_expand_to(uri)


@pytest.mark.parametrize(("text", "uri"), MATCHES)
def test_what_lists_tables_and_modifiers_give_is_accepted(text: str, uri: str) -> None:
    assert Template.parse(text).may_expand_to(uri)


@pytest.mark.parametrize(
    "text",
    [
        *("{a,b}", "{+a,b}", "{/a,b}", "{#a}", "{.a}", "{;a}", "{a:3}", "{a*}", "{+a:3}", "{/a*}"),
        *("{?a*}", "{?a,b:3}", "{&a*}", "x://{b}{?a}{#a}"),
    ],
)
def test_an_expression_that_is_only_matched_is_not_expanded(text: str) -> None:
    assert Template.parse(text).expanded({"a": "1", "b": "2"}) is None


@pytest.mark.parametrize(("text", "uri"), NEVER)
def test_what_no_values_give_is_not_accepted(text: str, uri: str) -> None:
    assert not Template.parse(text).may_expand_to(uri)


@pytest.mark.parametrize("text", MALFORMED)
def test_a_malformed_template_is_refused(text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.parse(text)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "text", ["a" * MAX_TEMPLATE, "{x}" * MAX_EXPRESSIONS, "{?" + ",".join("x" * 900) + "}"]
)
def test_a_template_at_its_limit_is_taken_and_one_over_it_refused(text: str) -> None:
    assert Template.parse(text).text == text
    for longer in (text + "{x}", "{x}" + text) if text.count("{") != 1 else (text + "a" * 300,):
        with pytest.raises(TemplateError, match="at most"):
            Template.parse(longer)


def test_variables_are_told_once_in_the_order_they_occur() -> None:
    template = Template.parse("x://{b}/{+a,b:3}{?c.d*,%41}")

    assert template.variables == ("b", "a", "c.d", "%41")


@pytest.mark.parametrize(
    ("text", "prefix"),
    [("", ""), ("{x}a", ""), ("x://a/{b}/c", "x://a/"), ("x://a", "x://a"), ("\xe9{x}", "%C3%A9")],
)
def test_the_prefix_is_what_every_expansion_begins_with(text: str, prefix: str) -> None:
    assert Template.parse(text).prefix == prefix


@pytest.mark.parametrize(
    "values", [{}, {"a": "1"}, {"b": "1"}, {"a": "1", "b": HALF}, {"A": "1", "b": "1"}]
)
def test_without_a_value_for_each_variable_there_is_no_expansion(values: dict[str, str]) -> None:
    assert Template.parse("x://{a}{?b}").expanded(values) is None


def test_values_without_a_variable_are_left_out() -> None:
    assert Template.parse("x://{a}").expanded({"a": "1", "b": HALF}) == "x://1"


@pytest.mark.parametrize(
    ("text", "prefix", "may"),
    [
        ("file:///a/{b}", "", True),
        ("file:///a/{b}", "file:///", True),
        ("file:///a/{b}", "file:///a/", True),
        ("file:///a/{b}", "file:///a/b/c", True),
        ("file:///a/{b}", "file:///b", False),
        ("file:///a/{b}", "file:///A", False),
        ("{+b}", "file:///b", True),
        ("file:///a", "file:///a", True),
        ("file:///a", "file:///", True),
        ("file:///a", "file:///a/", False),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_a_template_may_lie_where_its_prefix_does_not_forbid_it(
    text: str, prefix: str, *, may: bool
) -> None:
    assert Template.parse(text).may_lie_under(prefix) is may


# For any templates and values.

VARIABLES = ("a", "b", "c_1", "d.e", "%41")
NAMES = st.sampled_from(VARIABLES)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("/?&=;.,%2F#"))
LITERALS = st.text(st.sampled_from("ab:/?&=;.,#%\xe9'"), max_size=4).map(
    lambda text: text.replace("%", "%2F")
)
SIMPLE = st.one_of(
    st.builds("{{{}{}}}".format, st.sampled_from(["", "+", "/"]), NAMES),
    st.builds(
        lambda operator, names: f"{{{operator}{','.join(names)}}}",
        st.sampled_from("?&"),
        st.lists(NAMES, min_size=1, max_size=3),
    ),
)
ANY = st.builds(
    lambda operator, names: f"{{{operator}{','.join(names)}}}",
    st.sampled_from(["", *"+#./;?&"]),
    st.lists(
        st.builds("{}{}".format, NAMES, st.sampled_from(["", "", "*", ":2"])),
        min_size=1,
        max_size=3,
    ),
)


def written(expressions: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(LITERALS | expressions, max_size=6).map("".join)


@given(
    written(SIMPLE),
    st.fixed_dictionaries(dict.fromkeys(VARIABLES, TEXTS)),
)
def test_what_a_template_expands_to_it_may_expand_to(text: str, values: dict[str, str]) -> None:
    template = Template.parse(text)

    uri = template.expanded(values)

    assert uri is not None
    assert template.may_expand_to(uri)
    assert all(template.may_lie_under(uri[:length]) for length in range(len(uri) + 1))


@given(
    st.sampled_from(
        [
            *("x://{a}", "x://{a,b}", "{+a}x{b}", "x{#a}", "x{.a}", "x{.a*}", "x{/a*,b}/c"),
            *("x{;a,b}", "x{;a*}y", "x{?a,b}", "x{/a}{?b}", "x{?a}&c=d{&b}", "{a}.{b}"),
        ]
    ),
    st.dictionaries(st.sampled_from("ab"), TEXTS | st.lists(TEXTS, max_size=3)),
)
def test_what_another_implementation_expands_to_is_accepted(
    text: str, values: dict[str, str | list[str]]
) -> None:
    uri = UriTemplate.parse(text).expand(values)

    template = Template.parse(text)

    assert template.may_expand_to(uri)
    assert all(template.may_lie_under(uri[:length]) for length in range(len(uri) + 1))
    if values.keys() >= {*template.variables} and all(
        isinstance(one, str) for one in values.values()
    ):
        strings = {name: one for name, one in values.items() if isinstance(one, str)}
        assert template.expanded(strings) in {uri, None}


# The same languages as patterns, which may take long, and so are asked short questions only.
SIMPLE_CLASS = r"\w.~%\-"
PATTERNS = {
    "": rf"[{SIMPLE_CLASS},=]*",
    "+": r"[!-~]*",
    "#": r"(?:#[!-~]*)?",
    ".": rf"(?:\.[{SIMPLE_CLASS},=]*)?",
    "/": rf"(?:/[{SIMPLE_CLASS},=/]*)?",
    ";": rf"(?:;[{SIMPLE_CLASS},=;]*)?",
    "?": rf"(?:\?[{SIMPLE_CLASS},=&]*)?",
    "&": rf"(?:&[{SIMPLE_CLASS},=&]*)?",
}


def pattern(parts: list[str]) -> str:
    return "".join(
        PATTERNS[part[1:-2].rstrip("x")] if part.startswith("{") else re.escape(part)
        for part in parts
    )


@given(
    st.lists(
        st.sampled_from("ab/?&.;#=") | st.sampled_from([f"{{{one}x*}}" for one in PATTERNS]),
        max_size=6,
    ),
    st.text("ab/?&.;#=,", max_size=8),
)
def test_the_match_is_that_of_the_pattern_it_stands_for(parts: list[str], uri: str) -> None:
    expected = re.fullmatch(pattern(parts), uri) is not None

    assert Template.parse("".join(parts)).may_expand_to(uri) is expected


@given(st.text() | st.text("{}+#./;?&,:*%19ax"))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        template = Template.parse(text)
    except TemplateError as error:
        assert str(error).endswith(".")  # noqa: PT017  either is fine
    else:
        assert template.text == text
        assert template.may_expand_to(template.prefix) or "{" in text


# The work is counted, not timed.


def steps(run: Callable[[], object]) -> int:
    """Return how many lines of the module run in *run*."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:  # noqa: ANN401  as the tracer is
        nonlocal count
        if frame.f_code.co_filename != templates.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


HARD = [
    ("{a}" * MAX_EXPRESSIONS + "!", "a"),
    ("{a}a" * MAX_EXPRESSIONS + "!", "a"),
    ("{+a}ab" * MAX_EXPRESSIONS + "!", "ab"),
    ("{/a}{.b}" * (MAX_EXPRESSIONS // 2) + "!", "/a.b"),
    ("{a}" + "a" * 2000 + "!", "a"),
    ("{?a,b}{&c}" * (MAX_EXPRESSIONS // 2) + "!", "&a&c="),
]


@pytest.mark.parametrize(("text", "piece"), HARD)
def test_a_longer_uri_takes_no_more_steps(text: str, piece: str) -> None:
    template = Template.parse(text)

    counts = [
        steps(partial(template.may_expand_to, piece * times)) for times in (100, 1000, 10_000)
    ]

    assert counts[0] == counts[1] == counts[2] < 20 * MAX_TEMPLATE
    assert not template.may_expand_to(piece * 10_000)
    assert template.may_expand_to(piece * 10_000 + "!")


@pytest.mark.parametrize("text", ["{", "{x", "a%", "{x}", "{x.", "{x,", "{%41", "}", "\xe9"])
def test_reading_a_template_takes_no_more_steps_than_it_has_characters(text: str) -> None:
    def read() -> None:
        with pytest.raises(TemplateError):
            Template.parse((text * MAX_TEMPLATE)[: MAX_TEMPLATE - 1] + " ")

    assert steps(read) < 20 * MAX_TEMPLATE
