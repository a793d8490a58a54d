"""What a policy wants to know with a question of the past, and what of it the record tells.

A policy that was not in force may ask for what nobody recorded: the test of an argument, a claim,
a network. Nothing is guessed: such a fact may hold or not, and where it may be any, it is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from policies.arguments import COMPLEMENTS, ArgumentTest, outcomes
from policies.arguments.globs import are_apart
from policies.arguments.tests import pattern_problem
from policies.demands import Demands, supplied_atoms
from policies.grounds import Grounds
from policies.matching import matches
from policies.model import Entity, Fact, Value
from policies.polar.clauses import Const
from policies.polar.possible import TESTS
from policies.polar.program import Program
from policies.polar.tables import EMPTY
from policies.polar.values import name_of, told
from policies.recorded import Recorded, Silent, is_hidden
from policies.supplied import Caller, Named, caller_facts, document_facts

_TEST_NAMES: Final = frozenset(map(name_of, TESTS))
_TESTED_AS: Final = {complement: name for name, complement in COMPLEMENTS.items()}

Key = tuple[str, str, str | None]
"""Predicate, key and pattern of an argument test's fact."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """What is known of how records were made: the strings that each policy named.

    `named` and `words` give None for a policy that was not kept. `reveals` tells whether text
    that was recorded as a digest would be known if the facts or a policy named it.
    """

    named: Callable[[str], Named | None]
    words: Callable[[str], frozenset[str] | None]
    reveals: bool


@dataclass(slots=True)
class Inputs:
    """The facts of one question: `caller` and `item` hold; each of `maybe` may hold or not.

    Of the predicates `open` any fact may hold as well. `lacking` says in words what is unknown,
    by predicate.
    """

    caller: list[Fact]
    item: list[Fact] = field(default_factory=list)
    maybe: list[Fact] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    lacking: dict[str, str] = field(default_factory=dict)

    def lack(self, predicate: str, what: str, facts: Iterable[Fact], *, is_open: bool) -> None:
        """Note that *what* was not recorded, and which *facts* might hold because of it."""
        some = list(facts)
        self.maybe += some
        if is_open:
            self.open.add(predicate)
        if some or is_open:
            self.lacking.setdefault(predicate, what)


@dataclass(slots=True)
class _Wanted:
    """The values that rules compare a claim or an argument with; `is_any` where they take any."""

    values: dict[tuple[type, Value], None] = field(default_factory=dict)
    is_any: bool = False

    def beside(self, excluded: frozenset[str] | None) -> list[Value]:
        """Return those values that are not among *excluded*."""
        return [value for _, value in self.values if value not in (excluded or ())]


_NONE: Final = _Wanted()


class Asking:
    """What the policy of *demands* asks to be supplied with questions."""

    def __init__(self, program: Program, demands: Demands, recorder: Recorder) -> None:
        self.demands = demands
        self.named = demands.named
        self.recorder = recorder
        self._claims = _wanted(program, "claim/3")
        self._arguments = _wanted(program, "argument/3")

    def inputs(self, of: Recorded, grounds: Grounds) -> Inputs:
        """Return the facts of the question *of*, as far as the record tells them."""
        caller = Caller(of.actor, of.acts_for)
        found = Inputs(caller_facts(self.named, caller, of.now))
        self._add_claims(of, found)
        self._add_networks(of, found)
        server = Entity("Server", of.server)
        found.caller += _matching(server, grounds)
        if _is_listed(of.resource, server, grounds):
            found.item += _matching(of.resource, grounds)
        if of.resource.type == "Document":
            uri = of.resource.id.partition("|")[2]
            found.item += document_facts(self.named, of.resource, server, uri)
        self._add_tests(of, grounds, found)
        return found

    def _add_claims(self, of: Recorded, found: Inputs) -> None:
        names = self.named.get("claim", {}).get(1, frozenset())
        known = (self.recorder.named(of.policy) or {}).get("claim", {}).get(1, frozenset())
        words = self.recorder.words(of.policy)
        for name in sorted(names):
            said = [
                fact for fact in of.facts if fact.predicate == "claim" and name in fact.args[1:2]
            ]
            wanted = self._claims.get(name, _NONE)
            hidden = [fact for fact in said if is_hidden(fact)]
            if not said and name not in known:
                told_ = [value for claim, value in of.claims if claim == name]
                found.caller += [Fact("claim", (of.actor, name, value)) for value in told_]
                if not told_:
                    self._lack_claim(of, found, name, wanted, None)
            elif hidden and not self.recorder.reveals:
                found.caller += [fact for fact in said if fact not in hidden]
                self._lack_claim(of, found, name, wanted, words)
            else:
                found.caller += said

    def _lack_claim(
        self, of: Recorded, found: Inputs, name: str, wanted: _Wanted, not_: frozenset[str] | None
    ) -> None:
        facts = [Fact("claim", (of.actor, name, value)) for value in wanted.beside(not_)]
        found.lack("claim", f"the claim `{name}`", facts, is_open=wanted.is_any)

    def _add_networks(self, of: Recorded, found: Inputs) -> None:
        ranges = self.named.get("source_address", {}).get(1, frozenset())
        if not ranges:
            return
        known = (self.recorder.named(of.policy) or {}).get("source_address", {})
        was_tested = known.get(1, frozenset())
        said = {fact.args[1] for fact in of.facts if fact.predicate == "source_address"}
        for text in sorted(ranges):
            fact = Fact("source_address", (of.actor, text))
            if text in said:
                found.caller.append(fact)
            elif text not in was_tested:
                what = f"whether the caller came from {text}"
                found.lack("source_address", what, [fact], is_open=False)

    def _add_tests(self, of: Recorded, grounds: Grounds, found: Inputs) -> None:
        tests = grounds.call_tests(of.resource)
        if not tests.asked:
            return
        if of.arguments is not None:
            found.item += tests.wanted(tests.outcomes(of.resource, of.arguments))
            return
        told_ = _Told(of)
        # What a task goes on with are the facts of the call that began it, and no others.
        is_whole = not of.has_arguments and of.policy == grounds.bundle.version
        for key in sorted(tests.asked, key=repr):
            self._add_test(of, told_, key, found, is_whole=is_whole)

    def _add_test(
        self, of: Recorded, told_: _Told, key: Key, found: Inputs, *, is_whole: bool
    ) -> None:
        predicate, name, pattern = key
        fact = told_.facts.get(key)
        is_unclear = fact is not None and is_hidden(fact) and not self.recorder.reveals
        if fact is not None and not is_unclear:
            found.item.append(fact)
        elif is_unclear:
            self._lack_argument(of, found, name, self.recorder.words(of.policy))
        elif is_whole or told_.denies(key):
            return
        elif predicate == "argument_present" and told_.is_present(name):
            found.item.append(Fact(predicate, (of.resource, name)))
        elif pattern is not None and (given := told_.values.get(name)) is not None:
            test = ArgumentTest(_TESTED_AS.get(predicate, predicate), name, pattern)
            found.item += [
                one for one in outcomes([test], of.resource, _holding(name, given))
                if one is not None and one.predicate == predicate
            ]  # fmt: skip
        elif predicate == "argument":
            self._lack_argument(of, found, name, None)
        else:
            rest = () if pattern is None else (pattern,)
            maybe = Fact(predicate, (of.resource, name, *rest))
            what = f"the test {predicate} of the argument `{name}`"
            found.lack(predicate, what, [maybe], is_open=False)

    def _lack_argument(
        self, of: Recorded, found: Inputs, key: str, not_: frozenset[str] | None
    ) -> None:
        wanted = self._arguments.get(key, _NONE)
        values = wanted.beside(not_)
        facts = [Fact("argument", (of.resource, key, value)) for value in values]
        found.lack("argument", f"the argument `{key}`", facts, is_open=wanted.is_any)


class _Told:
    """What a record tells of the arguments of a call."""

    def __init__(self, of: Recorded) -> None:
        self._silent = of.silent
        self.facts: dict[Key, Fact] = {}
        self.values: dict[str, Value] = {}
        for fact in of.facts:
            if fact.predicate in _TEST_NAMES and fact.args[:1] == (of.resource,):
                self._take(fact)

    def _take(self, fact: Fact) -> None:
        key, *rest = fact.args[1:]
        pattern = str(rest[0]) if rest and fact.predicate != "argument" else None
        self.facts[fact.predicate, str(key), pattern] = fact
        if fact.predicate == "argument" and not is_hidden(fact):
            self.values[str(key)] = rest[0]  # type: ignore[assignment]

    def is_present(self, key: str) -> bool:
        return any(known == key for _, known, _ in self.facts)

    def denies(self, asked: Key) -> bool:
        """Tell whether the test was made, or could only have been, without giving its fact."""
        predicate, key, pattern = asked
        base = _TESTED_AS.get(predicate, predicate)
        opposite = COMPLEMENTS[base] if base == predicate and base in COMPLEMENTS else base
        return (
            Silent(base, key, pattern) in self._silent
            or Silent("argument_present", key, None) in self._silent
            or (opposite != predicate and (opposite, key, pattern) in self.facts)
            or (predicate == "argument_matches" and self._is_elsewhere(key, pattern or ""))
        )

    def _is_elsewhere(self, key: str, pattern: str) -> bool:
        """Tell whether another test of *key* says that not all of it matches *pattern*.

        What matched a glob with nothing in common matches this one not; and where that test said
        nothing, there was nothing to match, or some of a list matched that glob.
        """
        told_ = [one.pattern for one in self._silent if one[:2] == ("argument_matches", key)]
        told_ += [glob for name, of, glob in self.facts if (name, of) == ("argument_matches", key)]
        return any(
            pattern_problem("argument_matches", other) is None and are_apart(other, pattern)
            for other in told_
            if other is not None
        )


def _matching(resource: Entity, grounds: Grounds) -> Iterator[Fact]:
    """Yield what the registry would state of the id of *resource*, and did not."""
    stated = grounds.facts.get("id_matches/2", EMPTY).rows
    for fact in matches(resource, grounds.globs):
        if fact.args not in stated:
            yield fact


def _is_listed(resource: Entity, server: Entity, grounds: Grounds) -> bool:
    return (resource, "server", server) in grounds.facts.get("has_relation/3", EMPTY).rows


def _holding(key: str, value: Value) -> Mapping[str, object]:
    """Return arguments that have *value* at *key*, a name or a JSON Pointer."""
    if not key.startswith("/"):
        return {key: value}
    found: object = value
    for part in reversed(key[1:].split("/")):
        found = {part.replace("~1", "/").replace("~0", "~"): found}
    return found if isinstance(found, dict) else {}


def _wanted(program: Program, predicate: str) -> dict[str, _Wanted]:
    """Return by name, or key, which values the rules of *program* want."""
    found: dict[str, _Wanted] = {}
    for name, value in _compared(program, predicate):
        wanted = found.setdefault(name, _Wanted())
        if value is None:
            wanted.is_any = True
        else:
            wanted.values[type(value), value] = None
    return found


def _compared(program: Program, predicate: str) -> Iterator[tuple[str, Value | None]]:
    for _, atom in supplied_atoms(program.clauses):
        if atom.predicate != predicate:
            continue
        name, value = atom.args[1:]
        if isinstance(name, Const) and isinstance(name.value, str):
            yield name.value, told(value.value) if isinstance(value, Const) else None  # type: ignore[misc]
