"""`northgate access who-can`: who may do something now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from policies.model import Answer, Entity, Fact, Proof, Step, StepKind
from proxy.cli.control.api import Api, given
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.rows import moment, row
from proxy.cli.policy import console
from proxy.cli.policy.trees import proof_tree

_PATH: Final = "/api/v0/access/who-can"
_MOST_NAMES: Final = 5
_DEPTH: Final = 12
_LAST_SECOND: Final = 253_402_300_799


def who_can(
    credentials: Credentials, wanted: Mapping[str, str | None], *, explain: bool, json: bool
) -> None:
    """Print who may do what is *wanted*."""
    parameters = given(wanted) | ({"explain": "true"} if explain else {})
    answer = Api.of(credentials).call("GET", _PATH, parameters=parameters, patient=True)
    if json:
        console.print_json(answer)
        return
    out, holders = console.out(), answer["principals"]
    if explain:
        for one in holders:
            _print_explained(out, one)
    elif holders:
        head = row("WHO", "ACTS FOR", "UNTIL", "RULES", "ON TERMS", style="bold")
        console.print_columns(out, [head, *(line for one in holders for line in _lines(one))])
    what = f"{answer['action']} {Entity(**answer['resource'])}"
    names = {str(one["principal"]) for one in holders}
    who = str(len(names)) if names else "Nobody"
    asked = console.counted(answer["asked"], "identity")
    console.err().print(console.visible(f"{who} of {asked} may {what}."))


def _lines(one: Mapping[str, Any]) -> Iterator[list[Text]]:
    """Yield a line for each way, the first of which says who it is."""
    first = [_name(one["principal"]), _acts_for(one), _until(one), ", ".join(one["rules"][:1])]
    for way in one["ways"] or [[]]:
        yield row(*first, " and ".join(way) or "always")
        first = ["", "", "", ""]


def _print_explained(out: Console, one: Mapping[str, Any]) -> None:
    acts_for = _acts_for(one)
    who = _name(one["principal"]) + (f", acting for {acts_for}" if acts_for else "")
    ends = f", until {_until(one)}" if one["until"] is not None else ""
    out.print(Text(console.visible(f"{who}{ends}"), "bold"))
    for way in one["ways"]:
        out.print(Text(console.visible(f"  only if {' and '.join(way)}"), "yellow"))
    for steps in one["proofs"] or ():
        out.print(proof_tree(_proof(steps), _DEPTH), soft_wrap=False)
    for fact in one["facts"] or ():
        why = f": {fact['why']}" if fact["why"] else ""
        stated = f"stated by {fact['added_by']} ({fact['origin']}) at {moment(fact['added_at'])}"
        out.print(Text(console.visible(f"  {_fact(fact)}")))
        out.print(Text(console.visible(f"    {stated}{why}"), "cyan"))
    out.print()


def _name(subject: Mapping[str, Any]) -> str:
    if subject["id"] is None:
        return f"any other {subject['type'].lower()}"
    return f"{subject['type'].lower()}:{subject['id']}"


def _acts_for(one: Mapping[str, Any]) -> str:
    names = list(map(_name, one["acts_for"] or ()))
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _until(one: Mapping[str, Any]) -> str:
    return "" if one["until"] is None else moment(min(one["until"], _LAST_SECOND))


def _proof(steps: Sequence[Mapping[str, Any]]) -> Proof:
    return Proof(
        tuple(
            Step(StepKind(one["kind"]), _fact(one), one["source"], tuple(one["premises"]))
            for one in steps
        )
    )


def _fact(one: Mapping[str, Any]) -> Fact:
    return Fact(one["predicate"], tuple(map(_value, one["args"])))


def _value(value: Any) -> Answer:  # noqa: ANN401  any JSON
    if isinstance(value, Mapping):
        return Entity(value["type"], value["id"])
    return value if isinstance(value, bool | int) else str(value)
