"""`northgate policy diff`, and the review it shows."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from policies.dialect import read_policy
from policies.facts import FactSet
from policies.model import Anything, Entity, Fact
from policies.polar.engine import Engine
from policies.review import Access, review
from tests.cli.running import TYPES, Ran, run, written

FACTS = """\
has_role(Client{"ci"}, "caller", Tool{"x"});
has_role(Client{"ci"}, "caller", Tool{"y"});
has_role(Client{"bot"}, "caller", Tool{"y"});
"""
LIMITED = TYPES.replace('"call" if "caller";\n', "") + (
    'has_permission(c: Client, "call", t: Tool) if has_role(c, "caller", t)'
    ' and argument(t, "amount", n) and n <= 100;\n'
)
UNFORCED = TYPES.replace('"call" if "caller";\n', "") + (
    'has_permission(c: Client, "call", t: Tool) if has_role(c, "caller", t)'
    ' and not argument_present(t, "force");\n'
)


def compare(
    tmp_path: Path, old: str, new: str, *options: str | Path, facts: str | None = FACTS
) -> Ran:
    before = written(tmp_path / "old.polar", old)
    after = written(tmp_path / "new.polar", new)
    given: list[str | Path] = (
        [] if facts is None else ["--facts", written(tmp_path / "facts", facts)]
    )
    return run("diff", before, after, *given, *options)


def shown(tmp_path: Path, ran: Ran) -> list[str]:
    return ran.out.replace(f"{tmp_path}/", "").splitlines()


def test_the_same_policy_changes_nothing(tmp_path: Path) -> None:
    ran = compare(tmp_path, TYPES, "# moved\n\n" + TYPES, "--fail-on", "gained,lost")

    assert (ran.code, ran.lines) == (0, ["0 gained, 0 lost"])


def test_gains_come_first_each_with_the_rule_that_newly_allows(tmp_path: Path) -> None:
    new = TYPES.replace('"list" if "caller"', '"list" if is_vip(actor)')

    ran = compare(tmp_path, TYPES, new, facts=FACTS + 'is_vip(Client{"eve"});')

    assert ran.code == 0
    assert shown(tmp_path, ran) == [
        "Gained",
        '  Client{"eve"}',
        "    list  any Tool  never -> always  new.polar:6",
        "",
        "Lost",
        '  Client{"bot"}',
        '    list  Tool{"y"}  always -> never  old.polar:6',
        '  Client{"ci"}',
        '    list  Tool{"x"}  always -> never  old.polar:6',
        '    list  Tool{"y"}  always -> never  old.polar:6',
        "",
        "1 gained, 3 lost",
    ]
    assert ran.err == (
        "warning: 1 fact left out under OLD, which does not accept them; the first is at "
        f"{tmp_path / 'facts'}:4.\n"
    )


def test_a_rule_about_everybody_shows_as_any_client(tmp_path: Path) -> None:
    new = TYPES + 'has_permission(_: Client, "list", _: Tool);\n'

    assert "  any Client" in shown(tmp_path, compare(tmp_path, TYPES, new, facts=None))
    assert shown(tmp_path, compare(tmp_path, TYPES, new))[1:4] == [
        "  any other Client",
        "    list  any Tool  never -> always  new.polar:8",
        '  Client{"bot"}',
    ]


def test_a_tool_that_a_policy_names_is_asked_about_without_facts(tmp_path: Path) -> None:
    new = TYPES + 'has_permission(Client{"ci"}, "call", Tool{"z"}) if is_open(Tool{"z"});\n'
    facts = 'is_open(Tool{"z"});'

    lines = shown(tmp_path, compare(tmp_path, TYPES, new, facts=facts))

    assert lines[1:3] == ['  Client{"ci"}', '    call  Tool{"z"}  never -> always  new.polar:8']


def test_a_fact_that_the_new_policy_states_is_the_reason(tmp_path: Path) -> None:
    new = TYPES + 'has_role(Client{"eve"}, "caller", Tool{"x"});\n'

    lines = shown(tmp_path, compare(tmp_path, TYPES, new, facts=None))

    assert lines[1:3] == ['  Client{"eve"}', '    call  Tool{"x"}  never -> always  new.polar:8']


@pytest.mark.parametrize(
    ("old", "new", "step"),
    [
        (TYPES, LIMITED, "always -> sometimes"),
        (LIMITED, TYPES, "sometimes -> always"),
        (TYPES, UNFORCED, "always -> sometimes"),
        (UNFORCED, TYPES, "sometimes -> always"),
        (TYPES.replace('"call" if "caller";', ""), LIMITED, "never -> sometimes"),
        (LIMITED, TYPES.replace('"call" if "caller";', ""), "sometimes -> never"),
    ],
)
def test_access_for_some_arguments_only_is_told_apart(
    tmp_path: Path, old: str, new: str, step: str
) -> None:
    lines = shown(tmp_path, compare(tmp_path, old, new))

    assert any(f'call  Tool{{"x"}}  {step}  ' in line for line in lines)
    assert lines[-1] in {"3 gained, 0 lost", "0 gained, 3 lost"}


def test_what_only_a_negation_restricts_is_still_compared(tmp_path: Path) -> None:
    new = TYPES + (
        'has_permission(_: Client, "list", t: Tool) if not is_secret(t);\n'
        "declare is_secret(Tool);\n"
    )
    facts = 'is_secret(Tool{"x"}); has_role(Client{"ci"}, "viewer", Tool{"y"});'
    types = TYPES.replace('["caller"]', '["caller", "viewer"]')

    ran = compare(tmp_path, types, new.replace('["caller"]', '["caller", "viewer"]'), facts=facts)

    lines = shown(tmp_path, ran)
    assert "    list  any other Tool  never -> always  new.polar:8" in lines
    assert '    list  Tool{"y"}       never -> always  new.polar:8' in lines
    assert not any('Tool{"x"}' in line for line in lines)


def test_a_client_is_taken_to_act_alone_unless_the_facts_say_for_whom(tmp_path: Path) -> None:
    types = TYPES.replace("actor Client {}", "actor Client {} actor User {}")
    funnel = "allow(c: Client, a: String, t: Tool) if acts_alone(c) and has_permission(c, a, t);\n"
    facts = FACTS + 'acts_for(Client{"bot"}, User{"ann"});'

    lines = shown(tmp_path, compare(tmp_path, types + funnel, types, facts=facts))

    # Only the client that does not act alone gains by losing the funnel.
    assert lines[1] == '  Client{"bot"}'
    assert lines[-1] == "2 gained, 0 lost"


def test_many_alike_changes_are_cut_for_people_and_whole_in_the_document(tmp_path: Path) -> None:
    facts = "\n".join(f'has_role(Client{{"ci"}}, "caller", Tool{{"{n}"}});' for n in range(30))
    old = TYPES.replace('"list" if "caller";', "")

    lines = shown(tmp_path, compare(tmp_path, old, TYPES, facts=facts))

    assert lines[12] == "    list  ... and 20 more of type Tool"
    document = compare(tmp_path, old, TYPES, "--json", facts=facts).document
    assert (document["gained"], len(document["changes"])) == (30, 30)


@pytest.mark.parametrize(
    ("fail_on", "gain", "loss"),
    [("", 0, 0), ("gained", 1, 0), ("lost", 0, 1), ("gained,lost", 1, 1), ("lost, gained", 1, 1)],
)
def test_the_exit_code_says_what_it_is_told_to_fail_on(
    tmp_path: Path, fail_on: str, gain: int, loss: int
) -> None:
    less = TYPES.replace('"list" if "caller";', "")

    assert compare(tmp_path, less, TYPES, "--fail-on", fail_on).code == gain
    assert compare(tmp_path, TYPES, less, "--fail-on", fail_on).code == loss


def test_an_unknown_kind_of_change_to_fail_on_is_refused(tmp_path: Path) -> None:
    ran = compare(tmp_path, TYPES, TYPES, "--fail-on", "gains")

    assert ran.code == 2
    assert "not gains" in ran.err


def test_a_fact_that_neither_policy_accepts_is_an_error(tmp_path: Path) -> None:
    ran = compare(tmp_path, TYPES, TYPES, facts=FACTS + "nonsense(1);\n")

    assert (ran.code, ran.out) == (2, "")
    assert f"{tmp_path / 'facts'}:4:1: error[bad-fact]" in ran.err


def test_a_policy_with_errors_cannot_be_compared(tmp_path: Path) -> None:
    ran = compare(tmp_path, TYPES, "oops(\n")

    assert (ran.code, ran.out) == (2, "")
    assert f"{tmp_path / 'new.polar'}:1:" in ran.err


def test_facts_of_several_files_are_taken_together(tmp_path: Path) -> None:
    more = written(tmp_path / "more", 'has_role(Client{"eve"}, "caller", Tool{"x"});')

    ran = compare(tmp_path, TYPES.replace('"list" if "caller";', ""), TYPES, "--facts", more)

    assert ran.lines[-1] == "4 gained, 0 lost"


def test_the_document_of_a_comparison(tmp_path: Path) -> None:
    new = TYPES.replace('"list" if "caller";', "") + (
        'has_permission(_: Client, "call", _: Tool) if is_holiday(1);\n'
    )

    ran = compare(tmp_path, TYPES, new, "--json", facts=f"{FACTS}is_holiday(1);")

    document = ran.document
    assert (document["gained"], document["lost"]) == (4, 3)
    assert document["changes"][0] == {
        "direction": "gained",
        "actor": {"any_other": "Client"},
        "action": "call",
        "resource": {"any": "Tool"},
        "before": "never",
        "after": "always",
        "rules": [f"{tmp_path / 'new.polar'}:8"],
    }
    assert document["changes"][-1] == {
        "direction": "lost",
        "actor": {"type": "Client", "id": "ci"},
        "action": "list",
        "resource": {"type": "Tool", "id": "y"},
        "before": "always",
        "after": "never",
        "rules": [f"{tmp_path / 'old.polar'}:6"],
    }


PARTS = (
    'has_permission(c: Client, "call", t: Tool) if is_vip(c) and has_role(c, "caller", t);\n',
    'has_permission(c: Client, "call", t: Tool) if is_open(t) and not is_vip(c);\n',
    'has_permission(c: Client, "list", t: Tool) if has_role(c, "caller", t);\n',
    'has_permission(_: Client, "list", t: Tool) if is_open(t);\n',
    'has_permission(c: Client, "burn", t: Tool) if is_vip(c) and is_open(t);\n',
    "has_permission(c: Client, word, t: Tool) if grants(c, word, t);\n",
    'has_permission(Client{"a"}, "call", _: Tool);\n',
    'has_permission(_: Client, "call", t: Tool) if is_open(t) and argument(t, "n", 1);\n',
    'has_permission(c: Client, "call", t: Tool) if has_role(c, "caller", t) and calm(t);\n',
    'has_role(Client{"b"}, "caller", Tool{"z"});\n',
)
BLOCKS = """\
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call", "list", "burn"]; }
declare is_vip(Client);
declare is_open(Tool);
declare grants(Client, String, Tool);
calm(t: Tool) if not argument_present(t, "force");
"""
CLIENTS = [Entity("Client", name) for name in ("a", "b", "c")]
TOOLS = [Entity("Tool", name) for name in ("x", "y", "z")]
WORDS = ("call", "list", "burn", "fly")


def some_facts(random: Random) -> list[Fact]:
    facts = [Fact("is_vip", (client,)) for client in CLIENTS]
    facts += [Fact("is_open", (tool,)) for tool in TOOLS]
    for client in CLIENTS:
        facts += [Fact("has_role", (client, "caller", tool)) for tool in TOOLS]
        facts += [Fact("grants", (client, random.choice(WORDS), tool)) for tool in TOOLS]
    # Each name occurs in some fact, so that every one is asked about.
    named = [Fact("has_role", (c, "none", t)) for c, t in zip(CLIENTS, TOOLS, strict=True)]
    return [*named, *random.sample(facts, 6)]


def access(engine: Engine, client: Entity, word: str, tool: Entity) -> Access:
    """Return how far the question is allowed, by asking it for every kind of arguments."""
    forced = (Fact("argument_present", (tool, "force")), "call")
    counted = (Fact("argument", (tool, "n", 1)), "call")
    calls: tuple[list[tuple[Fact, str]], ...] = ([], [forced], [counted], [forced, counted])
    answers = {bool(engine.decide(client, word, tool, engine.overlay(call))) for call in calls}
    if answers == {True}:
        return Access.ALWAYS
    return Access.SOMETIMES if answers == {True, False} else Access.NEVER


@pytest.mark.parametrize("seed", range(60))
def test_a_review_finds_what_asking_every_question_finds(seed: int) -> None:
    random = Random(seed)
    facts = FactSet.of("test", some_facts(random))
    programs = [
        read_policy({"p.polar": BLOCKS + "".join(random.sample(PARTS, random.randint(1, 5)))})
        for _ in range(2)
    ]
    old, new = ((program, facts) for program in programs)
    before, after = (Engine(*side) for side in (old, new))
    asked = [(client, word, tool) for client in CLIENTS for word in WORDS for tool in TOOLS]
    expected = {
        (*question, access(before, *question), access(after, *question)) for question in asked
    }

    changes = review(old, new, now=0)

    found = {
        (client, change.action, tool, change.before, change.after)
        for change in changes
        for client in (CLIENTS if change.actor == Anything("Client") else [change.actor])
        for tool in (TOOLS if change.resource == Anything("Tool") else [change.resource])
        if client in CLIENTS and tool in TOOLS
    }
    assert found == {one for one in expected if one[3] != one[4]}
    assert all(change.rules for change in changes)
