"""What a review looks at: the record of an interval, the policy in force and the facts of now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from policies.bundle import BundleError, Sources, read_sources
from policies.model import Fact
from policies.polar.program import Program
from policies.recorded import UnreadableError
from policies.replay import Bench, Judge
from policies.usage import giving
from proxy.cli.policy.inputs import InputError
from proxy.cli.record.filters import moment
from proxy.cli.record.reading import records
from proxy.cli.replay.past import Past, loaded
from proxy.cli.replay.place import located
from proxy.standing import REGISTRY
from storage.engine import Database
from storage.history import FactHistory, Life, Wanted
from storage.journal import Kind, Record

_ALL: Final = 2**31


@dataclass(frozen=True, slots=True)
class Scene:
    """An interval of the past, as records write its times, with the policy and the facts of now."""

    past: Past
    judge: Judge
    since: str
    until: str
    version: int
    lives: Sequence[Life]

    @property
    def program(self) -> Program:
        return self.judge.grounds.bundle.program

    @property
    def stated(self) -> list[Life]:
        """The facts of now that somebody stated and that may give something."""
        wanted = giving(self.program)
        return [
            one for one in self.lives if one.origin != REGISTRY and one.fact.predicate in wanted
        ]

    def current(self, version: int) -> Bench:
        """Return the policy in force over the facts of *version*."""
        return self.past.bench(self.judge, version)

    @property
    def present(self) -> Bench:
        return self.current(self.version)

    def is_new(self, life: Life) -> bool:
        """Tell whether *life* began too late for the interval to say anything of it."""
        return life.added_at >= datetime.fromisoformat(self.since).timestamp()

    def decisions(self, since: str = "") -> Iterator[Record]:
        """Yield the decisions up to the end of the interval; those before *since* need not be."""
        for record in records(self.past.place.data_dir, since=since):
            if record.kind is Kind.DECISION and record.time < self.until:
                yield record

    def nothing(self) -> InputError:
        place = self.past.place.data_dir
        return InputError.saying(
            f"{place}: no decision was recorded from {self.since} to {self.until}."
        )


def scene(data_dir: Path, config: Path | None, since: str, environ: Mapping[str, str]) -> Scene:
    """Return what is there to review. Raise `InputError`."""
    now = datetime.now(UTC)
    begin, end = moment("--since", since, now), moment("--since", "0s", now)
    past = Past(located(data_dir, config, environ))
    judge = past.judging(loaded(_in_force(past.place.policies)))

    async def read(database: Database) -> list[Life]:
        return await FactHistory(database).lives(Wanted(wanted), limit=_ALL)

    wanted = giving(judge.grounds.bundle.program)
    lives = past.place.read(read)
    return Scene(past, judge, begin, end, past.newest(), lives)


def unreadable(record: Record, error: UnreadableError) -> InputError:
    return InputError.saying(
        f"{record.id}: this record is not as this release writes decisions ({error})."
    )


def facts_of(lives: Sequence[Life]) -> frozenset[Fact]:
    return frozenset(one.fact for one in lives)


def _in_force(path: Path) -> Sources:
    try:
        return read_sources([path])
    except BundleError as error:
        raise InputError.saying(*error.problems) from error
