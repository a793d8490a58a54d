"""The checker accepts proofs that are right, and none that are not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from policies.model import Anything, Entity, Fact, Proof, Step, StepKind, Value
from policies.polar.parser import parse
from policies.polar.syntax import Call, Compare, Literal, Module, Not, Term, Variable
from tests.reference.cells import Cell, Row, Stranger, answer, cell
from tests.reference.checker import Checker, check
from tests.reference.evaluator import Free, Model, Program, Reference
from tests.reference.expansion import Branch, Types, branches, expand, source, terms, variables
from tests.reference.ordering import arranged
from tests.reference.programs import program

POLICY = """\
actor User {}
resource Folder {
  roles = ["viewer"];
  permissions = ["read"];
  relations = { parent: Folder };
  "read" if "viewer";
  role if role on "parent";
}
reaches(x, y) if edge(x, y);
reaches(x, y) if reaches(x, z) and edge(z, y);
open_to(_: User, _: Folder);
adult(x: User) if age(x, n) and n >= 18;
welcome(x: User) if adult(x) and not banned(x);
guest(x: User, y: Folder) if open_to(x, y);
same(x: User, x);
named(x: User) if x = User{"ann"} or x in [User{"bob"}, User{"zoe"}];
early() if @current_unix_time < 200;
lonely(x: User) if age(x, _) and not edge(x, _);
edge(User{"ann"}, User{"bob"});
anyone(x: User) if open_to(x, f) and shut(f);
shut(Folder{"a"});
spared(x: User) if age(x, _) and not (edge(x, y) and not banned(y));
calm(x: User) if not angry(x);
meek(x: User) if not (banned(x) and age(x, _));
"""

NOW = 100
ann, bob, zoe = (Entity("User", name) for name in ("ann", "bob", "zoe"))
top, low = Entity("Folder", "a"), Entity("Folder", "b")
any_user, any_folder = Anything("User"), Anything("Folder")
STORED = {
    Fact("has_role", (ann, "viewer", top)): "grant 1",
    Fact("has_relation", (low, "parent", top)): "tree",
    Fact("edge", (bob, zoe)): "graph",
    Fact("age", (ann, 18)): "register",
    Fact("age", (bob, 17)): "register",
    Fact("age", (zoe, 40)): "register",
    Fact("banned", (zoe,)): "list",
}


def module(text: str) -> Module:
    parsed = parse("p.polar", text)
    assert not parsed.problems
    return parsed.module


def line(start: str) -> str:
    """Return the place of the first line of the policy that starts so."""
    lines = POLICY.splitlines()
    return f"p.polar:{next(n for n, each in enumerate(lines, 1) if each.strip().startswith(start))}"


def claim(predicate: str, *args: Value | Anything) -> Fact:
    return Fact(predicate, args)


def rule(start: str, claimed: Fact, *premises: int) -> Step:
    place = "default" if start == "default" else line(start)
    return Step(StepKind.RULE, claimed, place, premises)


def stored(claimed: Fact) -> Step:
    return Step(StepKind.FACT, claimed, STORED[claimed])


def absent(predicate: str, *args: Value | Anything) -> Step:
    return Step(StepKind.ABSENT, Fact(predicate, args), "")


def comparison(left: int, sign: str, right: int) -> Step:
    return Step(StepKind.COMPARISON, Fact(sign, (left, right)), "")


def judge(*steps: Step, goal: Fact | None = None) -> None:
    check(Proof(steps), [module(POLICY)], STORED, NOW, goal=goal)


role, parent = (stored(each) for each in list(STORED)[:2])
inherited = rule("role if role", claim("has_role", ann, "viewer", low), 0, 1)
permitted = rule('"read" if', claim("has_permission", ann, "read", low), 2)
allowed = rule("default", claim("allow", ann, "read", low), 3)
reading = (role, parent, inherited, permitted, allowed)
written = Step(StepKind.FACT, claim("edge", ann, bob), line("edge(User"))
age = stored(claim("age", ann, 18))
adult = rule("adult", claim("adult", ann), 0, 1)
welcome = rule("welcome", claim("welcome", ann), 2, 3)
welcoming = (age, comparison(18, ">=", 18), adult, absent("banned", ann), welcome)
opened = rule("open_to", claim("open_to", any_user, any_folder))


@pytest.mark.parametrize(
    "steps",
    [
        reading,
        welcoming,
        (written, rule("reaches(x, y) if edge", claim("reaches", ann, bob), 0)),
        (
            written,
            stored(claim("edge", bob, zoe)),
            rule("reaches(x, y) if edge", claim("reaches", ann, bob), 0),
            rule("reaches(x, y) if reaches", claim("reaches", ann, zoe), 2, 1),
        ),
        (rule("edge(User", claim("edge", ann, bob)),),
        (opened,),
        (rule("open_to", claim("open_to", ann, any_folder)),),
        (opened, rule("guest", claim("guest", any_user, any_folder), 0)),
        (opened, rule("guest", claim("guest", ann, low), 0)),
        (rule("same", claim("same", ann, ann)),),
        (rule("named", claim("named", ann)),),
        (rule("named", claim("named", zoe)),),
        (comparison(NOW, "<", 200), rule("early", claim("early"), 0)),
        (
            stored(claim("age", zoe, 40)),
            absent("edge", zoe, any_user),
            rule("lonely", claim("lonely", zoe), 0, 1),
        ),
        (
            stored(claim("age", zoe, 40)),
            absent("edge"),
            rule("lonely", claim("lonely", zoe), 0, 1),
        ),
        (
            opened,
            Step(StepKind.FACT, claim("shut", top), line("shut")),
            rule("anyone", claim("anyone", any_user), 0, 1),
        ),
        (
            stored(claim("age", bob, 17)),
            absent("edge"),
            rule("spared", claim("spared", bob), 0, 1),
        ),
        (absent("angry", any_user), rule("calm", claim("calm", any_user), 0)),
        (absent("inside"), rule("meek", claim("meek", ann), 0)),
    ],
)
def test_a_right_proof_passes(steps: tuple[Step, ...]) -> None:
    judge(*steps)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((), "at least one step"),
        ((*reading[:4], allowed._replace(source="p.polar:6")), "no rule for allow stands"),
        ((*reading[:4], allowed._replace(premises=(2,))), "does not follow"),
        ((*reading[:4], allowed._replace(premises=())), "does not follow"),
        ((*reading[:4], allowed._replace(premises=(4,))), "before it"),
        ((*reading[:4], allowed._replace(premises=(-1,))), "before it"),
        ((*reading[:4], allowed._replace(claim=claim("allow", bob, "read", low))), "not follow"),
        ((role._replace(source="grant 2"), *reading[1:]), "not a fact from there"),
        ((role._replace(claim=claim("has_role", bob, "viewer", top)),), "not a fact"),
        ((role._replace(premises=(0,)),), "before it"),
        ((role, parent._replace(premises=(0,))), "needs no premises"),
        ((written._replace(source=line("shut")),), "not a fact from there"),
        ((age, comparison(17, ">=", 18)), "not true"),
        ((age, comparison(18, ">=", 17), adult), "does not follow"),
        ((Step(StepKind.COMPARISON, claim("=", 1, 1), ""),), "not a comparison"),
        ((Step(StepKind.COMPARISON, claim("<", "a", "b"), ""),), "not true"),
        ((Step(StepKind.COMPARISON, claim("<", Anything("Integer"), 3), ""),), "not known"),
        ((age, adult), "before it"),
        ((age, adult._replace(premises=(0,))), "does not follow"),
        ((*welcoming[:3], absent("banned", bob), welcome), "does not follow"),
        ((*welcoming[:3], absent("banned", zoe), welcome), "not absent"),
        ((absent("edge", ann, any_user),), "not absent"),
        ((absent("reaches", ann, zoe),), "not absent"),
        ((absent("banned", any_user),), "not absent"),
        (welcoming[:2], "is not a goal"),
        ((rule("same", claim("same", any_user, any_user)),), "does not follow"),
        ((rule("same", claim("same", ann, bob)),), "does not follow"),
        ((rule("named", claim("named", any_user)),), "does not follow"),
        ((rule("open_to", claim("open_to", any_folder, any_folder)),), "does not follow"),
        ((rule("open_to", claim("open_to", Anything("Actor"), low)),), "not a concrete type"),
        ((rule("edge(User", claim("edge", any_user, bob)),), "does not follow"),
        ((comparison(101, "<", 200), rule("early", claim("early"), 0)), "does not follow"),
        (
            (
                stored(claim("age", bob, 17)),
                absent("edge"),
                rule("lonely", claim("lonely", bob), 0, 1),
            ),
            "does not follow",
        ),
        (
            (
                stored(claim("age", ann, 18)),
                absent("edge"),
                rule("spared", claim("spared", ann), 0, 1),
            ),
            "does not follow",
        ),
        ((absent("inside"), rule("meek", claim("meek", any_user), 0)), "does not follow"),
        ((absent("angry", ann), rule("calm", claim("calm", any_user), 0)), "does not follow"),
    ],
)
def test_a_broken_proof_is_refused_with_a_reason(steps: tuple[Step, ...], reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        judge(*steps)


def test_a_proof_must_end_with_what_was_asked() -> None:
    judge(*reading, goal=claim("allow", ann, "read", low))
    judge(opened, goal=claim("open_to", bob, low))
    with pytest.raises(AssertionError, match="was asked"):
        judge(*reading, goal=claim("allow", ann, "read", top))


def test_facts_that_differ_only_in_true_and_one_keep_their_origins() -> None:
    pairs = [(Fact("flag", (ann, True)), "one"), (Fact("flag", (ann, 1)), "other")]
    checker = Checker([module(POLICY)], pairs, NOW)

    checker.check(Proof((Step(StepKind.FACT, Fact("flag", (ann, True)), "one"),)))
    with pytest.raises(AssertionError, match="not a fact from there"):
        checker.check(Proof((Step(StepKind.FACT, Fact("flag", (ann, 1)), "one"),)))


class Prover:
    """Writes down how each row of a random program's model came about, without `Anything`."""

    def __init__(self, seed: int) -> None:
        made = program(random.Random(seed), portable=seed % 2 == 0)
        self.facts, self.now = made.facts, made.now
        self.modules = [module(made.text)]
        rules = expand(self.modules)
        whole = Program(rules, Types(self.modules), tuple(made.facts), made.now)
        self.model = Model(whole, ())
        self.steps = [Step(StepKind.FACT, fact, "store") for fact in made.facts]
        self.known = {key(fact): index for index, fact in enumerate(made.facts)}
        found = [(b, list(self.ways(b))) for each in rules for b in branches(each)]
        while sum(self.add(branch, each) for branch, ways in found for each in ways):
            pass

    def ways(self, branch: Branch) -> Iterator[dict[str, Cell]]:
        """Yield the ways to apply *branch* that speak of no strangers."""
        shown = [atom for atom in branch.atoms if not isinstance(atom, Not)]
        asked = [Variable(name, branch.rule.span) for a in shown for name in variables(terms(a))]
        plan = arranged(branch._replace(head=(*branch.head, *asked)))
        for found in self.model.solve(plan, {}):
            if not any(isinstance(value, Stranger) for _, value in found.values()):
                yield found

    def fact(self, predicate: str, written: Sequence[Term], found: dict[str, Cell]) -> Fact:
        return Fact(predicate, tuple(answer(self.value(term, found)) for term in written))

    def value(self, term: Term, found: dict[str, Cell]) -> Cell:
        if isinstance(term, Variable):
            return found[term.name]
        return cell(term.value) if isinstance(term, Literal) else self.model.now

    def add(self, branch: Branch, found: dict[str, Cell]) -> bool:
        """Add a step for the head, if it is new and the calls have theirs."""
        head = self.fact(branch.rule.predicate, branch.head, found)
        calls = [atom for atom in branch.atoms if isinstance(atom, Call)]
        needed = [key(self.fact(call.predicate, call.args, found)) for call in calls]
        if key(head) in self.known or not all(each in self.known for each in needed):
            return False
        premises = [self.known[each] for each in needed]
        for atom in branch.atoms:
            step = self.side_step(atom, found)
            if step is not None:
                premises.append(len(self.steps))
                self.steps.append(step)
        self.known[key(head)] = len(self.steps)
        self.steps.append(Step(StepKind.RULE, head, source(branch.rule), tuple(premises)))
        return True

    def side_step(self, atom: object, found: dict[str, Cell]) -> Step | None:
        match atom:
            case Compare(operator, left, right) if operator != "=":
                claimed = self.fact(operator, (left, right), found)
                return Step(StepKind.COMPARISON, claimed, "")
            case Not(Call(predicate, args)):
                return Step(StepKind.ABSENT, self.fact(predicate, args, found), "")
            case Not():
                return Step(StepKind.ABSENT, Fact("inside", ()), "")
            case _:
                return None

    @property
    def checker(self) -> Checker:
        return Checker(self.modules, [(fact, "store") for fact in self.facts], self.now)


def key(fact: Fact) -> tuple[str, Row]:
    return fact.predicate, tuple(map(cell, fact.args))


@pytest.mark.parametrize("seed", range(12))
def test_every_row_of_a_random_model_has_a_proof_that_passes(seed: int) -> None:
    prover = Prover(seed)
    goals = [step for step in prover.steps if step.kind is StepKind.RULE]
    assert len(goals) > 10

    last = prover.steps.index(goals[-1])
    prover.checker.check(Proof(tuple(prover.steps[: last + 1])))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_passes_after_a_random_change_is_still_true(seed: int) -> None:
    prover, pick = Prover(seed), random.Random(seed)
    checker = prover.checker
    asked = Reference(prover.modules, prover.facts, prover.now)
    refused = 0
    for _ in range(60):
        index = pick.randrange(len(prover.steps))
        broken = changed(prover.steps[index], prover.steps, pick)
        if broken.kind not in {StepKind.RULE, StepKind.FACT}:
            continue
        try:
            checker.check(Proof((*prover.steps[:index], broken)))
        except AssertionError:
            refused += 1
            continue
        args = tuple(Free(a.type) if isinstance(a, Anything) else a for a in broken.claim.args)
        wanted = {tuple(map(cell, broken.claim.args))}
        assert wanted <= asked.cells(broken.claim.predicate, args), str(broken.claim)
    assert refused > 10


def changed(step: Step, others: Sequence[Step], pick: random.Random) -> Step:
    """Return *step* with another argument, premise or source."""
    args, like = list(step.claim.args), pick.choice(others)
    match pick.randrange(4):
        case 0 if args:
            args[pick.randrange(len(args))] = pick.choice([*like.claim.args, *args])
            return step._replace(claim=Fact(step.claim.predicate, tuple(args)))
        case 1 if args:
            place = pick.randrange(len(args))
            args[place] = Anything(cell(args[place])[0])
            return step._replace(claim=Fact(step.claim.predicate, tuple(args)))
        case 2:
            return step._replace(premises=step.premises[1:])
        case _:
            return step._replace(source=like.source, premises=like.premises)
