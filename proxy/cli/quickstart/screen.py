"""The demonstration on the terminal, in eighty columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rich.text import Text

from policies.model import Failure, FailureKind, quoted
from proxy.cli.policy import console
from proxy.cli.policy.console import counted, visible
from proxy.cli.policy.trees import claim_text
from proxy.cli.quickstart.agent import Told
from proxy.cli.quickstart.evidence import Evidence, Line
from proxy.cli.quickstart.handover import (
    Access,
    client_configuration,
    curl_line,
    next_commands,
)
from proxy.cli.quickstart.place import Place
from proxy.cli.quickstart.story import Lists, Outcome, Story

_WIDTH: Final = 80
_LEFT: Final = 11
_PLACE: Final = 19

_LACKING: Final = {
    FailureKind.MISSING: "nothing says ",
    FailureKind.PRESENT: "in the way is ",
    FailureKind.COMPARISON: "it is not so that ",
}
_STYLES: Final = {"allow": "bold green", "deny": "bold red"}

Row = tuple[str, list[Text]]
"""A label, and the lines beside it."""


def show(story: Story) -> None:
    """Write what came of the steps."""
    if story.lists is not None:
        _show_lists(story.lists)
    for number, outcome in enumerate(story.outcomes, start=2):
        _show_outcome(number, outcome)


def _show_lists(lists: Lists) -> None:
    _head("1. What the server offers, and what the policy lets the agent see")
    rows: list[Row] = [
        ("server", [_names(lists.offered, set(lists.offered))]),
        ("agent", [_names(lists.offered, set(lists.seen))]),
    ]
    if lists.evidence is not None:
        rows += _decision(lists.evidence)
    _show(rows, lists.problems)


def _show_outcome(number: int, outcome: Outcome) -> None:
    _head(f"{number}. {outcome.call.title}")
    rows: list[Row] = [
        ("call", [Text(_call(outcome.call.tool, outcome.call.arguments))]),
        ("answer", [_answer(outcome.told)]),
    ]
    if outcome.evidence is not None:
        rows += _decision(outcome.evidence)
    _show(rows, outcome.problems)


def say(*lines: str) -> None:
    """Write *lines*, none of them folded: what is to be pasted has to stay whole."""
    for line in lines:
        console.out().print(Text(visible(line)))


def hand_over(access: Access, place: Place, decision_id: str) -> None:
    """Write what the reader needs to go on; *decision_id* is that of a record to look at."""
    _head("The gateway stays up until you press Ctrl-C. For another terminal:")
    say(f"  endpoint  {access.url}", f"  token     good for {_hours(access.life)}:")
    say("", access.token)
    _head("The same as the configuration of an MCP client:")
    say(*client_configuration(access).splitlines())
    _head("The tools, asked for by hand:")
    say(curl_line(access))
    _head("The policy, which takes effect at once when you edit and save it:")
    say(f"  {place.policy}")
    _head("What to try next:")
    say(*(f"  {line}" for line in next_commands(place, decision_id)))


def otherwise(story: Story, place: Place) -> None:
    """Write what may be the reason if something did not come out as it should."""
    _head("Not everything came out as it should.")
    if story.problem:
        _show([], [story.problem])
    say(
        "If you edited the policy, that may be why; a new --dir begins afresh. What the gateway",
        f"has to say is in {place.log}.",
    )


def _hours(seconds: int) -> str:
    return counted(round(seconds / 3600), "hour")


def _head(text: str) -> None:
    console.out().print()
    console.out().print(Text(text, "bold"))


def _show(rows: Iterable[Row], problems: Iterable[str]) -> None:
    for label, lines in (*rows, *(("WRONG", [Text(f"{one}.")]) for one in problems)):
        left = f"  {label}"
        for line in lines:
            for piece in _folded(line, _WIDTH - _LEFT):
                console.out().print(Text.assemble((left.ljust(_LEFT), "dim"), piece))
                left = ""


def _folded(text: Text, width: int) -> Iterator[Text]:
    for piece in text.wrap(console.out(), width, overflow="fold"):
        piece.rstrip()
        yield piece


def _names(names: Iterable[str], shown: set[str]) -> Text:
    """Return *names* side by side, with dashes for those that are not *shown*."""
    return Text("  ").join(
        Text(visible(name)) if name in shown else Text("-" * len(name), "dim") for name in names
    )


def _call(tool: str, arguments: Mapping[str, str]) -> str:
    given = ", ".join(f"{key}={quoted(value)}" for key, value in arguments.items())
    return f"{tool}({given})"


def _answer(told: Told) -> Text:
    text = visible(told.text)
    return Text(text if told.code is None else f"error {told.code}: {text}")


def _decision(evidence: Evidence) -> Iterator[Row]:
    verdict = Text(evidence.verdict, _STYLES.get(evidence.verdict, "bold"))
    yield "record", [Text.assemble(evidence.record.id, "  ", verdict, f", {evidence.reason}")]
    yield "rules", list(map(_line, evidence.rules))
    yield "facts", [piece for fact in evidence.facts for piece in _whole_line(fact)]
    yield "why not", [_failure(failure) for failure, _ in evidence.lacked]
    yield "where", [_line(asking) for _, asking in evidence.lacked if asking is not None]


def _failure(failure: Failure) -> Text:
    claim = visible(claim_text(failure.claim))
    return Text.assemble((_LACKING[failure.kind], "bold"), claim)


def _line(line: Line) -> Text:
    """Return *line* as one of the screen, cut if need be."""
    text = Text.assemble((visible(line.place).ljust(_PLACE), "cyan"), visible(line.text))
    text.truncate(_WIDTH - _LEFT, overflow="ellipsis")
    return text


def _whole_line(line: Line) -> Iterator[Text]:
    """Yield *line* uncut, in as many of the screen as it takes."""
    place = visible(line.place)
    for piece in _folded(Text(visible(line.text)), _WIDTH - _LEFT - _PLACE):
        yield Text.assemble((place.ljust(_PLACE), "cyan"), piece)
        place = ""
