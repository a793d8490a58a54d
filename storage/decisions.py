"""Decisions as the database knows them: found by who asked, for what, when, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, not_, true, tuple_
from sqlalchemy.orm import Mapped
from sqlmodel import col, select
from sqlmodel.sql.expression import Select, SelectOfScalar

from policies.model import Entity, Reason, Verdict
from storage.engine import Database
from storage.errors import StateError
from storage.shipping.rows import indexed
from storage.tables import DecisionRow, DecisionRuleRow, OutcomeRow


class DecisionUnknownError(StateError):
    """The database has no decision with this id."""

    code = "decision-unknown"
    public = "The database has no decision with this id; one made just now follows in a second."


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions are looked for: all that everything given here is true of.

    `since` and `until` are seconds since the epoch, and a decision of `until` is none of them;
    `rule` is the file and line of one that decided.
    """

    since: float | None = None
    until: float | None = None
    principal: Entity | None = None
    acts_for: str | None = None
    server: str | None = None
    action: str | None = None
    resource: Entity | None = None
    verdict: Verdict | None = None
    reason: Reason | None = None
    enforced: bool | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The record of a decision as the journal has it, and that of its outcome if there is one."""

    id: str
    record: Mapping[str, Any]
    outcome: Mapping[str, Any] | None


class DecisionQueries:
    """The decisions in *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, decision_id: str) -> Decided:
        """Return one decision. Raise `DecisionUnknownError`, `DatabaseUnavailableError`."""
        wanted = _SELECTED.where(col(DecisionRow.id) == decision_id)
        async with self._database.reading() as session:
            row = (await session.exec(wanted)).first()
        if row is None:
            raise DecisionUnknownError
        return _decided(*row)

    async def latest(
        self, wanted: Wanted, *, limit: int, after: str | None = None
    ) -> list[Decided]:
        """Return up to *limit* decisions, the newest first.

        The next page begins *after* the id of the last of this one. Raise `DecisionUnknownError`
        if there is no such decision, `DatabaseUnavailableError`.
        """
        async with self._database.reading() as session:
            is_rare = bool(wanted.rule) and (await session.exec(_one_more(wanted))).first() is None
            when, rows = _searched(wanted, begins_at_rule=is_rare)
            if after is not None:
                place = select(*_WHEN).where(_WHEN[1] == after)
                last = (await session.exec(place)).first()
                if last is None:
                    raise DecisionUnknownError
                rows = rows.where(tuple_(*when) < tuple_(*last))
            newest = rows.order_by(*(one.desc() for one in when)).limit(limit)
            return [_decided(*row) for row in await session.exec(newest)]


_COLUMNS: Final = select(DecisionRow.id, DecisionRow.body, OutcomeRow.body)
_HAS_OUTCOME: Final = col(OutcomeRow.decision) == col(DecisionRow.id)
_SELECTED: Final = _COLUMNS.join(OutcomeRow, _HAS_OUTCOME, isouter=True)
_WHEN: Final = (col(DecisionRow.recorded_at), col(DecisionRow.id))

_RULED: Final = (col(DecisionRuleRow.recorded_at), col(DecisionRuleRow.decision))
_FEW: Final = 2_000
"""So many decisions are looked at one by one in a few milliseconds."""

_When = tuple[Mapped[float], Mapped[str]]


def _one_more(wanted: Wanted) -> SelectOfScalar[str]:
    """Select a decision of the rule that is *wanted* if there are more than a few of them."""
    bounds = Wanted(since=wanted.since, until=wanted.until)
    some = select(DecisionRuleRow.decision).where(_of_rule(wanted), *_conditions(bounds, _RULED))
    return some.order_by(*(one.desc() for one in _RULED)).offset(_FEW).limit(1)


def _searched(wanted: Wanted, *, begins_at_rule: bool) -> tuple[_When, Select[str, str, str]]:
    """Return when each of the *wanted* was recorded, with its id, and their rows.

    Those of a rule that decided few begin at the table of rules, whose key has both: none else is
    looked at. Of a rule that decided many, those of one principal, or on one resource, are fewer.
    """
    found = _SELECTED.where(*_conditions(wanted, _WHEN))
    if wanted.rule is None:
        return _WHEN, found
    if not begins_at_rule and (wanted.principal or wanted.resource):
        # A comparison, as a planner may turn EXISTS into a join that begins at the rule.
        own = select(DecisionRuleRow.decision).where(_of_rule(wanted), _RULED[0] == _WHEN[0])
        return _WHEN, found.where(own.where(_RULED[1] == _WHEN[1]).scalar_subquery() == _WHEN[1])
    rows = _COLUMNS.select_from(DecisionRuleRow).join(DecisionRow, _RULED[1] == _WHEN[1])
    joined = rows.join(OutcomeRow, _HAS_OUTCOME, isouter=True).where(_of_rule(wanted))
    return _RULED, joined.where(*_conditions(wanted, _RULED))


def _of_rule(wanted: Wanted) -> ColumnElement[bool]:
    return col(DecisionRuleRow.rule) == indexed(wanted.rule or "")


def _conditions(wanted: Wanted, when: _When) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield when[0] >= wanted.since
    if wanted.until is not None:
        yield when[0] < wanted.until
    if wanted.principal is not None:
        yield col(DecisionRow.principal_type) == wanted.principal.type
        yield col(DecisionRow.principal_id) == indexed(wanted.principal.id)
    if wanted.resource is not None:
        yield col(DecisionRow.resource_type) == wanted.resource.type
        yield col(DecisionRow.resource_id) == indexed(wanted.resource.id)
    for column, value in (
        (DecisionRow.acts_for, wanted.acts_for),
        (DecisionRow.server, wanted.server),
        (DecisionRow.action, wanted.action),
        (DecisionRow.verdict, wanted.verdict),
        (DecisionRow.reason, wanted.reason),
    ):
        if value is not None:
            yield col(column) == indexed(str(value))
    if wanted.enforced is not None:
        enforced = col(DecisionRow.enforced)
        yield enforced == true() if wanted.enforced else not_(enforced)


def _decided(decision_id: str, body: str, outcome: str | None) -> Decided:
    return Decided(
        decision_id, orjson.loads(body), None if outcome is None else orjson.loads(outcome)
    )
