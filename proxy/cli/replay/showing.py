"""What a replay comes to, for people and as JSON."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from rich.console import Console
from rich.text import Text

from policies.replay import Compared, Difference
from proxy.cli.policy.console import as_json, counted, print_columns, visible
from proxy.cli.replay.counting import SHOWN, Group, Tally

_MOST_ROWS: Final = 20
_MOST_RULES: Final = 8

_TITLES: Final = {
    Difference.NEWLY_ALLOWED: ("Newly allowed", "bold green"),
    Difference.NEWLY_DENIED: ("Newly denied", "bold red"),
    Difference.CANNOT_TELL: ("Cannot tell, since something was not recorded", "bold yellow"),
}


def print_report(out: Console, tally: Tally) -> None:
    for difference in SHOWN:
        groups = tally.groups(difference)
        if groups:
            out.print(Text(*_TITLES[difference]))
            for actor, alike in groupby(groups, key=lambda group: group.compared.actor):
                out.print(Text(f"  {visible(str(actor))}", "bold"))
                _print_rows(out, list(alike))
            out.print()
    counts = tally.counts
    parts = [f"{counts[one]:,} {one.value.replace('-', ' ')}" for one in Difference]
    out.print(f"{counted(counts.total(), 'decision')}: {', '.join(parts)}")


def _print_rows(out: Console, groups: list[Group]) -> None:
    print_columns(out, [_row(group) for group in groups[:_MOST_ROWS]])
    more = groups[_MOST_ROWS:]
    if more:
        count = sum(group.count for group in more)
        out.print(Text(f"    ... and {counted(count, 'decision')} in {len(more):,} groups", "dim"))


def _row(group: Group) -> list[Text]:
    compared = group.compared
    why = Text(visible(_because(compared)), "yellow" if compared.lacking else "cyan")
    what = f"{compared.action} {compared.resource}"
    count = Text(f"    {group.count:>7,}")
    return [count, Text(visible(what)), why, Text(f"as {group.examples[0]}", "dim")]


def _because(compared: Compared) -> str:
    rules = compared.rules[:_MOST_RULES]
    left = len(compared.rules) - len(rules)
    more = f" +{left}" if left else ""
    return compared.lacking or ", ".join(rules) + more


def document(tally: Tally, policy: str, since: str, until: str) -> dict[str, object]:
    counts = tally.counts
    return {
        "policy": policy,
        "since": since,
        "until": until,
        "decisions": counts.total(),
        **{one.value.replace("-", "_"): counts[one] for one in Difference},
        "groups": [_group(group) for one in SHOWN for group in tally.groups(one)],
    }


def _group(group: Group) -> dict[str, object]:
    compared = group.compared
    return {
        "difference": compared.difference.value,
        "principal": None if compared.actor is None else as_json(compared.actor),
        "action": compared.action,
        "resource": None if compared.resource is None else as_json(compared.resource),
        "rules": list(compared.rules),
        "lacking": compared.lacking or None,
        "count": group.count,
        "examples": group.examples,
    }
