"""The records of a data directory, each decision with what became of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.cli.policy.inputs import InputError, placeless
from proxy.cli.record.texts import is_observed
from proxy.datadir import DataDirectory
from storage.journal import JournalDamagedError, JournalNewerError, Kind, Record, read
from storage.journal.reading import Positions, id_at, read_chain, read_near
from storage.journal.segments import Segment, chains
from storage.shipping.rows import document


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and its outcome if it is a decision that has one."""

    record: Record
    outcome: Record | None = None

    @property
    def document(self) -> dict[str, object]:
        outcome = None if self.outcome is None else document(self.outcome)
        return {"record": document(self.record), "outcome": outcome}


@dataclass(frozen=True, slots=True)
class Listed:
    """The last records of those that were wanted, and how many there were."""

    entries: list[Entry]
    count: int


def records(data_dir: Path, after: Positions | None = None, *, since: str = "") -> Iterator[Record]:
    """Yield every record of the gateway at *data_dir* that follows *after*, by id, so by time.

    Segments that hold nothing of *since* or later, a time as records write it, are not read.
    Raise `InputError` if there is no journal, or it cannot be read.
    """
    directory = journal_of(data_dir)
    with told_plainly(directory):
        yield from read(directory, after, id_at(since) if since else "")


def sought(data_dir: Path, beginning: str) -> Iterator[Record]:
    """Yield the records whose ids have this *beginning*; it may be a whole id. Raises as `records`.

    Where none is found in its place, all of the journal is looked through.
    """
    directory, is_any = journal_of(data_dir), False
    with told_plainly(directory):
        for way in (read_near(directory, beginning), read(directory)):
            for record in way:
                if record.id.startswith(beginning):
                    is_any = True
                    yield record
                    if record.id == beginning:
                        return
            if is_any:
                return


def outcome_of(data_dir: Path, decision: Record) -> Record | None:
    """Return what became of *decision*, if that was recorded. Raises as `records`."""
    payload = decision.payload
    is_refusal = payload.get("verdict") == "deny" and not is_observed(payload)
    if decision.kind is not Kind.DECISION or is_refusal:
        return None
    directory = journal_of(data_dir)
    with told_plainly(directory):
        later = read_chain(directory, decision.chain, decision.position)
        return next((record for record in later if decision_of(record) == decision.id), None)


def journal_of(data_dir: Path) -> Path:
    """Return where the journal of *data_dir* is; raise `InputError` if there is none."""
    directory = DataDirectory(data_dir).journal
    with told_plainly(directory):
        if directory.is_dir() and chains(directory):
            return directory
    raise InputError.saying(
        f"{directory}: there is no journal here; "
        "name the data directory of a gateway with --data-dir."
    )


@contextmanager
def told_plainly(directory: Path) -> Iterator[None]:
    """Make `InputError` of what keeps the journal in *directory* from being read."""
    try:
        yield
    except JournalNewerError as error:
        place = f"{directory / error.file}, line {error.line}"
        raise InputError([placeless(error.code, f"{place}: {error.public}")]) from error
    except JournalDamagedError as error:
        place = f"{directory / error.file}, line {error.line}"
        problem = placeless(error.code, f"{place} is no record. {error.public}")
        raise InputError([problem]) from error
    except OSError as error:
        place = error.filename or str(directory)
        raise InputError.saying(f"{place}: this cannot be read: {error.strerror}.") from error


def latest(found: Iterable[Record], wanted: Callable[[Record], bool], most: int) -> Listed:
    """Return the last *most* of those of *found* that are *wanted*. No more than those are kept."""
    kept: deque[Record] = deque()
    outcomes: dict[str, Record | None] = {}
    count = 0
    for record in found:
        decision = decision_of(record)
        if decision in outcomes:
            outcomes[decision] = record
        if wanted(record):
            count += 1
            kept.append(record)
            outcomes[record.id] = None
            if len(kept) > most:
                del outcomes[kept.popleft().id]
    return Listed([Entry(record, outcomes[record.id]) for record in kept], count)


def decision_of(record: Record) -> str:
    """Return the id of the decision that *record* is the outcome of; empty if it is of none."""
    decision = record.payload.get("decision") if record.kind is Kind.OUTCOME else None
    return decision if isinstance(decision, str) else ""


def file_of(record: Record) -> str:
    """Return the name of the file that *record* is in."""
    return Segment(record.chain, record.position.segment).file
