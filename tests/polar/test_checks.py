"""Every fault that the checks know is told at its place, and its good twin is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from policies.polar import blocks, checks, clauses, soundness, types
from policies.polar.program import Program, compile_policy
from policies.polar.source import PolicyError, Problem, Severity
from policies.vocabulary import SUPPLIED

HERE = "¦"
"""Stands in a bad policy where the problem begins."""

AROUND = """
actor Client {}
actor User {}
resource Tool {
  roles = ["caller"]; permissions = ["call"]; relations = { server: Server }; "call" if "caller";
}
resource Server { roles = ["operator"]; }
declare known(Client);
declare level(Client, Integer);
"""


class Twins(NamedTuple):
    """A bad policy, the code it gives at `HERE`, and a good one; both come after `AROUND`."""

    code: str
    bad: str
    good: str
    severity: Severity = Severity.ERROR
    portable: bool = True


WARNING = Severity.WARNING
WIDE = " and ".join(f"({' or '.join(f'known{n}_{m}(c)' for m in range(9))})" for n in range(3))
NARROW = " and ".join(f"({' or '.join(f'known{n}_{m}(c)' for m in range(8))})" for n in range(3))
MANY = " and ".join(f"next(v{n}, v{(n + 1) % 17})" for n in range(17))
ENOUGH = " and ".join(f"next(v{n}, v{(n + 1) % 16})" for n in range(16))

EVERY = {
    "a type nobody declared in a declaration": Twins(
        "undeclared-type", "declare holds(¦Clientt);", "declare holds(Client);"
    ),
    "a type nobody declared in a head": Twins(
        "undeclared-type", "p(¦c: Robot) if known(c);", "p(c: Client) if known(c);"
    ),
    "a type nobody declared after matches": Twins(
        "undeclared-type",
        "p(c) if known(c) and ¦c matches Robot;",
        "p(c) if known(c) and c matches Client;",
    ),
    "a type nobody declared in an object": Twins(
        "undeclared-type", 'p(¦Robot{"r"});', 'p(Client{"r"});'
    ),
    "an abstract type in an object": Twins("undeclared-type", 'p(¦Actor{"r"});', 'p(User{"r"});'),
    "a type nobody declared in a relation": Twins(
        "undeclared-type",
        "resource Box { relations = { ¦owner: Clint }; }",
        "resource Box { relations = { owner: Client }; }",
    ),
    "a relation to a text": Twins(
        "undeclared-type",
        "resource Box { relations = { ¦owner: String }; }",
        "resource Box { relations = { owner: Client }; }",
    ),
    "a type nobody declared in an extension": Twins(
        "undeclared-type", "resource Box extends ¦Srever {}", "resource Box extends Server {}"
    ),
    "an object of an unknown type in a fixture": Twins(
        "undeclared-type",
        'test fixture f { known(¦Clint{"a"}); }',
        'test fixture f { known(Client{"a"}); }',
    ),
    "a block for a type of the language": Twins(
        "reserved-type", "¦resource String {}", "resource Text {}"
    ),
    "two blocks for one type": Twins("duplicate-block", "¦resource Server {}", "resource Host {}"),
    "two global blocks": Twins("duplicate-block", "global {} ¦global {}", "global {}"),
    "an extension of a type of the language": Twins(
        "bad-extends", "resource Box extends ¦Resource {}", "resource Box {}"
    ),
    "a type that extends itself through another": Twins(
        "bad-extends",
        "resource Box extends ¦Crate {} resource Crate extends ¦Box {}",
        "resource Box extends Crate {} resource Crate {}",
    ),
    "a resource that extends an actor": Twins(
        "bad-extends", "resource Box extends ¦Client {}", "actor Box extends Client {}"
    ),
    "one word declared twice": Twins(
        "duplicate-declaration",
        'resource Box { roles = ["open"]; permissions = [¦"open"]; }',
        'resource Box { roles = ["opener"]; permissions = ["open"]; }',
    ),
    "a word that no block declares": Twins(
        "undeclared-word",
        'resource Box { roles = ["keeper"]; permissions = ["open"]; "open" if ¦"kepper"; }',
        'resource Box { roles = ["keeper"]; permissions = ["open"]; "open" if "keeper"; }',
    ),
    "a global word that is not declared": Twins(
        "undeclared-word",
        (
            'global { roles = ["admin"]; } resource Box { permissions = ["open"]; "open" if'
            ' ¦global "adm"; }'
        ),
        (
            'global { roles = ["adm"]; } resource Box { permissions = ["open"]; "open" if'
            ' global "adm"; }'
        ),
    ),
    "a relation that the block does not declare": Twins(
        "undeclared-relation",
        (
            'resource Box { roles = ["keeper"]; relations = { host: Server }; "keeper" if'
            ' "operator" on ¦"hots"; }'
        ),
        (
            'resource Box { roles = ["keeper"]; relations = { host: Server }; "keeper" if'
            ' "operator" on "host"; }'
        ),
    ),
    "a relation to no actor in place of a role": Twins(
        "bad-relation",
        'resource Box { permissions = ["open"]; relations = { host: Server }; "open" if ¦"host"; }',
        'resource Box { permissions = ["open"]; relations = { host: Client }; "open" if "host"; }',
    ),
    "role without quotes for one role": Twins(
        "bad-quantifier",
        (
            'resource Box { roles = ["operator"]; relations = { host: Server }; "operator"'
            ' if ¦role on "host"; }'
        ),
        (
            'resource Box { roles = ["operator"]; relations = { host: Server }; role if role'
            ' on "host"; }'
        ),
    ),
    "two fixtures of one name": Twins(
        "duplicate-fixture",
        "test fixture f {} ¦test fixture f {}",
        "test fixture f {} test fixture g {}",
    ),
    "two tests of one name": Twins(
        "duplicate-test",
        'test "t" { assert_not known(Client{"a"}); } ¦test "t" { assert_not known(Client{"b"}); }',
        'test "t" { assert_not known(Client{"a"}); } test "u" { assert_not known(Client{"b"}); }',
    ),
    "a fixture that does not exist": Twins(
        "unknown-fixture",
        (
            'test fixture people {} test "t" { setup { ¦fixture peple; } assert_not'
            ' known(Client{"a"}); }'
        ),
        (
            'test fixture people {} test "t" { setup { fixture people; } assert_not'
            ' known(Client{"a"}); }'
        ),
    ),
    "a comparison after iff": Twins(
        "bad-iff",
        'test "t" { assert level(Client{"a"}, n: Integer) iff ¦n > 3; }',
        'test "t" { assert level(Client{"a"}, n: Integer) iff n = 3; }',
    ),
    "a variable after iff that the goal does not have": Twins(
        "unbound-variable",
        'test "t" { assert level(Client{"a"}, n: Integer) iff ¦m = 3; }',
        'test "t" { assert level(Client{"a"}, n: Integer) iff n = 3; }',
    ),
    "a fact in a test that the policy does not accept": Twins(
        "bad-fact",
        'test "t" { setup { ¦known(User{"u"}); } assert_not known(Client{"a"}); }',
        'test "t" { setup { known(Client{"u"}); } assert_not known(Client{"a"}); }',
    ),
    "a fact in a fixture that the policy does not accept": Twins(
        "bad-fact",
        'test fixture f { ¦nown(Client{"a"}); }',
        'test fixture f { known(Client{"a"}); }',
    ),
    "an assertion about nothing": Twins(
        "unknown-predicate",
        'test "t" { ¦assert_not knwon(Client{"a"}); }',
        'test "t" { assert_not known(Client{"a"}); }',
    ),
    "a derived name": Twins(
        "reserved-name",
        "¦possible_p(c: Client) if known(c);",
        "possibly_p(c: Client) if known(c);",
    ),
    "a rule for what the gateway supplies": Twins(
        "reserved-name",
        '¦argument_present(t: Tool, "k") if has_role(_, "caller", t);',
        'p(t: Tool, "k") if has_role(_, "caller", t);',
    ),
    "a negated conjunction": Twins(
        "not-portable",
        "p(c) if known(c) and ¦not (known(c) and level(c, 1));",
        "p(c) if known(c) and not level(c, 1);",
    ),
    "an open place in a negated fact": Twins(
        "not-portable",
        "p(c) if known(c) and ¦not level(c, _);",
        "p(c) if known(c) and not level(c, 0);",
    ),
    "a negated predicate that has rules": Twins(
        "not-portable",
        "q(c: Client) if level(c, 1); p(c) if known(c) and not ¦q(c);",
        "q(c: Client) if level(c, 1); p(c) if q(c) and not known(c);",
    ),
    "a number in a list": Twins(
        "not-portable",
        "p(c) if level(c, n) and n in [¦1, 2];",
        "p(c) if level(c, n) and (n = 1 or n = 2);",
    ),
    "a variable that occurs once": Twins(
        "singleton-variable",
        "p(c: Client) if level(c, ¦lvel) and known(c);",
        "p(c: Client) if level(c, _) and known(c);",
    ),
    "a parameter that is not used": Twins(
        "singleton-variable",
        "p(¦c: Client, d: Client) if known(d);",
        "p(_: Client, d: Client) if known(d);",
        WARNING,
    ),
    "a comparison of what nothing binds": Twins(
        "unbound-variable",
        "¦p(c: Client) if known(c) and n < 2 and n > 0;",
        "p(c: Client) if level(c, n) and level(c, m) and n < m;",
    ),
    "a negation of what nothing binds": Twins(
        "unbound-variable",
        "¦p(c: Client) if known(c) and not level(d, 1) and not known(d);",
        "p(c: Client) if known(c) and known(d) and not level(d, 1);",
    ),
    "a rule that needs its own absence": Twins(
        "unstratified-negation",
        "p(c: Client) if known(c) and not ¦q(c); q(c: Client) if known(c) and p(c);",
        "p(c: Client) if known(c) and not q(c); q(c: Client) if known(c) and level(c, 1);",
        portable=False,
    ),
    "a wrong number of arguments": Twins(
        "arity-conflict",
        "p(c: Client) if ¦level(c) and known(c);",
        "p(c: Client) if level(c, _) and known(c);",
    ),
    "conditions that contradict each other": Twins(
        "never-holds",
        '¦p(c: Client) if known(c) and n = 1 and n = "1";',
        "p(c: Client) if known(c) and level(c, n) and n = 1;",
    ),
    "a type that no rule is about": Twins(
        "never-holds",
        "q(c: Client) if known(c); p(u: User) if ¦q(u);",
        "q(c: Client) if known(c); p(c: Client) if q(c);",
        WARNING,
    ),
    "a type that the gateway does not supply": Twins(
        "type-conflict",
        'p(c: Client) if ¦argument_present(c, "key");',
        'p(t: Tool) if argument_present(t, "key");',
    ),
    "too many alternatives": Twins(
        "rule-too-large", f"¦p(c: Client) if {WIDE};", f"p(c: Client) if {NARROW};"
    ),
    "too many variables": Twins("rule-too-large", f"¦p(v0) if {MANY};", f"p(v0) if {ENOUGH};"),
    "a rule type": Twins("rule-type", "¦type p(c: Client);", "declare p(Client);", WARNING),
    "a role that no block declares": Twins(
        "undeclared-role",
        'p(c: Client, t: Tool) if ¦has_role(c, "calller", t);',
        'p(c: Client, t: Tool) if has_role(c, "caller", t);',
        WARNING,
    ),
    "a relation that no block declares": Twins(
        "undeclared-relation",
        'p(t: Tool) if ¦has_relation(t, "sever", s) and s matches Server;',
        'p(t: Tool) if has_relation(t, "server", s) and s matches Server;',
        WARNING,
    ),
    "a permission that no block declares": Twins(
        "undeclared-permission",
        'p(c: Client, t: Tool) if ¦has_permission(c, "cal", t);',
        'p(c: Client, t: Tool) if has_permission(c, "call", t);',
        WARNING,
    ),
}

each_pair = pytest.mark.parametrize("twins", EVERY.values(), ids=EVERY)


def told(text: str, *, portable: bool = True) -> list[Problem]:
    """Return the errors of *text*, or its warnings if there are none."""
    try:
        program = compile_policy({"policy.polar": text}, supplied=SUPPLIED, portable=portable)
    except PolicyError as error:
        return list(error.problems)
    return list(program.warnings)


def places(text: str) -> list[tuple[int, int]]:
    """Return line and column of each `HERE`, as if none were there."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for count, match in enumerate(re.finditer(HERE, line)):
            found.append((number, match.start() + 1 - count))
    return found


@each_pair
def test_a_fault_is_told_at_its_place_and_nothing_else_is(twins: Twins) -> None:
    text = AROUND + twins.bad
    problems = told(text.replace(HERE, ""), portable=twins.portable)
    expected = [("policy.polar", *place, twins.code, twins.severity) for place in places(text)]

    assert expected
    assert [
        (each.span.file, each.span.line, each.span.column, each.code, each.severity)
        for each in problems
        if each.severity is twins.severity
    ] == expected
    assert all(each.message.endswith((".", "?")) and each.message for each in problems)


@each_pair
def test_the_good_twin_is_not_told_of(twins: Twins) -> None:
    assert [str(problem) for problem in told(AROUND + twins.good, portable=twins.portable)] == []


def test_every_code_of_the_checks_has_twins() -> None:
    texts = [
        Path(str(module.__file__)).read_text(encoding="utf-8")
        for module in (blocks, checks, clauses, soundness, types)
    ]
    named = {
        code
        for text in texts
        for code in re.findall(r'Problem\(\s*f?"([a-z-]+(?:\{\w+\})?)"', text)
    }
    spelled = {code for code in named if "{" not in code}
    spelled |= {f"duplicate-{kind}" for kind in ("fixture", "test")}
    spelled |= {f"undeclared-{what}" for what in ("role", "permission", "relation")}

    assert spelled == {twins.code for twins in EVERY.values()}


def test_errors_of_several_files_are_told_together_in_reading_order() -> None:
    files = {
        "b.polar": "p(c: Clint) if known(c);\ndeclare known(Client);",
        "a.polar": "actor Client {}\nactor Client {}",
        "c.polar": 'r(c: Client) if said(c, "x;\n',
        "d.polar": "q(c: Client) if not (known(c) and known(c));\n"
        'test "t" { setup { fixture f; } assert q(Client{"a"}); }',
    }
    with pytest.raises(PolicyError) as raised:
        compile_policy(files)

    found = [(each.span.file, each.span.line, each.code) for each in raised.value.problems]
    assert found == sorted(found, key=lambda each: each[:2])
    assert ("a.polar", 2, "duplicate-block") in found
    assert ("b.polar", 1, "undeclared-type") in found
    assert {file for file, _, _ in found} == set(files)
    assert ("d.polar", 1, "not-portable") in found
    assert ("d.polar", 2, "unknown-fixture") in found
    assert str(raised.value).count("\n") + 1 == len(found)


HINTS = {
    "p(c: Clientt) if known(c);": "Client",
    'resource Box { roles = ["keeper"]; permissions = ["open"]; "open" if "kepper"; }': "keeper",
    'test fixture people {} test "t" { setup { fixture peple; } assert p(1); }': "people",
    "p(c: Client, lvl) if level(c, lvel) and known(c) and lvl = 1;": "lvl",
    'test "t" { assert_not knwon(Client{"a"}); }': "known",
    'p(c: Client, t: Tool) if has_role(c, "calller", t);': "caller",
    "resource Box extends Srever {}": "Server",
}


@pytest.mark.parametrize(("text", "meant"), HINTS.items(), ids=HINTS.values())
def test_a_misspelt_name_gets_the_one_that_was_meant(text: str, meant: str) -> None:
    hints = [problem.hint for problem in told(AROUND + text)]

    assert f"Did you mean `{meant}`?" in hints


def test_a_name_that_is_like_no_other_gets_no_hint() -> None:
    assert {problem.hint for problem in told(AROUND + "p(c: Zebra) if known(c);")} == {""}


@pytest.mark.parametrize(
    "name",
    [
        "a negated conjunction",
        "an open place in a negated fact",
        "a negated predicate that has rules",
    ],
)
def test_what_is_only_not_portable_loads_where_that_is_allowed(name: str) -> None:
    text = AROUND + EVERY[name].bad.replace(HERE, "")

    assert told(text, portable=False) == []


def test_a_policy_with_warnings_alone_loads() -> None:
    twins = EVERY["a role that no block declares"]
    program = compile_policy({"policy.polar": AROUND + twins.bad.replace(HERE, "")})

    assert isinstance(program, Program)
    assert [warning.code for warning in program.warnings] == ["undeclared-role"]
