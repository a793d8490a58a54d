"""What a candidate makes of a question that was just decided, with all that was known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from policies.bundle import load
from policies.facts import FactSet
from policies.model import Decision, Entity, Fact, Reason, Verdict
from policies.polar.runtime import Limits
from policies.replay import Difference
from policies.shadow import Asked, Candidate
from policies.supplied import Caller

CI, TOOL, SERVER = Entity("Client", "ci"), Entity("Tool", "up__echo"), Entity("Server", "up")
FACTS = FactSet().changed(
    "test",
    add=[
        Fact("has_relation", (TOOL, "server", SERVER)),
    ],
)
TYPES = "actor Client {}\nactor User {}\nresource Server {}\nresource Tool {}\n"
CONNECT = 'allow(c: Client, "connect", s: Server) if c = Client{"ci"} and s = Server{"up"};'
ALLOWED = Decision(Verdict.ALLOW, Reason.GRANTED, "v", 1, ("a.polar:1",))
DENIED = Decision(Verdict.DENY, Reason.NO_RULE, "v", 1)
HIDDEN = Decision(Verdict.DENY, Reason.NOT_VISIBLE, "v", 1)
TOO_FAST = Decision(Verdict.DENY, Reason.RATE_LIMITED, "v", 1)


@cache
def candidate(condition: str, limits: Limits | None = None) -> Candidate:
    """Return a policy by which the tool may be called on *condition*."""
    rule = f'allow(c: Client, "call", t: Tool) if {condition};'
    bundle = load({"more.polar": f"{TYPES}{CONNECT}\n{rule}\n"}, tested=False)
    return Candidate(bundle, limits or Limits())


def asked(
    decision: Decision = DENIED,
    arguments: Mapping[str, Any] | None = None,
    claims: tuple[tuple[str, str], ...] = (),
    **more: Any,  # noqa: ANN401  of any field
) -> Asked:
    caller = Caller(CI, None, claims, "10.1.2.3")
    one = Asked(caller, "up", "call", TOOL, arguments or {}, (), 1_000_000, decision, FACTS)
    return replace(one, **more)


@pytest.mark.parametrize(
    ("condition", "question", "difference"),
    [
        ('argument(t, "a", "x")', asked(arguments={"a": "x"}), Difference.NEWLY_ALLOWED),
        ('argument(t, "a", "x")', asked(arguments={"a": "y"}), Difference.UNCHANGED),
        ('argument_under(t, "a", "/s")', asked(arguments={"a": "/s/f"}), Difference.NEWLY_ALLOWED),
        ('argument_not_under(t, "a", "/s")', asked(arguments={"a": "/../s"}), Difference.UNCHANGED),
        ('argument(t, "a", "x")', asked(ALLOWED, {"a": "y"}), Difference.NEWLY_DENIED),
        ('argument(t, "a", "x")', asked(ALLOWED, {"a": "x"}), Difference.UNCHANGED),
        # Some program takes one key for the other, and such a call is refused.
        ('argument(t, "a", "x")', asked(arguments={"a": "x", "A": "y"}), Difference.UNCHANGED),
        ('argument(t, "a", "x")', asked(ALLOWED, {"a": "x", "A": "y"}), Difference.NEWLY_DENIED),
        # Of a task only the facts of the call that began it are known.
        ('argument(t, "a", "x")', asked(arguments=None, facts=()), Difference.UNCHANGED),
        ('claim(c, "dept", "x")', asked(claims=(("dept", "x"),)), Difference.NEWLY_ALLOWED),
        ('claim(c, "dept", "x")', asked(claims=(("dept", "y"),)), Difference.UNCHANGED),
        ('claim(c, "dept", "x")', asked(), Difference.UNCHANGED),
        ('source_address(c, "10.0.0.0/8")', asked(), Difference.NEWLY_ALLOWED),
        ('source_address(c, "192.0.2.0/24")', asked(), Difference.UNCHANGED),
        ('id_matches(t, "up__e*")', asked(), Difference.NEWLY_ALLOWED),
        ('id_matches(t, "up__f*")', asked(), Difference.UNCHANGED),
        ('acts_for(c, User{"ann"})', asked(), Difference.UNCHANGED),
        ("acts_alone(c)", asked(HIDDEN), Difference.NEWLY_ALLOWED),
        ("acts_alone(c)", asked(HIDDEN, is_there=False), Difference.UNCHANGED),
        ("acts_alone(c)", asked(TOO_FAST), Difference.NOT_JUDGED),
    ],
)
def test_nothing_is_lacking_that_the_call_itself_tells(
    condition: str, question: Asked, difference: Difference
) -> None:
    anyhow = condition if "t," in condition else f'{condition} and t = Tool{{"up__echo"}}'

    assert candidate(anyhow).compare(question).difference is difference


def test_of_a_task_whose_arguments_are_gone_nobody_can_tell() -> None:
    question = replace(asked(), arguments=None)
    told = candidate('argument(t, "a", "x")').compare(question)

    assert told.difference is Difference.CANNOT_TELL
    assert told.lacking == "the argument `a`"
    known = replace(question, facts=(Fact("argument", (TOOL, "a", "x")),))
    assert candidate('argument(t, "a", "x")').compare(known).difference is Difference.NEWLY_ALLOWED


def test_a_candidate_that_takes_too_long_is_one_of_which_nobody_can_tell() -> None:
    tools = [Entity("Tool", f"up__{n}") for n in range(200)]
    tags = [Fact("has_tag", (tool, "x")) for tool in tools]
    roles = [Fact("has_role", (CI, f"r{n}", tool)) for n, tool in enumerate(tools)]
    one = candidate("has_role(c, x, a) and has_tag(a, x) and t = t", Limits(steps=50))
    told = one.compare(asked(stored=FACTS.changed("test", add=[*tags, *roles])))

    assert told.difference is Difference.CANNOT_TELL
    assert told.lacking.startswith("an answer")


def test_the_facts_are_those_of_the_question_and_not_of_the_one_before() -> None:
    tagged = FACTS.changed("test", add=[Fact("has_tag", (TOOL, "x"))])
    one = candidate('has_tag(t, "x")')
    told = [one.compare(replace(asked(), stored=facts)) for facts in (FACTS, tagged, FACTS)]

    wanted = [Difference.UNCHANGED, Difference.NEWLY_ALLOWED, Difference.UNCHANGED]
    assert [each.difference for each in told] == wanted
