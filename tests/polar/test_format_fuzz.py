"""Formatting changes the layout and nothing else: not the meaning, and not a comment."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass

import pytest

from policies.polar.format import format_text
from policies.polar.layout import WIDTH
from policies.polar.parser import parse
from policies.polar.source import Span


def formatted(text: str) -> str:
    return format_text("policy.polar", text)


def meaning(text: str) -> object:
    parsed = parse("policy.polar", text)
    assert parsed.problems == ()
    return without_places(parsed.module)


def without_places(node: object) -> object:
    if isinstance(node, Span):
        return None
    if is_dataclass(node):
        values = (getattr(node, field.name) for field in fields(node))
        return (type(node).__name__, *map(without_places, values))
    return tuple(map(without_places, node)) if type(node) is tuple else node


def comments(text: str) -> list[str]:
    return re.findall(r"#.*", text)


def assert_only_the_layout_changes(text: str) -> None:
    result = formatted(text)

    assert meaning(result) == meaning(text)
    assert comments(result) == [comment.rstrip() for comment in comments(text)]
    assert formatted(result) == result
    assert not re.search(r"[ \t]$|\n\n\n|\t", result, flags=re.MULTILINE)


PROGRAMS = [
    """actor Client { } # people and machines
    resource Box { roles = ["keeper", "reader"]; permissions = ["open",
      "look"];      "open" if "keeper"; "look" if "reader"; "reader" if "keeper"; }
    test "a keeper reads" { setup { has_role(Client{"c"},"keeper",Box{"b"}); }
      assert allow(Client{"c"}, "look", Box{"b"});
      assert_not allow(Client{"d"}, "look", Box{"b"}); }
    """,
    """resource Shelf { relations = { house: House, keeper: Client }; roles = ["owner"];
      "owner" if "owner" on "house"; role if role on "house"; "owner" if "keeper" on resource; }
    global { roles = ["chief"]; permissions = ["close"]; "close" if "chief"; }
    resource House { permissions = ["enter"];
      "enter" if global "chief" or invited(actor, resource); }
    """,
    """fits(b: Box) if not weighed(b);
    fits(b: Box) if w matches Integer and weight(b, w)
      and most matches Integer and limit(b, most) and w <= most;
    allow(c: Client, "open", b: Box) if has_permission(c, "open", b) and fits(b) and (
      until(c, t) and @current_unix_time < t or forever(c)
      or not (locked(b) and not has_key(c, b)));
    """,
    """test fixture house { has_relation(Shelf{"s"}, "house", House{"h"}); }
    test "who" { setup { fixture house; chief(Client{"z"}); }
      assert allow(c: Client, verb: String, House{"h"}) iff verb in ["enter", "leave"]
      and c = Client{"z"}; }
    declare chief(Client); type fits(b: Box);
    """,
]


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_policy_keeps_its_meaning_and_its_comments(text: str) -> None:
    assert_only_the_layout_changes(text)


class Programs:
    """Random programs of every form, one space between any two tokens and none inside one."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def some(self, make: Callable[[], str], least: int = 0, most: int = 4) -> list[str]:
        return [make() for _ in range(self.rng.randint(least, most))]

    def name(self) -> str:
        return self.rng.choice(["x", "tool", "role", "_", "größe", "a::b", "ok?", "n" * 35])

    def type(self) -> str:
        return self.rng.choice(["Client", "Tool", "String", "Integer"])

    def word(self) -> str:
        return self.rng.choice(['"call"', '"a;b{}"', r'"q\"\\"', f'"{"w" * 30}"'])

    def literal(self) -> str:
        return self.rng.choice([self.word(), "3", "-7", "true", 'Tool { "t" }', "Integer { 4 }"])

    def term(self) -> str:
        return self.rng.choice([self.literal(), self.name(), "@current_unix_time"])

    def call(self) -> str:
        return f"p ( {' , '.join(self.some(self.term))} )"

    def fact(self) -> str:
        return f"fact ( {' , '.join(self.some(self.literal))} ) ;"

    def head(self) -> str:
        def parameter() -> str:
            return self.rng.choice([self.term(), f"{self.name()} : {self.type()}"])

        return f"allow ( {' , '.join(self.some(parameter))} )"

    def condition(self, depth: int = 3) -> str:
        kind = self.rng.randrange(8 if depth else 5)
        if kind >= 6:
            operator = self.rng.choice([" and ", " or "])
            return operator.join(self.some(lambda: self.condition(depth - 1), 2))
        forms: dict[int, Callable[[], str]] = {
            0: self.call,
            1: lambda: f"{self.term()} {self.rng.choice(['=', '!=', '<', '>='])} {self.term()}",
            2: lambda: f"{self.term()} in [ {' , '.join(self.some(self.term, 1))} ]",
            3: lambda: f"{self.name()} matches {self.type()}",
            4: lambda: "true",
            5: lambda: f"{self.rng.choice(['', 'not '])}( {self.condition(depth - 1)} )",
        }
        return forms[kind]()

    def requirement(self, depth: int = 2) -> str:
        kind = self.rng.randrange(7 if depth else 5)
        if kind == 6:
            operator = self.rng.choice([" and ", " or "])
            return operator.join(self.some(lambda: self.requirement(depth - 1), 2))
        forms: dict[int, Callable[[], str]] = {
            0: self.word,
            1: lambda: f"global {self.word()}",
            2: lambda: f"{self.word()} on {self.word()}",
            3: lambda: f"{self.word()} on resource",
            4: self.call,
            5: lambda: f"( {self.requirement(depth - 1)} )",
        }
        return forms[kind]()

    def block(self) -> str:
        comma = self.rng.choice(["", " ,"])
        words = self.some(self.word, 1)
        types = self.some(self.type, 1)
        header = self.rng.choice(["actor A", "resource R", f"resource R extends {types[0]}{comma}"])
        relations = " , ".join(f"{self.name()} : {type_}" for type_ in types)
        members = [
            f"roles = [ {' , '.join(words)}{comma} ] ;",
            "permissions = [ ] ;",
            f"relations = {{ {relations}{comma} }} ;",
            *self.some(lambda: f"{self.word()} if {self.requirement()} ;"),
            "role if role on resource ;",
        ]
        self.rng.shuffle(members)
        return f"{header} {{ {' '.join(members)} }}"

    def test(self) -> str:
        setup = f"setup {{ fixture f ; {' '.join(self.some(self.fact))} }} "
        exact = f"assert {self.head()} iff {self.condition()} ;"
        plain = f"assert_not {self.head()} ;"
        asserted = " ".join(self.rng.sample([exact, plain], self.rng.randint(1, 2)))
        return f"test {self.word()} {{ {self.rng.choice(['', setup])}{asserted} }}"

    def item(self) -> str:
        forms: list[Callable[[], str]] = [
            lambda: f"{self.head()} if {self.condition()} ;",
            lambda: f"{self.head()} ;",
            self.block,
            self.test,
            lambda: f"test fixture f {{ {' '.join(self.some(self.fact))} }}",
            lambda: f"declare p ( {' , '.join(self.some(self.type))} ) ;",
            lambda: f"type {self.head()} ;",
        ]
        return self.rng.choice(forms)()

    def text(self, *, commented: float) -> str:
        """Return a program whose gaps are spaces, line ends and, as often as said, comments."""
        tokens = " ".join(self.some(self.item, 1, 6)).split(" ")
        gaps = [" ", " ", " ", "\n", "\n\n\n", " \t ", "\r\n"]
        parts: list[str] = []
        for number, token in enumerate(tokens):
            gap = self.rng.choice(gaps)
            if self.rng.random() < commented:
                gap = f"{self.rng.choice(gaps)}# note {number} {{ ;\n{gap}"
            parts += [token, gap]
        return "".join(parts)


@pytest.mark.parametrize("seed", range(120))
def test_a_random_policy_keeps_its_meaning(seed: int) -> None:
    programs = Programs(seed)

    assert_only_the_layout_changes(programs.text(commented=0))
    assert_only_the_layout_changes(programs.text(commented=0.02))
    assert_only_the_layout_changes(programs.text(commented=0.5))


@pytest.mark.parametrize("seed", range(60))
def test_no_layout_of_the_source_survives_where_no_comment_holds_it(seed: int) -> None:
    text = Programs(seed).text(commented=0)
    one_line = re.sub(r"\s+", " ", text)
    one_per_line = re.sub(r"\s+", "\n", text)

    assert formatted(one_line) == formatted(one_per_line)


@pytest.mark.parametrize("seed", range(60))
def test_no_line_is_over_long_when_every_element_is_short(seed: int) -> None:
    lines = formatted(Programs(seed).text(commented=0)).splitlines()

    assert max(map(len, lines)) <= WIDTH


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(10))
def test_many_random_policies_keep_their_meaning(part: int) -> None:
    for seed in range(10_000 + part * 300, 10_300 + part * 300):
        assert_only_the_layout_changes(Programs(seed).text(commented=seed % 4 / 10))
