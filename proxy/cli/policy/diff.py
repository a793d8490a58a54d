"""`northgate policy diff`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from policies.facts import FactSet
from policies.polar.program import Program
from policies.polar.source import Problem
from policies.review import Change, Other, Subject, review
from proxy.cli.policy import console
from proxy.cli.policy.console import as_json, counted, visible
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import (
    FactFiles,
    InputError,
    accepted,
    compiled,
    find_policy,
    read_facts,
)

_DIRECTIONS = ("gained", "lost")
_MOST_ALIKE = 10
_MOST_RULES = 3
_SECONDS_WITHOUT_A_BAR = 0.5


def run(
    old: Path,
    new: Path,
    *,
    facts: Sequence[Path],
    fail_on: str,
    now: int | None,
    portable: bool,
    json: bool,
) -> int:
    failing = _directions(fail_on)
    before, after = (compiled(find_policy([path]), portable=portable) for path in (old, new))
    sides = _with_facts(before, after, read_facts(facts))
    moment = int(time.time()) if now is None else now
    with _progress() as tick:
        changes = review(*sides, now=moment, tick=tick)
    gained = [change for change in changes if change.gained]
    lost = [change for change in changes if not change.gained]
    if json:
        console.print_json(_document(gained, lost))
    else:
        _print(console.out(), gained, lost)
    found = dict(zip(_DIRECTIONS, (gained, lost), strict=True))
    return Code.NO if any(found[direction] for direction in failing) else Code.GOOD


def _directions(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in _DIRECTIONS]
    if unknown:
        message = f"--fail-on takes gained, lost or gained,lost, not {', '.join(unknown)}."
        raise InputError.saying(message)
    return words


def _with_facts(
    old: Program, new: Program, files: FactFiles
) -> tuple[tuple[Program, FactSet], tuple[Program, FactSet]]:
    """Return each policy with the facts that it accepts.

    A policy may take up a fact that the other does not know; a fact that neither does is a mistake.
    """
    (of_old, refused_by_old), (of_new, refused_by_new) = (
        accepted(files, program) for program in (old, new)
    )
    spans = {problem.span for problem in refused_by_old}
    mistakes = [problem for problem in refused_by_new if problem.span in spans]
    if mistakes:
        raise InputError(mistakes, files.sources)
    _warn("OLD", refused_by_old)
    _warn("NEW", refused_by_new)
    return (old, of_old), (new, of_new)


def _warn(policy: str, refused: Sequence[Problem]) -> None:
    if refused:
        first = refused[0]
        console.err().print(
            Text.assemble(
                ("warning", "bold yellow"),
                f": {counted(len(refused), 'fact')} left out under {policy}, which does not "
                f"accept them; the first is at {visible(str(first.span))}.",
            )
        )


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Give a function to tell how far the work is: a bar on a terminal, once it takes long."""
    err = console.err()
    bar = Progress(
        TextColumn("Comparing"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
    )
    task = bar.add_task("")
    start = time.monotonic()
    running = False

    def tick(done: int, total: int) -> None:
        nonlocal running
        if not running and err.is_terminal and time.monotonic() - start > _SECONDS_WITHOUT_A_BAR:
            running = True
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield tick
    finally:
        # Stopped without having run, a bar writes an empty line.
        if running:
            bar.stop()


def _print(out: Console, gained: Sequence[Change], lost: Sequence[Change]) -> None:
    for title, style, changes in (("Gained", "bold green", gained), ("Lost", "bold red", lost)):
        if changes:
            out.print(Text(title, style))
            _print_changes(out, changes)
            out.print()
    out.print(f"{len(gained)} gained, {len(lost)} lost")


def _print_changes(out: Console, changes: Sequence[Change]) -> None:
    rows: dict[Subject, list[list[Text]]] = {}
    for alike in _alike(changes):
        of_actor = rows.setdefault(alike[0].actor, [])
        of_actor += map(_row, alike[:_MOST_ALIKE])
        more = len(alike) - _MOST_ALIKE
        if more > 0:
            what = Text(f"... and {more:,} more of type {alike[0].resource.type}", "dim")
            of_actor.append([Text(f"    {visible(alike[0].action)}"), what, Text(), Text()])
    for actor, of_actor in rows.items():
        out.print(Text(f"  {visible(str(actor))}", "bold"))
        console.print_columns(out, of_actor)


def _alike(changes: Iterable[Change]) -> list[list[Change]]:
    """Return *changes* in groups that differ in the resource alone."""
    found: dict[object, list[Change]] = {}
    for one in changes:
        step = (one.before, one.after, one.rules)
        found.setdefault((one.actor, one.action, one.resource.type, step), []).append(one)
    return list(found.values())


def _row(change: Change) -> list[Text]:
    left = len(change.rules) - _MOST_RULES
    more = [f"{left} more"] if left > 0 else []
    return [
        Text(f"    {visible(change.action)}"),
        Text(visible(str(change.resource))),
        Text(f"{change.before.name.lower()} -> {change.after.name.lower()}"),
        Text(", ".join([*map(visible, change.rules[:_MOST_RULES]), *more]), "cyan"),
    ]


def _document(gained: Sequence[Change], lost: Sequence[Change]) -> dict[str, object]:
    return {
        "gained": len(gained),
        "lost": len(lost),
        "changes": [_change(change) for change in (*gained, *lost)],
    }


def _change(change: Change) -> dict[str, object]:
    return {
        "direction": _DIRECTIONS[not change.gained],
        "actor": _subject(change.actor),
        "action": change.action,
        "resource": _subject(change.resource),
        "before": change.before.name.lower(),
        "after": change.after.name.lower(),
        "rules": list(change.rules),
    }


def _subject(subject: Subject) -> object:
    return {"any_other": subject.type} if isinstance(subject, Other) else as_json(subject)
