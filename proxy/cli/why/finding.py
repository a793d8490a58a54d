"""One decision of the record, found by its id."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from policies.recorded import Recorded, UnreadableError, recorded
from policies.replay import Bench
from proxy.cli.policy.console import counted
from proxy.cli.policy.inputs import InputError
from proxy.cli.record.reading import sought
from proxy.cli.replay.past import Past
from proxy.keptpolicies import DIRECTORY
from storage.journal import Kind, Record

_ID: Final = re.compile(r"[0-9a-f-]{8,36}")


def find(data_dir: Path, text: str) -> Record | None:
    """Return the decision whose id begins with *text*, None if there is none.

    Raise `InputError` if several do, or it is the id of something else.
    """
    prefix = text.strip().lower()
    if _ID.fullmatch(prefix) is None:
        raise InputError.saying(
            f"{text}: this is no id, nor 8 or more of its first letters; "
            "`northgate record list` shows ids."
        )
    found = list(sought(data_dir, prefix))
    decisions = [record for record in found if record.kind is Kind.DECISION]
    if len(decisions) > 1:
        count = counted(len(decisions), "decision")
        raise InputError.saying(f"{count} have ids that begin with {prefix}; give more.")
    if found and not decisions:
        raise InputError.saying(
            f"{found[0].id}: this is the id of a record of kind {found[0].kind}, not of a decision."
        )
    return decisions[0] if decisions else None


def read_back(record: Record, past: Past) -> Recorded:
    """Return the decision that *record* tells. Raise `InputError` if it cannot be understood."""
    try:
        # Facts reveal the text of digests, so they are read before.
        version = record.payload.get("fact_version")
        policy = record.payload.get("policy")
        if isinstance(version, int) and isinstance(policy, str):
            past.original(policy, version)
        return recorded(record.payload, past.revealed)
    except UnreadableError as error:
        raise InputError.saying(
            f"{record.id}: this record is not as this release writes decisions ({error})."
        ) from error


def bench_of(of: Recorded, past: Past) -> Bench:
    """Return what decided *of*. Raise `InputError` if its policy was not kept."""
    bench = past.original(of.policy, of.fact_version)
    if bench is None:
        raise InputError.saying(
            f"{past.place.data_dir / DIRECTORY}: the policy {of.policy} was not kept here, so "
            "nobody can tell what it said."
        )
    return bench
