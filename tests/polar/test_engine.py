"""What the engine promises: exact values, ends and bounds, and facts that are only ever data."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policies.facts import FactSet
from policies.model import Anything, Entity, Fact, Value
from policies.polar.engine import Engine, Free
from policies.polar.program import Program, compile_policy
from policies.polar.runtime import BudgetExceededError, Limits, UndecidedError
from policies.polar.schema import FactError
from policies.polar.source import PolicyError
from policies.polar.tables import EMPTY

AMPLE = Limits(steps=50_000_000, seconds=60.0)
MOST, LEAST = 2**63 - 1, -(2**63)

A, B = Entity("Client", "a"), Entity("Client", "b")
T, U = Entity("Tool", "t"), Entity("Tool", "u")


def compiled(text: str) -> Program:
    return compile_policy({"policy.polar": text})


def engine(text: str, facts: Sequence[Fact] = (), limits: Limits | None = None) -> Engine:
    program = compiled(text)
    for fact in facts:
        program.schema.check(fact)
    return Engine(program, FactSet.of("stored", facts), limits)


TOOLS = """
actor Client {}
actor User {}
resource Tool { roles = ["caller"]; permissions = ["call", "list"]; "call" if "caller"; }
resource Server {}
"""
GRANT = Fact("has_role", (A, "caller", T))


# Values


NUMBERS = """
actor Client {}
declare level(Client, Integer);
declare flag(Client, Boolean);
declare mixed(Client, Integer);
declare mixed(Client, Boolean);
declare mixed(Client, String);
above(c: Client) if level(c, n) and n > 9223372036854775806;
below(c: Client) if level(c, n) and n < -9223372036854775807;
one(c: Client) if mixed(c, 1);
yes(c: Client) if mixed(c, true);
same(c: Client, d: Client) if mixed(c, v) and mixed(d, v);
"""


def test_true_is_not_one_in_facts_rules_questions_and_answers() -> None:
    facts = [Fact("mixed", (A, True)), Fact("mixed", (B, 1))]
    asked = engine(NUMBERS, facts)

    assert [asked.holds("one", (each,)).allowed for each in (A, B)] == [False, True]
    assert [asked.holds("yes", (each,)).allowed for each in (A, B)] == [True, False]
    assert not asked.holds("same", (A, B))
    assert asked.holds("mixed", (A, True))
    assert not asked.holds("mixed", (A, 1))
    assert not asked.holds("mixed", (B, True))
    assert [row[1] is True for row in asked.query("mixed", (A, Free()))] == [True]
    assert asked.query("mixed", (B, Free("Boolean"))) == []
    assert asked.query("mixed", (Free(), Free("Integer"))) == [(B, 1)]


@pytest.mark.parametrize(("fact", "other"), [((A, False), (A, 0)), ((A, 0), (A, False))])
def test_false_is_not_zero_when_facts_change(
    fact: tuple[Value, ...], other: tuple[Value, ...]
) -> None:
    facts = FactSet.of("stored", [Fact("mixed", fact)]).changed(
        "stored", remove=[Fact("mixed", other)]
    )
    asked = Engine(compiled(NUMBERS), facts)

    assert asked.holds("mixed", fact)
    assert not asked.holds("mixed", other)


def test_integers_are_exact_to_the_ends_of_64_bits() -> None:
    facts = [Fact("level", (A, MOST)), Fact("level", (B, LEAST))]
    asked = engine(NUMBERS, facts)

    assert asked.query("above", (Free("Client"),)) == [(A,)]
    assert asked.query("below", (Free("Client"),)) == [(B,)]
    assert asked.holds("level", (A, MOST))
    assert not asked.holds("level", (A, MOST - 1))


def test_numbers_that_a_double_cannot_tell_apart_differ() -> None:
    asked = engine(NUMBERS, [Fact("level", (A, 2**53 + 1))])

    assert asked.holds("level", (A, 2**53 + 1))
    assert not asked.holds("level", (A, 2**53))


@pytest.mark.parametrize("number", [MOST + 1, LEAST - 1, 10**30])
def test_a_fact_beyond_64_bits_is_refused(number: int) -> None:
    with pytest.raises(FactError, match="64 bits"):
        compiled(NUMBERS).schema.check(Fact("level", (A, number)))


# Facts that the policy does not accept


REFUSED = {
    "an unknown predicate": (Fact("has_rule", (A, "caller", T)), "Did you mean `has_role`"),
    "a missing argument": (Fact("has_role", (A,)), r"`has_role` takes 3 arguments, not 1"),
    "a wrong type": (Fact("has_role", (T, "caller", T)), r"has_role\(Actor, String, Tool\)"),
    "a wrong primitive": (Fact("has_role", (A, 1, T)), "policy.polar:4"),
    "a type nobody declared": (Fact("has_role", (Entity("Robot", "r"), "caller", T)), "forms"),
    "a Boolean for an Integer": (Fact("until", (A, True)), r"until\(Client, Integer\)"),
    "an empty text": (Fact("has_role", (A, "", T)), "must not be empty"),
    "an empty id": (Fact("has_role", (Entity("Client", ""), "caller", T)), "must not be empty"),
    "a text that is too long": (Fact("has_role", (A, "x" * 385, T)), "384 bytes"),
    "bytes count, not characters": (Fact("has_role", (A, "ü" * 193, T)), "384 bytes"),
    "half of a character": (Fact("has_role", (A, "\ud800", T)), "Unicode"),
}


@pytest.mark.parametrize(("fact", "message"), REFUSED.values(), ids=REFUSED)
def test_a_fact_that_breaks_a_declaration_is_refused_by_its_name(fact: Fact, message: str) -> None:
    asked = engine(TOOLS + "declare until(Client, Integer);", [GRANT])

    with pytest.raises(FactError, match=message):
        asked.overlay([(fact, "request")])


def test_the_longest_text_is_accepted() -> None:
    program = compiled(TOOLS)
    program.schema.check(Fact("has_role", (A, "x" * 384, T)))
    program.schema.check(Fact("has_role", (A, "ü" * 192, T)))


# What is unknown


def test_nothing_granted_means_nothing_allowed() -> None:
    asked = engine(TOOLS)
    entities = [Entity(type_, "t") for type_ in ("Client", "User", "Tool", "Server")]

    for actor in entities:
        for action in ("call", "list", "caller", ""):
            assert asked.select(actor, action, entities) == []
    assert asked.query("allow", (Free(), Free(), Free())) == []


@pytest.mark.parametrize(
    ("actor", "action", "resource"),
    [
        (Entity("Client", "A"), "call", T),
        (A, "Call", T),
        (A, "caller", T),
        (A, "", T),
        (A, "call", U),
        (A, "call", Entity("Server", "t")),
        (A, "call", A),
        (T, "call", T),
        (Entity("Robot", "a"), "call", T),
        (A, "call", Entity("Robot", "t")),
        (Entity("User", "a"), "call", T),
    ],
)
def test_an_unknown_actor_action_or_resource_is_denied(
    actor: Entity, action: str, resource: Entity
) -> None:
    asked = engine(TOOLS, [GRANT])

    assert asked.decide(A, "call", T).allowed
    assert not asked.decide(actor, action, resource).allowed
    assert asked.decide(actor, action, resource).proof is None


def test_an_unknown_predicate_has_no_answers() -> None:
    asked = engine(TOOLS, [GRANT])

    assert asked.query("no_such", (Free(),)) == []
    assert not asked.holds("no_such", (A,))


def test_a_made_up_action_leaves_nothing_behind() -> None:
    asked = engine(TOOLS, [GRANT])
    asked.decide(A, "call", T)
    compiled_before = len(asked.program.compiler.shapes())
    asked.decide(A, "made up 0", T)
    compiled_once = len(asked.program.compiler.shapes())
    for number in range(1, 100):
        asked.decide(A, f"made up {number}", T)

    assert compiled_before < compiled_once == len(asked.program.compiler.shapes())


# Wildcards


WIDE = """
actor Client {}
actor User {}
actor Robot extends Client {}
resource Tool {}
resource Server {}
declare is_root(Client);
declare is_near(Tool, Server);
allow(_: Actor, "ping", _: Tool);
allow(c: Client, _: String, t: Tool) if is_root(c) and is_near(t, _);
wide(_: User, _: Server);
marked(x, word, _: Tool) if mark(x, word);
declare mark(Resource, String);
both(u: User, word) if wide(u, x) and marked(x, word, _);
"""


def test_a_head_that_is_left_open_answers_anything_of_its_type() -> None:
    asked = engine(WIDE)

    assert asked.resources(A, "ping", "Tool") == [Anything("Tool")]
    assert asked.resources(A, "ping", "Server") == []
    assert set(asked.query("allow", (Free("Robot"), "ping", Free("Tool")))) == {
        (Anything("Robot"), "ping", Anything("Tool"))
    }


def test_an_answer_that_anything_covers_is_left_out() -> None:
    near = Fact("is_near", (T, Entity("Server", "s")))
    asked = engine(WIDE, [Fact("is_root", (A,)), near])

    assert asked.actions(A, T) == [Anything("String")]
    assert asked.actions(B, T) == ["ping"]
    assert asked.actions(A, U) == ["ping"]


def test_anything_of_one_type_is_not_a_value_of_another() -> None:
    user = Entity("User", "u")
    marked = [Fact("mark", (Entity("Client", "s"), "red")), Fact("mark", (T, "blue"))]
    asked = engine(WIDE, [*marked, Fact("mark", (Entity("Server", "s"), "green"))])

    assert asked.query("both", (user, Free("String"))) == [(user, "green")]
    assert [asked.holds("both", (user, word)).allowed for word in ("red", "blue", "green")] == [
        False,
        False,
        True,
    ]


def test_a_variable_that_stands_twice_takes_anything_of_one_type() -> None:
    asked = engine(
        "actor Client {} actor Team {} resource Tool {} declare rank(Client);"
        "wide(_: Actor, _: Team); odd(_: Client, _: Tool);"
        "twin(c) if wide(x, x) and rank(c); never(c) if odd(x, x) and rank(c);",
        [Fact("rank", (A,))],
    )

    assert asked.holds("twin", (A,))
    assert not asked.holds("never", (A,))


# Depth and circles


FOLDERS = """
actor Client {}
resource Folder {
  roles = ["reader"]; permissions = ["read"]; relations = { parent: Folder };
  "read" if "reader"; role if role on "parent";
}
"""
STEP = "path(x: Node, y: Node) if edge(x, y); path(x: Node, y: Node) if "
CHAINS = {
    "right": STEP + "edge(x, z) and path(z, y);",
    "left": STEP + "path(x, z) and edge(z, y);",
    "mutual": STEP + "edge(x, z) and step(z, y);"
    "step(x: Node, y: Node) if edge(x, y); step(x: Node, y: Node) if edge(x, z) and path(z, y);",
}
DEEP = 10_000


def folder(number: int) -> Entity:
    return Entity("Folder", str(number))


def node(number: int) -> Entity:
    return Entity("Node", str(number))


def test_roles_come_down_ten_thousand_folders() -> None:
    parents = [Fact("has_relation", (folder(n + 1), "parent", folder(n))) for n in range(DEEP)]
    asked = engine(FOLDERS, [*parents, Fact("has_role", (A, "reader", folder(0)))], AMPLE)
    ruling = asked.decide(A, "read", folder(DEEP))

    assert ruling.allowed
    assert ruling.proof is not None
    assert DEEP <= len(ruling.proof.steps) <= 3 * DEEP
    assert not asked.decide(B, "read", folder(DEEP)).allowed


@pytest.mark.parametrize("rules", CHAINS.values(), ids=CHAINS)
def test_a_chain_of_ten_thousand_edges_is_followed(rules: str) -> None:
    edges = [Fact("edge", (node(n), node(n + 1))) for n in range(DEEP)]
    asked = engine(f"resource Node {{}} declare edge(Node, Node); {rules}", edges, AMPLE)

    assert asked.holds("path", (node(0), node(DEEP)))
    assert not asked.holds("path", (node(DEEP), node(0)))


@pytest.mark.parametrize("rules", CHAINS.values(), ids=CHAINS)
def test_a_circle_of_edges_ends(rules: str) -> None:
    edges = [Fact("edge", (node(n), node((n + 1) % 100))) for n in range(100)]
    asked = engine(f"resource Node {{}} declare edge(Node, Node); {rules}", edges, AMPLE)

    assert asked.holds("path", (node(5), node(5)))
    assert not asked.holds("path", (node(5), node(100)))
    assert len(asked.query("path", (node(5), Free("Node")))) == 100


def test_a_chain_of_three_thousand_rules_is_followed() -> None:
    links = "\n".join(f"p{n}(c: Client) if p{n + 1}(c);" for n in range(3_000))
    text = f"actor Client {{}} {links} p3000(c: Client) if base(c);"
    asked = engine(text, [Fact("base", (A,))], AMPLE)
    proof = asked.holds("p0", (A,)).proof

    assert proof is not None
    assert len(proof.steps) == 3_002
    assert not asked.holds("p0", (B,))


def test_a_proof_shares_what_is_used_twice() -> None:
    depth = 30
    doubled = "\n".join(
        f"p{n}(c: Client) if q{n}(c) and r{n}(c); q{n}(c: Client) if p{n + 1}(c);"
        f"r{n}(c: Client) if p{n + 1}(c);"
        for n in range(depth)
    )
    asked = engine(
        f"actor Client {{}} {doubled} p{depth}(c: Client) if base(c);", [Fact("base", (A,))]
    )
    proof = asked.holds("p0", (A,)).proof

    assert proof is not None
    assert len(proof.steps) == 3 * depth + 2


# Budgets


JOIN = """
actor Client {}
declare number(Client, Integer);
circular(a: Client) if number(a, x) and number(a, y) and number(a, z) and x < y and y < z and z < x;
allow(a: Client, "call", _: Client) if circular(a);
"""


def numbers(size: int) -> list[Fact]:
    return [Fact("number", (A, n)) for n in range(size)]


def test_a_question_that_takes_too_many_steps_is_undecided() -> None:
    asked = engine(JOIN, numbers(100), Limits(steps=10_000, seconds=60.0))

    with pytest.raises(BudgetExceededError, match="more than 10000 steps"):
        asked.decide(A, "call", B)


def test_a_question_that_takes_too_long_is_undecided() -> None:
    asked = engine(JOIN, numbers(300), Limits(steps=10**12, seconds=0.05))

    with pytest.raises(BudgetExceededError, match=r"more than 0\.05 seconds"):
        asked.decide(A, "call", B)


def test_recursion_keeps_to_the_budget() -> None:
    edges = [Fact("edge", (node(n), node(n + 1))) for n in range(2_000)]
    text = f"resource Node {{}} declare edge(Node, Node); {CHAINS['left']}"
    asked = engine(text, edges, Limits(steps=100, seconds=60.0))

    with pytest.raises(BudgetExceededError):
        asked.holds("path", (node(0), node(2_000)))


def test_facts_of_the_question_count_as_steps() -> None:
    asked = engine(JOIN, (), Limits(steps=5_000, seconds=60.0))
    own = asked.overlay((fact, "request") for fact in numbers(100))

    with pytest.raises(BudgetExceededError):
        asked.decide(A, "call", B, own)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 50, 500, 5_000])
def test_a_budget_never_turns_a_denial_into_an_allow(steps: int) -> None:
    parents = [Fact("has_relation", (folder(n + 1), "parent", folder(n))) for n in range(300)]
    asked = engine(
        FOLDERS, [*parents, Fact("has_role", (A, "reader", folder(0)))], Limits(steps, 60.0)
    )
    for actor, held in ((A, True), (B, False)):
        try:
            allowed = asked.decide(actor, "read", folder(300)).allowed
        except UndecidedError:
            continue
        assert allowed == held


def test_each_question_has_a_budget_of_its_own() -> None:
    asked = engine(TOOLS, [GRANT], Limits(steps=50, seconds=60.0))

    assert all(asked.decide(A, "call", T).allowed for _ in range(200))


# Facts of one question


def test_facts_of_a_question_are_seen_by_it_alone() -> None:
    asked = engine(TOOLS)
    own = asked.overlay([(GRANT, "request")])

    assert asked.decide(A, "call", T, own).allowed
    assert not asked.decide(A, "call", T).allowed
    assert asked.resources(A, "call", "Tool", own) == [T]


def sources(asked: Engine, own: object = None) -> set[str]:
    proof = asked.decide(A, "call", T, own).proof  # type: ignore[arg-type]
    assert proof is not None
    return {step.source for step in proof.steps if step.claim == GRANT}


def test_a_proof_names_the_origin_of_each_fact() -> None:
    program = compiled(TOOLS)
    stored = Engine(program, FactSet.of("grant 7", [GRANT]))
    twice = Engine(program, FactSet.of("grant 7", [GRANT]).changed("grant 8", add=[GRANT]))
    stated = engine(TOOLS + 'has_role(Client{"a"}, "caller", Tool{"t"});')

    assert sources(stored) == {"grant 7"}
    assert sources(twice) == {"grant 7, grant 8"}
    assert sources(stated) == {"policy.polar:6"}
    assert sources(stored, stored.overlay([(GRANT, "request")])) == {"request"}


def test_a_fact_stays_until_its_last_origin_withdraws_it() -> None:
    program = compiled(TOOLS)
    facts = FactSet.of("one", [GRANT]).changed("two", add=[GRANT])
    once = facts.changed("one", remove=[GRANT])
    gone = once.changed("two", remove=[GRANT])

    assert Engine(program, once).decide(A, "call", T).allowed
    assert not Engine(program, gone).decide(A, "call", T).allowed
    assert Engine(program, facts).decide(A, "call", T).allowed
    assert (facts.version, once.version, gone.version) == (2, 3, 4)


def test_withdrawing_what_another_origin_states_changes_nothing() -> None:
    facts = FactSet.of("one", [GRANT]).changed("two", remove=[GRANT])

    assert facts.origins(GRANT) == ("one",)


def test_a_stored_fact_cannot_take_away_what_the_policy_states() -> None:
    text = TOOLS + 'has_role(Client{"a"}, "caller", Tool{"t"});'
    facts = FactSet.of("policy.polar:6", [GRANT]).changed("policy.polar:6", remove=[GRANT])

    assert Engine(compiled(text), facts).decide(A, "call", T).allowed


def test_facts_of_predicates_that_the_policy_does_not_know_are_harmless() -> None:
    facts = FactSet.of("stored", [GRANT, Fact("from_an_older_policy", (A,))])

    assert Engine(compiled(TOOLS), facts).decide(A, "call", T).allowed
    assert Engine(compiled(TOOLS), {"has_role/3": EMPTY}).resources(A, "call", "Tool") == []


# The clock


LEASES = """
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
declare lease(Client, String, Tool, Integer);
has_role(c: Client, role: String, t: Tool) if
  lease(c, role, t, until) and @current_unix_time < until;
"""


@pytest.mark.parametrize(("now", "allowed"), [(999, True), (1_000, False), (1_001, False)])
def test_a_lease_ends_with_the_second_it_names(now: int, *, allowed: bool) -> None:
    asked = engine(LEASES, [Fact("lease", (A, "caller", T, 1_000))])

    assert asked.decide(A, "call", T, None, now).allowed == allowed
    assert (asked.resources(A, "call", "Tool", None, now) == [T]) == allowed


def test_without_a_moment_the_clock_is_asked() -> None:
    past, future = Fact("lease", (A, "caller", T, 1)), Fact("lease", (B, "caller", T, 2**40))
    asked = engine(LEASES, [past, future])

    assert not asked.decide(A, "call", T).allowed
    assert asked.decide(B, "call", T).allowed


# Warm and swapped engines


def test_a_warmed_engine_compiles_nothing_when_asked() -> None:
    first, second = engine(TOOLS, [GRANT]), engine(TOOLS, [GRANT])
    first.decide(A, "call", T)
    first.decide(Entity("User", "u"), "call", T)
    second.warm(first)
    before = len(second.program.compiler.shapes())

    assert second.decide(A, "call", T).allowed
    assert not second.decide(Entity("User", "u"), "call", T).allowed
    assert len(second.program.compiler.shapes()) == before > 0


def test_warming_from_another_policy_compiles_what_both_know() -> None:
    other = engine("actor Client {} resource Tool {} declare on_file(Client);", ())
    first = engine(TOOLS, [GRANT])
    first.decide(A, "call", T)
    other.warm(first)

    assert not other.decide(A, "call", T).allowed


def test_a_swap_changes_only_the_questions_that_come_after_it() -> None:
    program = compiled(TOOLS)
    granted, empty = Engine(program, FactSet.of("stored", [GRANT])), Engine(program, FactSet())
    live = [granted]
    stop = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        while not stop.is_set():
            asked = live[0]
            if asked.decide(A, "call", T).allowed != (asked is granted):
                wrong.append(asked)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2_000):
        live[0] = (granted, empty)[number % 2]
    stop.set()
    for thread in threads:
        thread.join()

    assert wrong == []


# Values are never code


HOSTILE = """
actor Client {}
resource Tool { roles = ["caller"]; permissions = ["call"]; "call" if "caller"; }
declare tagged(Tool, String);
allow(c: Client, action: String, t: Tool) if has_permission(c, action, t) and not tagged(t, "off");
allow(c: Client, word: String, t: Tool) if tagged(t, word) and has_role(c, "caller", t);
"""
SYNTAX = [
    '"', '\\"', "\n", "{", "}", "{}", "{0}", "%s", "${x}", "{x!r}", "if", "not", "true", "None",
    "__import__('os')", '"); allow(_, _, _);', 'Tool{"t"}', "a0", "v0", "b[0]", "exec('1/0')",
    "\x00", "#", "'''", '"""', "*", "_", "\u202e", "🦊",
]  # fmt: skip
words = st.one_of(
    st.sampled_from(SYNTAX),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.lists(st.sampled_from(SYNTAX), min_size=1, max_size=4).map("".join),
)
hostile = compiled(HOSTILE)


@settings(max_examples=300, deadline=None)
@given(words, words, words)
@example('"', "'", "{")
def test_ids_and_texts_are_only_ever_values(who: str, what: str, word: str) -> None:
    client, tool = Entity("Client", who), Entity("Tool", what)
    other = Entity("Tool", what + "x")
    facts = FactSet.of(
        who, [Fact("has_role", (client, "caller", tool)), Fact("tagged", (tool, word))]
    )
    asked = Engine(hostile, facts)

    assert asked.decide(client, "call", tool).allowed == (word != "off")
    assert asked.decide(client, word, tool).allowed
    assert not asked.decide(client, word + "x", tool).allowed
    assert not asked.decide(client, "call", other).allowed
    assert set(asked.actions(client, tool)) == {word} | ({"call"} if word != "off" else set())
    proof = asked.decide(client, word, tool).proof
    assert proof is not None
    assert Fact("tagged", (tool, word)) in {step.claim for step in proof.steps}


@settings(max_examples=60, deadline=None)
@given(words)
def test_texts_in_a_policy_are_only_ever_values(word: str) -> None:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    for raw, written in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(raw, written)
    named = f'named(Client{{"{escaped}"}}); tag(c: Client) if said(c, "{escaped}");'
    try:
        program = compiled(f"actor Client {{}} {named}")
    except PolicyError as error:
        if {problem.code for problem in error.problems} != {"invisible-character"}:
            raise
        return
    asked = Engine(program, FactSet.of("stored", [Fact("said", (A, word))]))

    assert asked.holds("named", (Entity("Client", word),))
    assert not asked.holds("named", (Entity("Client", word + "x"),))
    assert asked.holds("tag", (A,))
