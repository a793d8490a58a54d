from __future__ import annotations

import pytest

from policies.arguments import ArgumentTest, pattern_problem, run
from policies.model import Entity, Fact

READ = Entity("Tool", "files__read")
UNDER = [ArgumentTest("argument_under", "path", "/srv/data")]

IRREGULAR = {
    "empty": "",
    "relative": "srv/data/x",
    "relative to here": "./srv/data/x",
    "relative to above": "../srv/data/x",
    "a space before the root": " /srv/data/x",
    "the root": "/",
    "two slashes first": "//srv/data/x",
    "an empty segment": "/srv//data/x",
    "an empty segment below": "/srv/data//x",
    "a slash at the end": "/srv/data/",
    "a slash at the end below": "/srv/data/x/",
    "a dot segment": "/srv/./data/x",
    "a dot segment at the end": "/srv/data/.",
    "a dot-dot segment": "/srv/data/../secret",
    "a dot-dot segment that changes nothing": "/srv/x/../data/y",
    "a dot-dot segment first": "/../srv/data",
    "a dot-dot segment at the end": "/srv/data/..",
    "a backslash": "/srv/data/..\\secret",
    "a backslash in a name": "/srv/data/a\\b",
    "a percent escape": "/srv/data/%2e%2e/secret",
    "a percent sign": "/srv/data/100%",
    "a home": "~/data",
    "a tilde segment": "/srv/data/~root",
    "a tilde in a name": "/srv/data/a~",
    "NUL": "/srv/data/x\0.txt",
    "a newline": "/srv/data/x\n",
    "a newline alone in a segment": "/srv/data/.\n./x",
    "a tab": "/srv/data/\tx",
    "DEL": "/srv/data/x\x7f",
    "a C1 control": "/srv/data/x\x85",
    "a line separator": "/srv/data/x\u2028",
    "a no-break space": "/srv/data/x\u00a0",
    "not in NFC": "/srv/data/cafe\u0301",
    "a Kelvin sign, not in NFC": "/srv/data/\u212a",
    "a right-to-left override": "/srv/data/x\u202etxt.exe",
    "a right-to-left mark": "/srv/data/x\u200f",
    "an isolate": "/srv/data/\u2066x\u2069",
    "a zero-width space": "/srv/data/.\u200b./x",
    "a zero-width non-joiner": "/srv/data/.\u200c./x",
    "a soft hyphen": "/srv/data/.\u00ad./x",
    "a byte order mark": "/srv/data/\ufeffx",
    "a lone surrogate": "/srv/data/\ud800",
    "an unassigned character": "/srv/data/\U000e0fff",
    "a private character": "/srv/data/\ue000",
    "fullwidth dots": "/srv/data/\uff0e\uff0e/secret",
    "a two-dot leader": "/srv/data/\u2025/secret",
    "a fullwidth slash": "/srv/data/..\uff0fsecret",
    "a fullwidth backslash": "/srv/data/..\uff3csecret",
    "a fullwidth percent sign": "/srv/data/\uff052e",
    "an account-of sign": "/srv/data/\u2100",
    "a URL": "file:///srv/data/x",
    "a drive": "C:/srv/data/x",
    "8193 bytes": "/srv/data/" + "x" * 8183,
    "8193 bytes of wider characters": "/srv/data/x" + "\u00e9" * 4091,
}


@pytest.mark.parametrize("path", IRREGULAR.values(), ids=IRREGULAR)
def test_an_irregular_path_supplies_neither_fact(path: str) -> None:
    assert run(UNDER, READ, {"path": path}) == []


@pytest.mark.parametrize(
    "path",
    [
        "/srv/data",
        "/srv/data/x",
        "/srv/data/a/b/c.txt",
        "/srv/data/.hidden",
        "/srv/data/...",
        "/srv/data/..x",
        "/srv/data/x..",
        "/srv/data/.a/..b",
        "/srv/data/with space",
        "/srv/data/a:b;c$d*e?f[g]'h\"",
        "/srv/data/caf\u00e9",
        "/srv/data/\u65e5\u672c\uff08\u8a9e\uff09",
        "/srv/data/\U0001f600",
        "/srv/data/" + "x" * 8182,
    ],
    ids=lambda path: ascii(path)[:40],
)
def test_a_path_at_or_below_the_directory_is_under_it(path: str) -> None:
    fact = Fact("argument_under", (READ, "path", "/srv/data"))

    assert run(UNDER, READ, {"path": path}) == [fact]


@pytest.mark.parametrize(
    "path",
    [
        "/srv",
        "/srv/data2",
        "/srv/data2/x",
        "/srv/dat",
        "/srv/data.txt",
        "/etc/srv/data",
        "/SRV/data",
    ],
)
def test_any_other_regular_path_is_not_under_the_directory(path: str) -> None:
    fact = Fact("argument_not_under", (READ, "path", "/srv/data"))

    assert run(UNDER, READ, {"path": path}) == [fact]


@pytest.mark.parametrize("directory", IRREGULAR.values(), ids=IRREGULAR)
def test_an_irregular_directory_is_a_problem_and_supplies_no_fact(directory: str) -> None:
    tests = [ArgumentTest("argument_under", "path", directory)]

    assert pattern_problem("argument_under", directory) is not None
    assert run(tests, READ, {"path": "/srv/data/x"}) == []
    assert run(tests, READ, {"path": directory}) == []


@pytest.mark.parametrize("directory", ["/srv", "/srv/data", "/a b/.c", "/caf\u00e9"], ids=ascii)
def test_a_regular_directory_is_no_problem(directory: str) -> None:
    assert pattern_problem("argument_under", directory) is None
    assert pattern_problem("argument_not_under", directory) is None


def test_a_directory_longer_than_a_fact_may_be_is_a_problem() -> None:
    assert pattern_problem("argument_under", "/" + "x" * 383) is None
    assert pattern_problem("argument_under", "/" + "x" * 384) is not None
