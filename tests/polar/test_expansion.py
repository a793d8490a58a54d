"""Every shorthand of a block means the rule that its author would have written out."""

from __future__ import annotations

import random as randomness
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from itertools import product

import pytest

from policies.facts import FactSet
from policies.model import Entity, Fact, Value
from policies.polar.blocks import expand
from policies.polar.engine import Engine
from policies.polar.parser import parse
from policies.polar.program import Program, compile_policy, items_of
from policies.polar.schema import FactError
from policies.polar.source import Problem, Span
from policies.polar.syntax import And, Block, Or, Rule, Variable
from policies.polar.types import read_types

AROUND = """
actor Client {}
actor Team {}
resource Tenant { roles = ["admin", "member"]; permissions = ["audit"]; }
declare is_open(Box);
declare knows(Actor, Box);
"""

GLOBAL = """
global { roles = ["root", "aide"]; permissions = ["operate"]; }
"""

BOX = """
resource Box {
  roles = ["keeper", "reader", "admin"];
  permissions = ["open", "look"];
  relations = { tenant: Tenant, owner: Client, team: Team, parent: Box };
  @@
}
"""

HEAD = 'has_permission(actor: Actor, "open", resource: Box) if '

ROWS = {
    "a permission from a role": (
        '"open" if "keeper";',
        HEAD + 'has_role(actor, "keeper", resource);',
    ),
    "a role from a role": (
        '"reader" if "keeper";',
        'has_role(actor: Actor, "reader", resource: Box) if has_role(actor, "keeper", resource);',
    ),
    "a permission from a permission": (
        '"look" if "open";',
        (
            'has_permission(actor: Actor, "look", resource: Box) if'
            ' has_permission(actor, "open", resource);'
        ),
    ),
    "a role from a permission": (
        '"reader" if "open";',
        (
            'has_role(actor: Actor, "reader", resource: Box) if'
            ' has_permission(actor, "open", resource);'
        ),
    ),
    "a relation to an actor": (
        '"open" if "owner";',
        HEAD + 'has_relation(resource, "owner", actor);',
    ),
    "a relation to an actor, said to be of the resource": (
        '"open" if "owner" on resource;',
        HEAD + 'has_relation(resource, "owner", actor);',
    ),
    "a relation to a group of actors is the group's own": (
        '"open" if "team";',
        HEAD + 'has_relation(resource, "team", actor);',
    ),
    "a role on a related resource": (
        '"keeper" if "member" on "tenant";',
        (
            'has_role(actor: Actor, "keeper", resource: Box) if o matches Tenant'
            ' and has_relation(resource, "tenant", o) and has_role(actor, "member", o);'
        ),
    ),
    "a permission on a related resource": (
        '"look" if "audit" on "tenant";',
        (
            'has_permission(actor: Actor, "look", resource: Box) if o matches Tenant'
            ' and has_relation(resource, "tenant", o) and has_permission(actor, "audit", o);'
        ),
    ),
    "the same role on a parent of the same type": (
        '"keeper" if "keeper" on "parent";',
        (
            'has_role(actor: Actor, "keeper", resource: Box) if o matches Box'
            ' and has_relation(resource, "parent", o) and has_role(actor, "keeper", o);'
        ),
    ),
    "every role of a related resource": (
        'role if role on "tenant";',
        (
            "has_role(actor: Actor, role: String, resource: Box) if o matches Tenant"
            ' and has_relation(resource, "tenant", o) and has_role(actor, role, o);'
        ),
    ),
    "every permission of a parent": (
        'permission if permission on "parent";',
        (
            "has_permission(actor: Actor, permission: String, resource: Box) if o matches Box"
            ' and has_relation(resource, "parent", o) and has_permission(actor, permission, o);'
        ),
    ),
    "a global role": ('"open" if global "root";', HEAD + 'has_role(actor, "root");'),
    "a global permission": (
        '"open" if global "operate";',
        HEAD + 'has_permission(actor, "operate");',
    ),
    "a call about the resource": ('"open" if is_open(resource);', HEAD + "is_open(resource);"),
    "a call about both": ('"open" if knows(actor, resource);', HEAD + "knows(actor, resource);"),
    "two conditions": (
        '"open" if "reader" and "member" on "tenant";',
        HEAD + 'has_role(actor, "reader", resource) and o matches Tenant'
        ' and has_relation(resource, "tenant", o) and has_role(actor, "member", o);',
    ),
    "three alternatives": (
        '"open" if "keeper" or "owner" or global "root";',
        HEAD + 'has_role(actor, "keeper", resource)'
        ' or has_relation(resource, "owner", actor) or has_role(actor, "root");',
    ),
    "alternatives in parentheses": (
        '"open" if ("keeper" or "owner") and is_open(resource);',
        HEAD + '(has_role(actor, "keeper", resource)'
        ' or has_relation(resource, "owner", actor)) and is_open(resource);',
    ),
    "and binds tighter than or": (
        '"open" if "keeper" or "owner" and is_open(resource);',
        HEAD + 'has_role(actor, "keeper", resource)'
        ' or (has_relation(resource, "owner", actor) and is_open(resource));',
    ),
    "two parents need not be one": (
        '"open" if "keeper" on "parent" and "reader" on "parent";',
        HEAD + 'o matches Box and has_relation(resource, "parent", o)'
        ' and has_role(actor, "keeper", o) and p matches Box'
        ' and has_relation(resource, "parent", p) and has_role(actor, "reader", p);',
    ),
    "either of two relations": (
        '"open" if "admin" on "tenant" or "keeper" on "parent";',
        HEAD + '(o matches Tenant and has_relation(resource, "tenant", o)'
        ' and has_role(actor, "admin", o)) or (p matches Box'
        ' and has_relation(resource, "parent", p) and has_role(actor, "keeper", p));',
    ),
    "several shorthands": (
        '"look" if "open"; "open" if "reader"; "reader" if "keeper";',
        (
            'has_permission(actor: Actor, "look", resource: Box) if'
            ' has_permission(actor, "open", resource);'
            'has_permission(actor: Actor, "open", resource: Box) if'
            ' has_role(actor, "reader", resource);'
            'has_role(actor: Actor, "reader", resource: Box) if'
            ' has_role(actor, "keeper", resource);'
        ),
    ),
    "a role and every other role from above": (
        '"open" if "keeper"; role if role on "parent";',
        HEAD + 'has_role(actor, "keeper", resource);'
        "has_role(actor: Actor, role: String, resource: Box) if o matches Box"
        ' and has_relation(resource, "parent", o) and has_role(actor, role, o);',
    ),
}

OTHER_BLOCKS = {
    "global words have no resource": (
        BOX.replace("@@", "")
        + 'global { roles = ["root", "aide"]; permissions = ["operate"]; @@ }',
        '"operate" if "root"; "root" if "aide";',
        (
            'has_permission(actor: Actor, "operate") if has_role(actor, "root");'
            'has_role(actor: Actor, "root") if has_role(actor, "aide");'
        ),
    ),
    "an actor may be what roles are about": (
        BOX.replace("@@", "") + 'actor Guild { roles = ["lead", "member"]; @@ }',
        '"member" if "lead";',
        'has_role(actor: Actor, "member", resource: Guild) if has_role(actor, "lead", resource);',
    ),
    "a block knows the words of the block it extends": (
        BOX.replace("@@", "") + 'resource Vault extends Box { permissions = ["seal"]; @@ }',
        '"seal" if "keeper"; "seal" if "admin" on "tenant"; "open" if "seal"; "look" if "owner";',
        (
            'has_permission(actor: Actor, "seal", resource: Vault) if'
            ' has_role(actor, "keeper", resource);'
            'has_permission(actor: Actor, "seal", resource: Vault) if o matches Tenant'
            ' and has_relation(resource, "tenant", o) and has_role(actor, "admin", o);'
            'has_permission(actor: Actor, "open", resource: Vault) if'
            ' has_permission(actor, "seal", resource);'
            'has_permission(actor: Actor, "look", resource: Vault) if'
            ' has_relation(resource, "owner", actor);'
        ),
    ),
    "shorthands of a block hold for the blocks that extend it": (
        BOX
        + "resource Vault extends Box {} resource Safe extends Vault, Crate {} resource Crate {}",
        '"open" if "keeper"; role if role on "parent";',
        HEAD + 'has_role(actor, "keeper", resource);'
        "has_role(actor: Actor, role: String, resource: Box) if o matches Box"
        ' and has_relation(resource, "parent", o) and has_role(actor, role, o);',
    ),
    "words of each of two extended blocks": (
        BOX.replace("@@", "")
        + 'resource Crate { roles = ["packer"]; relations = { depot: Tenant }; }'
        "resource Safe extends Box, Crate { @@ }",
        '"open" if "packer"; "packer" if "admin" on "depot"; "keeper" if "packer";',
        (
            'has_permission(actor: Actor, "open", resource: Safe) if'
            ' has_role(actor, "packer", resource);'
            'has_role(actor: Actor, "packer", resource: Safe) if o matches Tenant'
            ' and has_relation(resource, "depot", o) and has_role(actor, "admin", o);'
            'has_role(actor: Actor, "keeper", resource: Safe) if'
            ' has_role(actor, "packer", resource);'
        ),
    ),
}

EVERY = {
    **{name: (BOX + GLOBAL, *row) for name, row in ROWS.items()},
    **OTHER_BLOCKS,
}

each_row = pytest.mark.parametrize(("blocks", "short", "long"), EVERY.values(), ids=EVERY)


def rules_of(text: str) -> list[Rule]:
    parsed = parse("policy.polar", text)
    assert parsed.problems == ()
    return items_of([parsed.module], Rule)


def shape(rule: Rule) -> object:
    """Return what *rule* says: no places, variables by order, `and` and `or` without nesting."""
    numbers: dict[str, int] = {}

    def told(node: object) -> object:
        match node:
            case Variable(name):
                return ("variable", numbers.setdefault(name, len(numbers)))
            case And() | Or():
                return (type(node).__name__, *(told(part) for part in flat(node)))
            case tuple() if not isinstance(node, Entity | Span):
                return tuple(told(part) for part in node)
        if not is_dataclass(node):
            return node
        names = [field.name for field in fields(node)]
        values = [getattr(node, name) for name in names if name not in {"span", "shorthand"}]
        return (type(node).__name__, *map(told, values))

    return told(rule)


def flat(node: And | Or) -> Iterator[object]:
    for part in node.parts:
        if isinstance(part, And | Or) and type(part) is type(node):
            yield from flat(part)
        else:
            yield part


@each_row
def test_a_shorthand_expands_to_the_rules_written_out(blocks: str, short: str, long: str) -> None:
    parsed = parse("policy.polar", AROUND + blocks.replace("@@", short))
    problems: list[Problem] = [*parsed.problems]
    expanded = expand(read_types(items_of([parsed.module], Block), problems), problems)

    assert problems == []
    assert [shape(rule) for rule in expanded] == [shape(rule) for rule in rules_of(long)]
    assert all(rule.shorthand for rule in expanded)


@each_row
def test_an_expanded_rule_stands_where_its_shorthand_does(
    blocks: str, short: str, long: str
) -> None:
    del long
    text = AROUND + blocks.replace("@@", short)
    parsed = parse("policy.polar", text)
    expanded = expand(read_types(items_of([parsed.module], Block), []), [])
    lines = text.splitlines()
    starts = [lines[rule.span.line - 1][rule.span.column - 1 :] for rule in expanded]

    heads = [part.strip().partition(" if ")[0] for part in short.split(";")[:-1]]
    assert [start.partition(" if ")[0] for start in starts] == heads


@each_row
def test_a_shorthand_answers_as_the_rules_written_out(blocks: str, short: str, long: str) -> None:
    compact = compile_policy({"policy.polar": AROUND + blocks.replace("@@", short)})
    spelled = compile_policy({"policy.polar": AROUND + blocks.replace("@@", "") + long})
    random = randomness.Random(short)
    candidates = [fact for fact in every_fact(compact) if accepted(spelled, fact)]
    questions = list(every_question(compact))
    held = 0
    for _ in range(6):
        facts = FactSet.of("stored", random.sample(candidates, min(len(candidates), 14)))
        one, other = answers(compact, facts, questions), answers(spelled, facts, questions)
        assert one == other
        held += sum(one)

    assert held > 0


def answers(
    program: Program, facts: FactSet, questions: Iterable[tuple[str, Sequence[Value]]]
) -> list[bool]:
    engine = Engine(program, facts)
    return [engine.holds(predicate, args).allowed for predicate, args in questions]


def every_fact(program: Program) -> Iterator[Fact]:
    """Yield facts of every form that the blocks and declarations allow, over two ids a type."""
    entities = [Entity(type_, id_) for type_ in program.types.blocks if type_ for id_ in "ab"]
    actors = [one for one in entities if program.types.is_actor(one.type)]
    words = sorted({word for type_ in program.types.blocks for word in program.types.roles(type_)})
    relations = sorted(
        {name for type_ in program.types.blocks for name in program.types.relations(type_)}
    )
    every = [
        *(Fact("has_role", args) for args in product(actors, words, entities)),
        *(Fact("has_role", args) for args in product(actors, words)),
        *(Fact("has_relation", args) for args in product(entities, relations, entities)),
        *(Fact("is_open", (one,)) for one in entities),
        *(Fact("knows", args) for args in product(actors, entities)),
    ]
    return (fact for fact in every if accepted(program, fact))


def accepted(program: Program, fact: Fact) -> bool:
    try:
        program.schema.check(fact)
    except FactError:
        return False
    return True


def every_question(program: Program) -> Iterator[tuple[str, tuple[Value, ...]]]:
    entities = [Entity(type_, id_) for type_ in program.types.blocks if type_ for id_ in "ab"]
    actors = [one for one in entities if program.types.is_actor(one.type)]
    for type_ in program.types.blocks:
        places = [[one] for one in entities if one.type == type_] or [[]]
        roles = product(["has_role"], program.types.roles(type_))
        permissions = product(["has_permission"], program.types.permissions(type_))
        for (predicate, word), actor, place in product([*roles, *permissions], actors, places):
            yield predicate, (actor, word, *place)


def test_words_of_an_extended_block_are_not_words_of_the_block_above() -> None:
    blocks = (
        'resource Box { roles = ["keeper"]; } resource Vault extends Box { roles = ["guard"]; }'
    )
    program = compile_policy({"policy.polar": "actor Client {}" + blocks})

    assert program.types.roles("Vault").keys() == {"guard", "keeper"}
    assert program.types.roles("Box").keys() == {"keeper"}
