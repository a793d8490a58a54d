"""Servers on which the policy is observed: what it denies there is recorded, and done all the same.

Which servers are is stated as facts, so that a call is enforced or observed on the grounds that it
is judged on, everywhere and at any later time alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from policies.facts import FactSet
from policies.grounds import Grounds
from policies.model import Entity, Fact
from policies.polar.runtime import UndecidedError
from policies.polar.tables import EMPTY, Table
from policies.polar.values import Row, fact, key_of

OBSERVED: Final = "is_observed"
"""Stated of a server, with the Unix second that ends it if anything does."""

ENFORCEMENT: Final = "enforcement"
"""The origin of those facts. From any other they say nothing: they would be nobody's right."""

_LASTING: Final = key_of(OBSERVED, 1)
_ENDING: Final = key_of(OBSERVED, 2)
_STATE: Final = key_of("definition_state", 2)


def observing(server: Entity, until: int | None = None) -> Fact:
    """Return what states that *server* is observed, up to the Unix second *until*."""
    return Fact(OBSERVED, (server,) if until is None else (server, until))


def stated(facts: FactSet, server: Entity) -> list[Fact]:
    """Return what is stated of *server*, also what is over."""
    rows = [row for table in _tables(facts) for row in table.find((0,), (server,))]
    return [one for one in (fact(OBSERVED, row) for row in rows) if _is_ours(facts, one)]


def observed(facts: FactSet, now: float) -> dict[str, int | None]:
    """Return the names of the servers observed at the second *now*, and when that ends."""
    found: dict[str, int | None] = {}
    for table in _tables(facts):
        for row, origins in table.rows.items():
            server, until = row[0], _end(row)
            is_over = until is not None and until <= now
            if ENFORCEMENT in origins and isinstance(server, Entity) and not is_over:
                found[server.id] = until
    return found


def is_observed(facts: FactSet, server: Entity, now: float) -> bool:
    """Tell whether *server* is observed at the second *now*."""
    if _LASTING not in facts and _ENDING not in facts:
        return False
    ends = (_end(held.args) for held in stated(facts, server))
    return any(until is None or now < until for until in ends)


def is_stopped(
    grounds: Grounds, actors: Iterable[Entity], resources: Collection[Entity], now: int
) -> bool:
    """Tell whether any of *actors* is suspended, or of *resources* switched off or unapproved.

    That is about just these, and no want of a grant, so it is enforced everywhere; so is what
    cannot be told.
    """
    if any(_is_unapproved(grounds.facts, one) for one in resources):
        return True
    asked = [("is_suspended", one) for one in actors] + [("is_disabled", one) for one in resources]
    try:
        return any(grounds.engine.holds(name, (one,), None, now) for name, one in asked)
    except UndecidedError:
        return True


def _is_unapproved(facts: FactSet, resource: Entity) -> bool:
    states = facts.get(_STATE, EMPTY).find((0,), (resource,))
    return any(state != "approved" for _, state in states)


def _tables(facts: FactSet) -> Iterator[Table]:
    yield facts.get(_LASTING, EMPTY)
    yield facts.get(_ENDING, EMPTY)


def _is_ours(facts: FactSet, one: Fact) -> bool:
    return ENFORCEMENT in facts.origins(one)


def _end(row: Row | tuple[object, ...]) -> int | None:
    until = row[1] if len(row) > 1 else None
    return until if isinstance(until, int) else None
