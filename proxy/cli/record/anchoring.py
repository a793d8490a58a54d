"""`northgate record anchor`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from proxy.cli.policy import console
from proxy.cli.policy.endings import Code
from proxy.cli.policy.inputs import InputError
from proxy.cli.record.reading import journal_of, told_plainly
from proxy.cli.record.verifying import tell, verified
from proxy.cli.replay.place import located
from proxy.datadir import DataDirectory
from storage.journal import Anchor, Checkpoint
from storage.journal.checkpoints import read_checkpoint
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import Feed, feeds


def run(data_dir: Path, config: Path | None, *, from_database: bool) -> int:
    if from_database:
        sys.stdout.write(_copied(data_dir, config).written())
        return Code.GOOD
    if config is not None:
        raise InputError.saying("--config: only --from-database needs it; name --data-dir.")
    return _proven(journal_of(data_dir))


def _proven(directory: Path) -> int:
    found = verified(directory, None)
    if not found.is_whole:
        tell(found, anchored=False)
        console.err().print("No anchor is made of a broken record.")
        return Code.NO
    anchor = found.anchor()
    if not anchor.checkpoints:
        raise InputError.saying(
            "no checkpoint is there yet: the gateway writes one a second after the first record."
        )
    sys.stdout.write(anchor.written())
    return Code.GOOD


def _copied(data_dir: Path, config: Path | None) -> Anchor:
    """Return the anchor that the database has of the journal in *data_dir*."""
    place = located(data_dir, config, os.environ)
    directory = DataDirectory(place.data_dir).journal
    with told_plainly(directory):
        own = feeds(directory)
    found = place.read(lambda database: ShippingLedger(database, time.time).checkpoints(own))
    if not found:
        raise InputError.saying(
            f"{directory}: the database has no checkpoint of the record that was kept here; a "
            "gateway copies one a second after the first record."
        )
    return Anchor.of(_genuine(feed, line) for feed, line in found.items())


def _genuine(feed: Feed, line: bytes) -> Checkpoint:
    checkpoint = read_checkpoint(line)
    if checkpoint is None or checkpoint.chain != feed.chain:
        raise InputError.saying(
            f"the last checkpoint that the database has of {feed.chain.node}, worker "
            f"{feed.chain.worker}, is not as it was signed: somebody altered it."
        )
    return checkpoint
