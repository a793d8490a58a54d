from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from policies.arguments import ArgumentTest, pattern_problem, run
from policies.arguments.hosts import host_of
from policies.model import Entity, Fact
from tests.node import Node, running
from tests.policies.url_spellings import IRREGULAR, REGULAR, SPELLINGS

FETCH = Entity("Tool", "web__fetch")
NODE_PARSER = Path(__file__).with_name("url_parsers.mjs")

Hosts = list[str | None]


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running(NODE_PARSER) as process:
        yield process


def python_host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def disputed(
    urls: list[str], node: Node, ours: Callable[[str], str | None] = host_of
) -> list[tuple[str, str | None, str | None, str | None]]:
    """Return the URLs of which *ours* names a host that Node or urlsplit does not."""
    answers = zip(urls, map(ours, urls), node.ask(urls), map(python_host, urls), strict=True)
    return [answer for answer in answers if answer[1] is not None and len(set(answer[1:])) > 1]


ALPHABET: list[str] = [
    *"/:@?#\\%.[]-_~*;&=+ \t\n\r\0\x0b\x7f|^`<>{}\"'(),!$0123456789abcxXnN",
    *"\u00ad\u200b\u200d\u3002\uff0e\uff61\uff0f\uff20\uff1a\u2100\u212a\u017f\u00df\u0130\u202e",
    *"\u00a0\u3000\ufeff\ud800\u2488\u0307",
    *(
        "//",
        "\\\\",
        "https://",
        "http:",
        "xn--",
        "..",
        "%2e",
        "%40",
        "%00",
        "0x7f",
        ".1",
        ":80",
        "@e",
    ),
    *("127.0.0.1", "[::1]", ".example", "#.", "?@", "/@", ":@", "\\@"),
]


def mutations(seed: int, count: int) -> Iterator[str]:
    """Yield *count* spellings, each a few random edits away from one of the tables."""
    choose = random.Random(seed)
    for _ in range(count):
        url = choose.choice(SPELLINGS) if choose.random() < 0.3 else choose.choice([*REGULAR])
        for _ in range(choose.choice((1, 1, 1, 2, 2, 3, 5))):
            url = edited(url, choose)
        yield url


def edited(url: str, choose: random.Random) -> str:
    # Most of what parsers dispute is near the authority.
    at = choose.randrange(min(len(url), 40) + 1)
    to = min(len(url), at + choose.choice((0, 0, 0, 1, 1, 2)))
    if choose.random() < 0.1:
        other = choose.choice(SPELLINGS)
        return url[:at] + other[choose.randrange(len(other) + 1) :]
    piece = choose.choice(ALPHABET)
    return url[:at] + choose.choice((piece, piece, piece + piece)) + url[to:]


@pytest.mark.parametrize(("url", "host"), REGULAR.items(), ids=map(ascii, REGULAR))
def test_an_ordinary_url_has_a_host(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(url, id=f"{form}-{ascii(url)[:60]}")
        for form, urls in IRREGULAR.items()
        for url in urls
    ],
)
def test_an_irregular_url_supplies_neither_fact(url: str) -> None:
    tests = [
        ArgumentTest("argument_host", "url", host)
        for host in ("good.example", "*.good.example", "example", "evil.example")
    ]

    assert run(tests, FETCH, {"url": url}) == []


def test_the_tables_hold_at_least_150_spellings() -> None:
    assert len(set(SPELLINGS)) >= 150


def test_node_and_urlsplit_name_the_host_we_name_in_every_spelling(node: Node) -> None:
    assert disputed(SPELLINGS, node) == []


def test_node_and_urlsplit_find_a_host_in_every_ordinary_url(node: Node) -> None:
    hosts = list(REGULAR.values())

    assert node.ask([*REGULAR]) == hosts
    assert list(map(python_host, REGULAR)) == hosts


def test_a_lax_parser_is_disputed_on_the_same_tables(node: Node) -> None:
    def lax(url: str) -> str | None:
        found = re.match(r"https?://([^/?#:]+)", url)
        return str(found[1].lower()) if found else None

    assert len(disputed(SPELLINGS, node, lax)) >= 30


@pytest.mark.parametrize("seed", range(4))
def test_parsers_agree_on_every_mutation_in_which_we_name_a_host(seed: int, node: Node) -> None:
    urls = list(mutations(seed, 2000))

    assert disputed(urls, node) == []
    assert 200 <= sum(host_of(url) is not None for url in urls) <= 1800


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(100, 120))
def test_parsers_agree_on_a_great_many_mutations(seed: int, node: Node) -> None:
    urls = mutations(seed, 25_000)

    for batch in batches(urls, 1000):
        assert disputed(batch, node) == []


def batches(urls: Iterable[str], size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    for url in urls:
        batch.append(url)
        if len(batch) == size:
            yield batch
            batch = []
    assert batch == []


@pytest.mark.parametrize(
    ("pattern", "url", "predicate"),
    [
        ("good.example", "https://good.example/x", "argument_host"),
        ("good.example", "https://GOOD.example/x", "argument_host"),
        ("Good.EXAMPLE", "https://good.example/x", "argument_host"),
        ("good.example", "http://good.example:8080/", "argument_host"),
        ("good.example", "https://evil.example/", "argument_not_host"),
        ("good.example", "https://a.good.example/", "argument_not_host"),
        ("good.example", "https://good.example.evil.test/", "argument_not_host"),
        ("good.example", "https://notgood.example/", "argument_not_host"),
        ("good.example", "https://evil.test/good.example", "argument_not_host"),
        ("good.example", "https://evil.test#.good.example", "argument_not_host"),
        ("*.good.example", "https://a.good.example/", "argument_host"),
        ("*.good.example", "https://A.B.Good.Example/", "argument_host"),
        ("*.GOOD.example", "https://a.good.example/", "argument_host"),
        ("*.good.example", "https://good.example/", "argument_not_host"),
        ("*.good.example", "https://notgood.example/", "argument_not_host"),
        ("*.example", "https://good.example/", "argument_host"),
        ("localhost", "http://localhost:3000/", "argument_host"),
    ],
)
def test_a_host_is_compared_whole_without_case_or_port(
    pattern: str, url: str, predicate: str
) -> None:
    tests = [ArgumentTest("argument_host", "url", pattern)]

    assert run(tests, FETCH, {"url": url}) == [Fact(predicate, (FETCH, "url", pattern))]


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "*.",
        "**",
        "*.*",
        "**.good.example",
        "*good.example",
        "a.*.example",
        "good.*",
        "*.*.example",
        ".good.example",
        "good.example.",
        "good..example",
        "https://good.example",
        "//good.example",
        "good.example/",
        "good.example:443",
        "user@good.example",
        "good example",
        " good.example",
        "good.example\n",
        "good_host.example",
        "-good.example",
        "g\u00f6\u00f6d.example",
        "\u212aelvin.example",
        "xn--mnchen-3ya.example",
        "*.xn--p1ai",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "good.0x",
        "*.1",
        "[::1]",
        "::1",
        "%67ood.example",
        "a" * 64 + ".example",
        "a." * 124 + "example",
    ],
    ids=ascii,
)
def test_a_pattern_that_no_host_can_equal_is_a_problem_and_supplies_no_fact(pattern: str) -> None:
    tests = [ArgumentTest("argument_host", "url", pattern)]

    assert pattern_problem("argument_host", pattern) is not None
    assert pattern_problem("argument_not_host", pattern) is not None
    assert run(tests, FETCH, {"url": "https://good.example/"}) == []


@pytest.mark.parametrize(
    "pattern",
    [
        "good.example",
        "*.good.example",
        "API.Example.com",
        "localhost",
        "*.internal",
        "1.2.3.example",
    ],
)
def test_a_pattern_that_a_host_can_equal_is_no_problem(pattern: str) -> None:
    assert pattern_problem("argument_host", pattern) is None
