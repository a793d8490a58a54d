"""A narrower set of grants that would have denied nothing seen: proposed, then proven.

What was seen is asked over the facts of now. Grants that no proof needs are dropped, the widest
first; a grant on much is replaced by grants on what it was used for. Each step is asked again for
all that it could concern, and in the end everything is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from policies.comparing import question_key
from policies.lesser import Piece, Question, changed_by, in_place
from policies.model import Entity, Fact, Verdict
from policies.polar.tables import EMPTY
from policies.recorded import recorded
from policies.replay import Bench
from policies.usage import facts_in, proofs_of

GRANTS: Final = ("has_role", "has_role_matching", "lease")

_MOST_CAUSES: Final = 50
"""Denied questions that are looked into at once for what to withdraw."""

_ON_RESOURCE: Final = 3


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to change, and what came of asking everything seen over it.

    `replayed` are decisions; `denied_already` are those the facts of now do not allow either;
    for `unclear` nobody can tell, so the grants of who asked are left alone. `newly_denied` is 0,
    or the proposal would not be here. `withdrawn` are pieces that did not hold.
    """

    pieces: tuple[Piece, ...]
    replayed: int
    questions: int
    denied_already: int
    unclear: int
    newly_denied: int
    withdrawn: int


class Seen:
    """What was seen: decisions that were allowed, by the question they answer."""

    def __init__(
        self, bench: Bench, revealed: Mapping[str, str], *, with_token: bool = False
    ) -> None:
        self._bench = bench
        self._revealed = revealed
        self._with_token = with_token
        self._known: dict[object, Question] = {}

    def add(self, payload: Mapping[str, Any]) -> None:
        """Take in the decision in *payload* of a record, if it allowed. Raise `UnreadableError`."""
        if payload.get("verdict") != Verdict.ALLOW:
            return
        key, _ = question_key(payload, lambda _: self._bench, with_token=self._with_token)
        question = self._known.get(key)
        if question is None:
            question = self._known[key] = Question(recorded(payload, self._revealed))
        question.count += 1

    @property
    def questions(self) -> list[Question]:
        return list(self._known.values())


@dataclass
class Narrowing:
    """Finds a narrower set of the grants *facts*, over what is *seen*.

    *now* is the Unix second; *fixed* are grants that are left alone. *tick* is told how far it is,
    and of how much.
    """

    bench: Bench
    seen: Sequence[Question]
    facts: Collection[Fact]
    now: int
    fixed: Collection[Fact] = ()
    tick: Callable[[int, int], None] = lambda _done, _total: None
    _uses: dict[Fact, dict[int, Question]] = field(default_factory=dict)
    _watched: set[Fact] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._watched.update(self.facts)

    def propose(self) -> Proposal:
        """Return the proposal that is proven. Raise `UndecidedError` for want of an answer."""
        for number, question in enumerate(self.seen):
            self.tick(number, len(self.seen))
            question.verdict = self.bench.decide(question.of).verdict
            if question.verdict is Verdict.ALLOW:
                self._ask(question, self.bench)
        pieces = self._pieces()
        withdrawn = 0
        while True:
            changed = changed_by(self.bench, pieces)
            denied = [one for one in self.seen if _is_denied(one, changed)]
            if not denied or not pieces:
                break
            pieces, before = self._without_cause(pieces, denied), len(pieces)
            withdrawn += before - len(pieces)
        return Proposal(
            tuple(pieces),
            replayed=sum(one.count for one in self.seen),
            questions=len(self.seen),
            denied_already=self._count(Verdict.DENY),
            unclear=self._count(Verdict.UNDECIDED),
            newly_denied=sum(one.count for one in denied),
            withdrawn=withdrawn,
        )

    def _ask(self, question: Question, bench: Bench) -> bool:
        """Note the grants that *question* rests on, by *bench*; return whether it is allowed."""
        proofs = proofs_of(bench, question.of)
        if proofs is None:
            return False
        for fact in question.grants:
            self._uses[fact].pop(id(question), None)
        question.grants = facts_in(proofs) & self._watched
        for fact in question.grants:
            self._uses.setdefault(fact, {})[id(question)] = question
        return True

    def _count(self, verdict: Verdict) -> int:
        return sum(one.count for one in self.seen if one.verdict is verdict)

    def _pieces(self) -> list[Piece]:
        unclear = self._behind_unclear()
        groups = [
            group
            for group in _grouped(self.facts, self.fixed)
            if not any(fact.args[0] in unclear for fact in group)
        ]
        pieces = [Piece(group) for group in groups if not any(self._uses.get(f) for f in group)]
        bench = changed_by(self.bench, pieces)
        left = [group for group in groups if any(self._uses.get(fact) for fact in group)]
        for number, group in enumerate(sorted(left, key=_width)):
            self.tick(number, len(left))
            for piece in self._narrower(group):
                changed = changed_by(bench, [piece])
                self._watched.update(piece.add)
                if self._stands(group, changed):
                    pieces.append(piece)
                    bench = changed
                    break
        return self._trimmed(pieces, bench)

    def _trimmed(self, pieces: Sequence[Piece], bench: Bench) -> list[Piece]:
        """Return *pieces* without new grants in whose place later ones do as well."""
        trimmed = []
        for piece in pieces:
            kept = []
            for fact in piece.add:
                changed = changed_by(bench, [Piece(frozenset({fact}))])
                if self._stands(frozenset({fact}), changed):
                    bench = changed
                else:
                    kept.append(fact)
            trimmed.append(Piece(piece.remove, tuple(kept)))
        return trimmed

    def _behind_unclear(self) -> set[object]:
        """Return whose grants may matter for what nobody can tell: who asked, and their teams."""
        found: set[object] = set()
        relations = self.bench.grounds.facts.get("has_relation/3", EMPTY)
        for one in self.seen:
            if one.verdict is Verdict.UNDECIDED:
                user = [] if one.of.acts_for is None else [Entity("User", one.of.acts_for)]
                for actor in (one.of.actor, *user):
                    found |= {actor, *(row[2] for row in relations.find((0, 1), (actor, "team")))}
        return found

    def _narrower(self, group: frozenset[Fact]) -> Iterator[Piece]:
        """Yield what might do in the place of *group*, the narrowest first."""
        yield Piece(group)
        questions = [one for fact in group for one in self._uses.get(fact, {}).values()]
        yield from in_place(group, questions, self.bench, self.now)

    def _stands(self, group: frozenset[Fact], bench: Bench) -> bool:
        """Tell whether all that rests on *group* is allowed by *bench*, and note on what then."""
        questions = {key: one for fact in group for key, one in self._uses.get(fact, {}).items()}
        if not all(proofs_of(bench, one.of) is not None for one in questions.values()):
            return False
        for one in questions.values():
            self._ask(one, bench)
        return True

    def _without_cause(self, pieces: list[Piece], denied: Sequence[Question]) -> list[Piece]:
        """Return *pieces* without those that deny some of *denied*; at least one less."""
        some = denied[:_MOST_CAUSES]
        left = [piece for piece in pieces if not self._denies(piece, some)]
        return left if len(left) < len(pieces) else pieces[:-1]

    def _denies(self, piece: Piece, some: Iterable[Question]) -> bool:
        changed = changed_by(self.bench, [piece])
        return any(_is_denied(one, changed) for one in some)


def _is_denied(question: Question, bench: Bench) -> bool:
    """Tell whether what is allowed over the facts of now would not be by *bench*."""
    return (
        question.verdict is Verdict.ALLOW and bench.decide(question.of).verdict is not Verdict.ALLOW
    )


def _grouped(facts: Collection[Fact], fixed: Collection[Fact]) -> list[frozenset[Fact]]:
    """Return grants that are ended together: by the same words, whenever they end."""
    groups: dict[tuple[object, ...], set[Fact]] = {}
    for fact in facts:
        if fact.predicate in GRANTS and len(fact.args) >= _ON_RESOURCE:
            groups.setdefault(fact.args[:_ON_RESOURCE], set()).add(fact)
    return [frozenset(group) for group in groups.values() if not group & frozenset(fixed)]


def _width(group: frozenset[Fact]) -> tuple[int, int, str]:
    """Return what sorts the widest first: of teams, by pattern, on servers, then toolsets."""
    actor, _, target, *_ = next(iter(group)).args
    types = ("Server", "Toolset")
    kind = target.type if isinstance(target, Entity) else ""
    order = 0 if not kind else 1 + (types.index(kind) if kind in types else len(types))
    is_team = isinstance(actor, Entity) and actor.type == "Team"
    return order, not is_team, str(sorted(map(str, group)))
