"""Who may do something now: everybody the facts or the policy name, and everybody else of a type.

Nothing of a call is known here: not its arguments, nor the claims and the network of its caller.
Where the answer depends on them, the terms are told, and no answer is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

from policies.bounds import certain_of, possible_of
from policies.grounds import Grounds
from policies.matching import matches
from policies.model import Entity, Fact, Proof, Step, StepKind
from policies.polar.engine import Engine, Ruling
from policies.polar.possible import POSSIBLE, TESTS
from policies.polar.runtime import Limits, Overlay
from policies.polar.tables import EMPTY
from policies.reach import BEHIND_CONNECT
from policies.review import Access, Other, entities
from policies.supplied import Caller, caller_facts, document_facts
from policies.ways import Terms, Way, minimal

UNKNOWN: Final = TESTS | {"claim/3", "source_address/2"}
"""What only a call tells, by predicate."""

_STRANGER: Final = "\0"
_ORIGIN: Final = "this call"
_PRINCIPALS: Final = ("Client", "User")
_MOST_LEASES: Final = 100

Subject = Entity | Other


class _Asker(NamedTuple):
    actor: Entity
    user: Entity | None


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who may, alike for whomever it acts: None is for itself.

    `ways` are the terms, any one of which is enough; none where it is `Access.ALWAYS`. `until` is
    the Unix second at which it ends by itself. `proofs` show the way of one example.
    """

    actor: Subject
    acts_for: tuple[Subject, ...] | None
    access: Access
    ways: tuple[Way, ...]
    until: int | None
    proofs: tuple[Proof, ...]


def server_of(resource: Entity) -> str | None:
    """Return the name of the server that *resource* is on, or is; None if it is on none."""
    match resource.type:
        case "Server":
            return resource.id
        case "Tool" | "Prompt":
            return resource.id.partition("__")[0]
        case "Document":
            return resource.id.partition("|")[0]
    return None


class Holders:
    """Finds who may do what, on *grounds*, by the engine that judges calls."""

    def __init__(self, grounds: Grounds, limits: Limits | None = None) -> None:
        self._grounds = grounds
        program = grounds.bundle.program
        bound = limits or grounds.engine.limits
        certain = certain_of(program, UNKNOWN)
        self._certain = Engine(certain or program, grounds.facts, bound)
        self._possible = self._certain
        if certain is not None:
            self._possible = Engine(possible_of(program, UNKNOWN), grounds.facts, bound)
        self._terms = Terms(self._possible, grounds.tables, UNKNOWN)

    @cached_property
    def named(self) -> frozenset[Entity]:
        """The clients and users that facts or the policy name."""
        found = entities(self._grounds.bundle.program, self._grounds.facts)
        return frozenset(one for one in found if one.type in _PRINCIPALS)

    def who_can(
        self, action: str, resource: Entity, known: Iterable[Entity], now: int
    ) -> list[Holder]:
        """Return who may do *action* on *resource* at the Unix second *now*.

        Asked are the identities *known* too. Raise `UndecidedError` if a question has no answer.
        """
        everyone = self.named | {one for one in known if one.type in _PRINCIPALS}
        strangers = [Entity(type_, _STRANGER) for type_ in _PRINCIPALS]
        actors = [*sorted(everyone), *strangers]
        users = [one for one in actors if one.type == "User"]
        asking = _Asking(self._certain, self._possible, self._terms, self._facts(resource, now))
        question = _Question(asking, action, resource, now)
        return [one for actor in actors for one in _holders(question, actor, users)]

    def _facts(self, resource: Entity, now: int) -> Callable[[_Asker], list[Fact]]:
        """Return what says which facts hold of a question by somebody."""
        grounds, named = self._grounds, self._grounds.demands.named
        fixed: list[Fact] = []
        if resource.type == "Document":
            server, _, uri = resource.id.partition("|")
            fixed += document_facts(named, resource, Entity("Server", server), uri)
            fixed += matches(resource, grounds.globs)

        def facts(asker: _Asker) -> list[Fact]:
            user = None if asker.user is None else asker.user.id
            return [*caller_facts(named, Caller(asker.actor, user), now), *fixed]

        return facts


class _Found(NamedTuple):
    access: Access
    own: Overlay
    rulings: Sequence[Ruling]

    @property
    def proofs(self) -> tuple[Proof, ...]:
        return tuple(_plain(ruling.proof) for ruling in self.rulings if ruling.proof)


@dataclass(frozen=True, slots=True)
class _Asking:
    certain: Engine
    possible: Engine
    terms: Terms
    facts: Callable[[_Asker], list[Fact]]

    def overlay(self, facts: Iterable[Fact]) -> Overlay:
        return self.certain.overlay([(one, _ORIGIN) for one in facts], only_useful=True)


@dataclass(frozen=True, slots=True)
class _Question:
    asking: _Asking
    action: str
    resource: Entity
    now: int

    @property
    def goals(self) -> Sequence[tuple[str, Entity]]:
        """What has to be allowed: to connect to the server as well, of what it offers."""
        goal, server = (self.action, self.resource), server_of(self.resource)
        if self.resource.type not in BEHIND_CONNECT or server is None:
            return (goal,)
        return ("connect", Entity("Server", server)), goal

    def found(self, asker: _Asker) -> _Found | None:
        """Return how far it is allowed, and why; None if it is not."""
        own = self.asking.overlay(self.asking.facts(asker))
        for access in (Access.ALWAYS, Access.SOMETIMES):
            rulings = self._rulings(asker.actor, own, access, self.now)
            if all(rulings):
                return _Found(access, own, rulings)
            if self.asking.possible is self.asking.certain:
                break
        return None

    def acts_for_somebody(self, actor: Entity, users: Collection[Entity]) -> bool:
        """Tell whether *actor* may if it could act for all *users* at once, so mostly at all."""
        facts = dict.fromkeys(
            fact for user in users for fact in self.asking.facts(_Asker(actor, user))
        )
        own = self.asking.overlay(facts)
        return all(self._rulings(actor, own, Access.SOMETIMES, self.now))

    def holder(self, asker: _Asker, found: _Found) -> Holder:
        """Return the holder that *asker* is, without proofs, which cost more than the rest."""
        ways: list[Way] = [()]
        if found.access is not Access.ALWAYS:
            for action, resource in self.goals:
                goal = (asker.actor, action, resource)
                if self.asking.certain.decide(*goal, found.own, self.now):
                    continue
                some = self.asking.terms.ways(*goal, found.own, self.now)
                ways = minimal([(*one, *other) for one in ways for other in some or [()]])
        acts_for = None if asker.user is None else (_subject(asker.user),)
        until = self._until(asker, found)
        kept = tuple(way for way in ways if way)
        return Holder(_subject(asker.actor), acts_for, found.access, kept, until, ())

    def _rulings(self, actor: Entity, own: Overlay, access: Access, now: int) -> list[Ruling]:
        """Return the rulings up to the first that does not allow."""
        found: list[Ruling] = []
        for action, resource in self.goals:
            goal = (actor, action, resource)
            if access is Access.ALWAYS:
                found.append(self.asking.certain.decide(*goal, own, now))
            else:
                engine = self.asking.possible
                is_tested = f"{POSSIBLE}allow/3" in engine.program.clauses
                predicate = f"{POSSIBLE}allow" if is_tested else "allow"
                found.append(engine.holds(predicate, goal, own, now))
            if not found[-1]:
                break
        return found

    def _until(self, asker: _Asker, found: _Found) -> int | None:
        """Return when it ends, if nothing else changes: what gives it may end, one after another.

        The hour and the weekday are those of now.
        """
        moment, rulings = self.now, found.rulings
        for _ in range(_MOST_LEASES):
            proofs = [ruling.proof for ruling in rulings]
            ends = [end for proof in proofs if proof for end in _ends(proof, moment)]
            if not ends:
                return None
            moment = min(ends)
            rulings = self._rulings(asker.actor, found.own, found.access, moment)
            if not all(rulings):
                break
        return moment


def _holders(question: _Question, actor: Entity, users: Sequence[Entity]) -> Iterator[Holder]:
    alone = _Asker(actor, None)
    found = question.found(alone)
    if found is not None:
        yield replace(question.holder(alone, found), proofs=found.proofs)
    if actor.type == "Client" and question.acts_for_somebody(actor, users):
        yield from _delegated(question, actor, users)


def _delegated(question: _Question, actor: Entity, users: Sequence[Entity]) -> Iterator[Holder]:
    """Yield on behalf of whom *actor* may, those alike as one."""
    grouped: dict[object, Holder] = {}
    users_of: dict[object, list[Subject]] = {}
    for user in users:
        asker = _Asker(actor, user)
        found = question.found(asker)
        if found is None:
            continue
        one = question.holder(asker, found)
        key = (one.access, one.ways, one.until)
        if key not in grouped:
            grouped[key] = replace(one, proofs=found.proofs)
        users_of.setdefault(key, []).append(_subject(user))
    for alike, one in grouped.items():
        yield replace(one, acts_for=tuple(users_of[alike]))


def _ends(proof: Proof, now: int) -> Iterator[int]:
    """Yield the seconds at which a comparison of *proof* with the clock would not hold any more."""
    for step in proof.steps:
        if step.kind is not StepKind.COMPARISON or now not in step.claim.args:
            continue
        for end in step.claim.args:
            if isinstance(end, int) and not isinstance(end, bool) and end >= now:
                match step.claim.predicate:
                    case "<" | ">" if end > now:
                        yield end
                    case "<=" | ">=" | "=":
                        yield end + 1


def _subject(entity: Entity) -> Subject:
    return Other(entity.type) if entity.id == _STRANGER else entity


def _plain(proof: Proof) -> Proof:
    """Return *proof* with the names of the rules that are written, not of those derived."""
    return Proof(tuple(map(_unprefixed, proof.steps)))


def _unprefixed(step: Step) -> Step:
    predicate = step.claim.predicate.removeprefix(POSSIBLE)
    return step._replace(claim=step.claim._replace(predicate=predicate))


def stored_of(proofs: Iterable[Proof], grounds: Grounds) -> list[Fact]:
    """Return the facts of *proofs* that are not of the question alone, nor in the policy."""
    claims = dict.fromkeys(
        step.claim
        for proof in proofs
        for step in proof.steps
        if step.kind is StepKind.FACT and step.source != _ORIGIN
    )
    return [fact for fact in claims if grounds.facts.origins(fact)]


def offered(resource: Entity, grounds: Grounds) -> bool:
    """Tell whether a server is known to offer *resource*, a tool or prompt."""
    rows = grounds.facts.get("has_relation/3", EMPTY).find((0, 1), (resource, "server"))
    return bool(rows)
