"""The fact set: immutable, with origins, cheap to change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from policies.facts import FactSet
from policies.model import Entity, Fact

ANN, BOB, TOOL = Entity("User", "ann"), Entity("User", "bob"), Entity("Tool", "t")
ROLE = Fact("has_role", (ANN, "caller", TOOL))

FACTS = st.builds(
    Fact,
    st.sampled_from(["p", "q"]),
    st.tuples(st.sampled_from([ANN, BOB]), st.sampled_from(["x", 1, True, 0, False, TOOL])),
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.lists(FACTS), st.lists(FACTS)), max_size=6
)


def everything(facts: FactSet) -> set[tuple[str, tuple[str, ...]]]:
    return {(str(fact), tuple(sorted(origins))) for fact, origins in facts.facts()}


def test_a_change_leaves_the_set_before_it_as_it_was() -> None:
    before = FactSet.of("stored", [ROLE])

    after = before.changed("stored", remove=[ROLE])

    assert before.origins(ROLE) == ("stored",)
    assert after.origins(ROLE) == ()
    assert after.version == before.version + 1


def test_a_fact_stays_until_its_last_origin_withdraws_it() -> None:
    facts = FactSet.of("stored", [ROLE]).changed("registry", add=[ROLE])

    facts = facts.changed("stored", remove=[ROLE])
    assert facts.origins(ROLE) == ("registry",)
    facts = facts.changed("registry", remove=[ROLE])
    assert everything(facts) == set()


def test_withdrawing_what_another_origin_states_changes_nothing() -> None:
    facts = FactSet.of("stored", [ROLE]).changed("registry", remove=[ROLE])

    assert facts.origins(ROLE) == ("stored",)


def test_a_boolean_and_an_integer_are_two_facts() -> None:
    facts = FactSet.of("stored", [Fact("flag", (TOOL, True)), Fact("flag", (TOOL, 1))])

    assert everything(facts) == {
        ('flag(Tool{"t"}, true)', ("stored",)),
        ('flag(Tool{"t"}, 1)', ("stored",)),
    }


def test_a_predicate_with_two_arities_is_two_predicates() -> None:
    facts = FactSet.of("stored", [ROLE, Fact("has_role", (ANN, "admin"))])

    assert sorted(facts) == ["has_role/2", "has_role/3"]


@given(CHANGES)
def test_indexes_kept_up_to_date_equal_indexes_built_anew(
    changes: list[tuple[str, list[Fact], list[Fact]]],
) -> None:
    facts = FactSet()
    plain: dict[str, set[str]] = {}
    for origin, add, remove in changes:
        for table in facts.values():
            table.find((0,), (ANN,))
            table.find((0, 1), (ANN, "x"))
        facts = facts.changed(origin, add=add, remove=remove)
        for fact in remove:
            plain.get(str(fact), set()).discard(origin)
        for fact in add:
            plain.setdefault(str(fact), set()).add(origin)

    assert everything(facts) == {
        (text, tuple(sorted(origins))) for text, origins in plain.items() if origins
    }
    for table in facts.values():
        for user in (ANN, BOB):
            assert sorted(table.find((0,), (user,)), key=repr) == sorted(
                (row for row in table.rows if row[0] == user), key=repr
            )
