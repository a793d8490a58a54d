"""Judging one question: may the caller connect, does the thing exist, is it allowed, is it seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from policies.arguments import ambiguous_keys
from policies.demands import CallTests
from policies.enforcement import is_stopped
from policies.model import Decision, Entity, Fact, Reason, Verdict
from policies.pdp import DecisionPoint, UndecidedError
from proxy.call import Call
from proxy.question import CONNECT, USES, Question
from proxy.templates import visible_templates
from proxy.upstream.server import Server
from proxy.visibility import visible
from proxy.wire.jsonrpc import Id
from proxy.wire.refusals import Fault, WireError


@dataclass(frozen=True, slots=True)
class Judgement:
    """A question with its decision, and what the record keeps of how it came about.

    `facts` are those of the resource; those of the caller stand in the call. A denial that is not
    `enforced` is recorded, and what was asked is done all the same.
    """

    question: Question
    decision: Decision
    facts: tuple[Fact, ...] = ()
    tests: CallTests | None = None
    outcomes: tuple[Fact | None, ...] = ()
    enforced: bool = True

    @property
    def allowed(self) -> bool:
        """Whether what was asked may be done."""
        return self.decision.allowed or not self.enforced


class Judge:
    """Asks the decision point. *on_unknown* is told of a server asked for what it may offer by now.

    What is hidden and what does not exist are the same decision, by the same path. Whether a denial
    is enforced is settled here and nowhere else: it is not where a server is observed, and all that
    the caller lacks is a rule.
    """

    def __init__(self, point: DecisionPoint, on_unknown: Callable[[Server], None]) -> None:
        self._point = point
        self._on_unknown = on_unknown

    async def connect(self, call: Call) -> Judgement:
        """Return whether the caller may know the server at all; no, if it is not registered."""
        question = Question(CONNECT, call.entity)
        decision = await self._point.decide(call.request(CONNECT, call.entity), call.grounds)
        is_enforced = not _is_observed(call, decision, call.entity)
        is_absent = decision.allowed and call.server is None
        if is_absent or decision.reason is Reason.NO_RULE:
            decision = _hidden(decision)
        return Judgement(question, decision, enforced=is_enforced)

    async def judge(
        self, call: Call, question: Question, connect: Judgement, id_: Id | None
    ) -> Judgement:
        """Return the judgement on *question*, given that on connecting.

        Raises `WireError` for arguments with a key that some program may take for a tested one.
        """
        if not connect.allowed or call.server is None or question.action == CONNECT:
            return connect
        if not question.nameable:
            return Judgement(question, _hidden(connect.decision))
        if call.server.catalogue is None and question.resource.type in ("Tool", "Prompt"):
            # The server never told what it offers, so nobody can say what there is.
            return Judgement(question, _undecided(connect.decision))
        judgement, is_ambiguous = await self._decide(call, question)
        own, is_there = judgement.decision, _exists(call.server, question)
        # Who may not connect sees nothing of a server, whatever the rules say of what it offers.
        is_behind = not connect.decision.allowed and question.resource.type in USES
        if own.allowed and is_there and not is_ambiguous and not is_behind:
            return judgement
        judgement = await self._unless_hidden(call, judgement, is_there=is_there and not is_behind)
        is_denied = judgement.decision.verdict is Verdict.DENY
        # What a rule grants is denied to who may not connect, or may not see it.
        if is_denied and is_there and _is_observed(call, own, question.resource, Reason.GRANTED):
            judgement = replace(judgement, enforced=False)
        elif judgement.decision.reason is Reason.NOT_VISIBLE:
            # For what is there, too: else a refresh would tell the two apart.
            self._on_unknown(call.server)
            return judgement
        if is_ambiguous and judgement.decision.verdict is not Verdict.UNDECIDED:
            raise WireError(Fault.LOOKALIKE_KEY, id=id_)
        return judgement

    async def on_server(self, call: Call, action: str, *others: str) -> Judgement:
        """Return whether *action*, or else one of *others*, is allowed on the server as a whole."""
        request = call.request(action, call.entity)
        decision = await self._point.decide(request, call.grounds)
        if others and not decision.allowed:
            return await self.on_server(call, *others)
        is_enforced = not _is_observed(call, decision, call.entity)
        return Judgement(Question(action, call.entity), decision, enforced=is_enforced)

    async def may(self, call: Call, question: Question) -> bool:
        """Tell whether what *question* asks may be done, for something that is not recorded."""
        if not question.nameable:
            return False
        judgement, _ = await self._decide(call, question)
        decision = judgement.decision
        return decision.allowed or _is_observed(call, decision, question.resource)

    async def shown(
        self,
        call: Call,
        type_: str,
        entities: Sequence[Entity],
        facts: Iterable[Fact] | None = None,
    ) -> set[Entity]:
        """Return those of *entities*, all of *type_*, that the caller is told of.

        *facts* are what holds of them, by default what their ids say. Raises `UndecidedError`.
        """
        seen = await visible(self._point, call, type_, entities, facts)
        return await self._with_observed(call, entities, seen)

    async def shown_templates(
        self, call: Call, server: Server, templates: Sequence[Entity]
    ) -> set[Entity]:
        """Return those of *templates* that the caller is told of. Raises `UndecidedError`."""
        seen = await visible_templates(self._point, call, server, templates)
        return await self._with_observed(call, templates, seen)

    async def _with_observed(
        self, call: Call, entities: Sequence[Entity], seen: set[Entity]
    ) -> set[Entity]:
        """Return *seen*, and the rest of *entities* where denials are not enforced."""
        if len(seen) == len(entities) or not call.is_observed:
            return seen
        if not (await self.connect(call)).allowed:
            return seen
        return seen | {one for one in entities if not is_stopped(call.grounds, (), [one], call.now)}

    async def _decide(self, call: Call, question: Question) -> tuple[Judgement, bool]:
        """Return the decision by the rules alone, and whether keys of the arguments are ambiguous.

        Then some program may take one for a key that was tested, so the decision holds for nothing.
        """
        resource, arguments = question.resource, question.arguments
        facts = question.facts
        if resource.type == "Document":
            facts = tuple(call.document_facts(resource, question.subject))
        if arguments is None:
            request = call.request(question.action, resource, facts)
            decision = await self._point.decide(request, call.grounds)
            return Judgement(question, decision, facts), False
        tests = call.grounds.call_tests(resource)
        outcomes = tests.outcomes(resource, arguments)
        request = call.request(question.action, resource, (*facts, *tests.wanted(outcomes)))
        decision = await self._point.decide(request, call.grounds)
        judgement = Judgement(question, decision, facts, tests, tuple(outcomes))
        return judgement, bool(tests.keys and ambiguous_keys(arguments, tests.keys))

    async def _unless_hidden(
        self, call: Call, judgement: Judgement, *, is_there: bool
    ) -> Judgement:
        resource, decision = judgement.question.resource, judgement.decision
        if resource.type not in USES or decision.verdict is Verdict.UNDECIDED:
            return judgement
        try:
            # Asked about what is not there as well, so that it takes the same way.
            is_visible = await self._is_visible(call, judgement)
        except UndecidedError:
            return replace(judgement, decision=_undecided(decision))
        if is_there and is_visible:
            return judgement
        return replace(judgement, decision=_hidden(decision))

    async def _is_visible(self, call: Call, judgement: Judgement) -> bool:
        resource = judgement.question.resource
        if _is_template(judgement.question) and call.server is not None:
            return bool(await visible_templates(self._point, call, call.server, [resource]))
        seen = await visible(self._point, call, resource.type, [resource], judgement.facts)
        return resource in seen


def _exists(server: Server, question: Question) -> bool:
    if not question.nameable:
        return False
    type_ = question.resource.type
    if type_ == "Document" and not _is_template(question):
        return True  # it is judged by its id; whether it is there, the upstream knows
    return type_ not in USES or server.offers(type_, question.subject)


def _is_observed(call: Call, ruling: Decision, resource: Entity, *others: Reason) -> bool:
    """Tell whether the denial of *resource*, on which the rules say *ruling*, is not enforced.

    All that the caller may lack is a rule; *others* are reasons for which it is denied as well.
    """
    if ruling.reason not in (Reason.NO_RULE, *others) or not call.is_observed:
        return False
    return not is_stopped(call.grounds, call.actors, [call.entity, resource], call.now)


def _is_template(question: Question) -> bool:
    return question.resource.type == "Document" and question.action == "complete"


def _undecided(decision: Decision) -> Decision:
    return replace(decision, verdict=Verdict.UNDECIDED, reason=Reason.UNDECIDED, rules=())


def _hidden(decision: Decision) -> Decision:
    """Return the denial of what the caller does not learn the existence of."""
    return replace(decision, verdict=Verdict.DENY, reason=Reason.NOT_VISIBLE, rules=())
