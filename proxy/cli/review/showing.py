"""What a review comes to, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

from rich.console import Console
from rich.text import Text

from policies.idle import RuleUse
from policies.model import Fact
from policies.polar.source import Span
from proxy.cli.policy.console import as_json, counted, print_columns, visible
from proxy.cli.review.found import GrantUse, ItemUse, Review

_MOST_ROWS: Final = 50
_Use = TypeVar("_Use", GrantUse, ItemUse)


def print_review(out: Console, review: Review) -> None:
    grants, items = review.grants, review.items
    _table(out, "Grants on which nothing rested", "red", map(_grant, _in(grants, "unused")))
    title = "Grants in whose place another would have done"
    _table(out, title, "yellow", map(_grant, _in(grants, "replaceable")))
    _table(out, "Grants too new to tell", "dim", map(_grant, _in(grants, "too_new")))
    _table(out, "Offered, and used by nobody", "red", map(_item, _in(items, "unused")))
    _table(out, "Rules that decided nothing", "red", map(_rule, _unused(review.rules)))
    branches = [(span, rule) for rule in review.rules for span in rule.branches]
    _table(out, "Alternatives that allowed nothing", "yellow", map(_part, branches))
    conditions = [(span, rule) for rule in review.rules for span in rule.conditions]
    title = "Conditions on which no refusal rested alone"
    _table(out, title, "dim", map(_part, conditions))
    out.print(
        f"{counted(review.decisions, 'decision')} since {review.since}: "
        f"{len(_in(grants, 'unused'))} of {counted(len(grants), 'grant')}, "
        f"{len(_in(items, 'unused'))} of {counted(len(items), 'tool, prompt or document')} and "
        f"{len(_unused(review.rules))} of {counted(len(review.rules), 'rule')} unused."
    )
    if review.unclear:
        what = counted(review.unclear, "decision")
        out.print(Text(f"What {what} rested on, nobody can tell any more.", "yellow"))
    if review.unlooked:
        what = counted(review.unlooked, "kind") + " of refusal"
        out.print(Text(f"For conditions, {what} were not looked into.", "yellow"))


def _table(out: Console, title: str, style: str, rows: Iterable[Sequence[Text]]) -> None:
    found = list(rows)
    if not found:
        return
    out.print(Text(f"{title} ({len(found):,})", f"bold {style}"))
    print_columns(out, found[:_MOST_ROWS])
    if len(found) > _MOST_ROWS:
        out.print(Text(f"  ... and {len(found) - _MOST_ROWS:,} more; see --json", "dim"))
    out.print()


def _in(some: Sequence[_Use], state: str) -> list[_Use]:
    return [one for one in some if one.state == state]


def _unused(rules: Iterable[RuleUse]) -> list[RuleUse]:
    return [rule for rule in rules if not rule.is_used]


def _cells(*words: str) -> list[Text]:
    first, *rest = words
    return [Text(f"  {visible(first)}"), *(Text(visible(word)) for word in rest)]


def _grant(one: GrantUse) -> list[Text]:
    life = one.life
    since = f"since {_moment(life.added_at)}"
    return _cells(str(life.fact), since, f"by {life.added_by}", life.added_why)


def _item(one: ItemUse) -> list[Text]:
    last = f"last by {one.by} at {one.last}" if one.by is not None else "never"
    return _cells(str(one.item), last)


def _rule(rule: RuleUse) -> list[Text]:
    return _cells(str(rule.span), rule.head)


def _part(part: tuple[Span, RuleUse]) -> list[Text]:
    span, rule = part
    return _cells(f"{span}:{span.column}", f"of {rule.head}")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(" ", "seconds")


def document(review: Review) -> dict[str, object]:
    return {
        "policy": review.policy,
        "since": review.since,
        "until": review.until,
        "decisions": review.decisions,
        "unclear": review.unclear,
        "refusals_not_looked_into": review.unlooked,
        "rules": [
            {
                **_where(rule.span),
                "rule": rule.head,
                "used": rule.is_used,
                "alternatives_unused": list(map(_where, rule.branches)),
                "conditions_idle": list(map(_where, rule.conditions)),
            }
            for rule in review.rules
        ],
        "grants": list(map(_grant_document, review.grants)),
        "items": list(map(_item_document, review.items)),
    }


def fact_document(fact: Fact) -> dict[str, object]:
    return {"predicate": fact.predicate, "args": [as_json(arg) for arg in fact.args]}


def _grant_document(one: GrantUse) -> dict[str, object]:
    return {
        **fact_document(one.life.fact),
        "state": one.state.value,
        "decisions": one.decisions,
        "last": one.last or None,
        "origin": one.life.origin,
        "by": one.life.added_by,
        "at": datetime.fromtimestamp(one.life.added_at, UTC).isoformat(),
        "why": one.life.added_why,
    }


def _item_document(one: ItemUse) -> dict[str, object]:
    item = one.life.fact.args[0]
    return {
        "item": as_json(item),
        "state": one.state.value,
        "last": one.last or None,
        "by": None if one.by is None else as_json(one.by),
    }


def _where(span: Span) -> dict[str, object]:
    return {"file": span.file, "line": span.line, "column": span.column}
