"""`northgate policy explain`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.running import TYPES, Ran, run, written

RULES = """\
has_permission(_: Client, "list", _: Tool);
trusted(c: Client) if level(c, n) and n > 3 and not is_suspended(c);
trusted_twice(c: Client) if trusted(c) and also_trusted(c);
also_trusted(c: Client) if trusted(c) and level(c, _);
declare is_suspended(Client);
"""
FACTS = """\
has_role(Client{"ci"}, "caller", Tool{"x"});
level(Client{"ci"}, 5);
level(Client{"bot"}, 3);
level(Client{"eve"}, 9);
is_suspended(Client{"eve"});
"""
FOLDERS = """\
actor Client {}
resource Folder {
  roles = ["reader"];
  permissions = ["read"];
  relations = { parent: Folder };
  "read" if "reader";
  "reader" if "reader" on "parent";
}
"""


def ask(tmp_path: Path, goal: str, *options: str | Path) -> Ran:
    policy = written(tmp_path / "a.polar", TYPES + RULES)
    facts = written(tmp_path / "facts", FACTS)
    return run("explain", policy, goal, "--facts", facts, *options)


def shown(tmp_path: Path, ran: Ran) -> list[str]:
    """Return the lines of *ran* without the directory in the places."""
    return ran.out.replace(f"{tmp_path}/", "").splitlines()


def test_a_proof_is_a_tree_of_claims_with_rules_and_origins_of_facts(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"ci"}, "call", Tool{"x"})')

    assert ran.code == 0
    assert shown(tmp_path, ran) == [
        'allow(Client{"ci"}, "call", Tool{"x"})  the default rule for allow',
        '└── has_permission(Client{"ci"}, "call", Tool{"x"})  a.polar:5',
        '    └── has_role(Client{"ci"}, "caller", Tool{"x"})  fact, facts:1',
    ]


def test_comparisons_and_absent_facts_have_their_lines(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'trusted(Client{"ci"})')

    assert shown(tmp_path, ran) == [
        'trusted(Client{"ci"})  a.polar:9',
        '├── level(Client{"ci"}, 5)  fact, facts:2',
        "├── 5 > 3  compared",
        '└── not is_suspended(Client{"ci"})  no such fact',
    ]


def test_a_shared_part_of_a_proof_is_drawn_once_and_referred_to(tmp_path: Path) -> None:
    lines = shown(tmp_path, ask(tmp_path, 'trusted_twice(Client{"ci"})'))

    assert lines[1] == '├── [1] trusted(Client{"ci"})  a.polar:9'
    assert lines[5] == '└── also_trusted(Client{"ci"})  a.polar:11'
    assert lines[6] == '    ├── trusted(Client{"ci"})  as in [1]'
    assert lines[7] == '    └── level(Client{"ci"}, 5)  fact, facts:2'


def test_each_answer_of_a_goal_with_variables_is_explained(tmp_path: Path) -> None:
    lines = shown(tmp_path, ask(tmp_path, 'allow(Client{"ci"}, action, t: Tool)'))

    assert lines[0] == 'action = "call", t = Tool{"x"}'
    assert lines[4:7] == [
        "",
        'action = "list", t = any Tool',
        'allow(Client{"ci"}, "list", any Tool)  the default rule for allow',
    ]


def test_a_denial_shows_what_was_missing(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"bot"}, "call", Tool{"x"})')

    assert ran.code == 1
    assert shown(tmp_path, ran) == [
        'allow(Client{"bot"}, "call", Tool{"x"}) does not hold.',
        "The nearest misses",
        "└── by the default rule for allow, a.polar:5",
        '    └── missing: has_role(Client{"bot"}, "caller", Tool{"x"})  a.polar:5:13',
    ]


def test_a_denial_shows_comparisons_that_failed(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'trusted(Client{"bot"})')

    assert ran.code == 1
    assert any("not so: 3 > 3  a.polar:9:39" in line for line in shown(tmp_path, ran))


def test_a_denial_shows_facts_that_are_in_the_way(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'trusted(Client{"eve"})')

    assert ran.code == 1
    assert 'in the way: is_suspended(Client{"eve"})' in ran.out


def test_a_question_that_no_rule_is_about_is_said_to_be_such(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"ci"}, "fly", Tool{"x"})')

    assert ran.code == 1
    assert ran.lines[-1] == "No rule comes near it."


def test_a_proof_thousands_of_steps_deep_is_cut_and_the_rest_counted(tmp_path: Path) -> None:
    policy = written(tmp_path / "a.polar", FOLDERS)
    chain = [f'has_relation(Folder{{"{n}"}}, "parent", Folder{{"{n + 1}"}});' for n in range(3000)]
    last = 'has_role(Client{"ci"}, "reader", Folder{"3000"});'
    facts = written(tmp_path / "facts", "\n".join([*chain, last]))
    goal = 'allow(Client{"ci"}, "read", Folder{"0"})'

    ran = run("explain", policy, goal, "--facts", facts, "--depth", "5")

    assert ran.code == 0
    # One relation and one role for each of the folders, of which two are drawn.
    assert ran.lines[-1].strip(" │└─") == "... 5,996 more steps"
    assert len(ran.lines) == 8
    steps = run("explain", policy, goal, "--facts", facts, "--json").document["proofs"][0]["steps"]
    assert len(steps) == 6003


def test_a_goal_that_cannot_be_asked_is_no_denial(tmp_path: Path) -> None:
    ran = ask(tmp_path, "alow(c)")

    assert (ran.code, ran.out) == (2, "")
    assert "Did you mean `allow`?" in ran.err


def test_the_document_of_a_proof_lists_its_steps_premises_first(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"ci"}, action, Tool{"x"})', "--json")

    assert ran.code == 0
    document = ran.document
    assert (document["answer"], document["misses"]) == (True, [])
    call = document["proofs"][0]
    assert call["bindings"] == {"action": "call"}
    assert call["rules"] == ["default", f"{tmp_path / 'a.polar'}:5"]
    assert [step["premises"] for step in call["steps"]] == [[], [0], [1]]
    assert call["steps"][0] == {
        "kind": "fact",
        "claim": 'has_role(Client{"ci"}, "caller", Tool{"x"})',
        "predicate": "has_role",
        "args": [{"type": "Client", "id": "ci"}, "caller", {"type": "Tool", "id": "x"}],
        "source": f"{tmp_path / 'facts'}:1",
        "premises": [],
    }


def test_the_document_of_a_denial_lists_the_misses(tmp_path: Path) -> None:
    ran = ask(tmp_path, 'allow(Client{"bot"}, "call", Tool{"x"})', "--json")

    assert ran.code == 1
    document = ran.document
    assert (document["answer"], document["proofs"]) == (False, [])
    (miss,) = document["misses"]
    assert miss["rules"] == ["default", f"{tmp_path / 'a.polar'}:5"]
    (failed,) = miss["failed"]
    assert failed["kind"] == "missing"
    assert failed["claim"] == 'has_role(Client{"bot"}, "caller", Tool{"x"})'
    assert failed["conditions"][-1] == f"{tmp_path / 'a.polar'}:5:13"
