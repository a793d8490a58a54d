"""The journal: the one durable point of every decision.

JSON lines, one chain per worker process, each line naming the hash of the one before. An append
returns when the record would survive the loss of power; a journal that cannot be written refuses.
"""

from storage.journal.anchor import Anchor, AnchorError
from storage.journal.checkpoints import Checkpoint, Signer
from storage.journal.errors import (
    Fault,
    JournalBusyError,
    JournalClosedError,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalLateError,
    JournalLockedError,
    JournalNewerError,
    JournalUnavailableError,
    RecordRefusedError,
)
from storage.journal.frame import Chain, Kind, Link, Position, Record
from storage.journal.journal import Health, Journal
from storage.journal.limits import Limits
from storage.journal.reading import read
from storage.journal.verification import Break, ChainReport, Removed, Verification, verify

__all__ = [
    "Anchor",
    "AnchorError",
    "Break",
    "Chain",
    "ChainReport",
    "Checkpoint",
    "Fault",
    "Health",
    "Journal",
    "JournalBusyError",
    "JournalClosedError",
    "JournalDamagedError",
    "JournalError",
    "JournalFullError",
    "JournalLateError",
    "JournalLockedError",
    "JournalNewerError",
    "JournalUnavailableError",
    "Kind",
    "Limits",
    "Link",
    "Position",
    "Record",
    "RecordRefusedError",
    "Removed",
    "Signer",
    "Verification",
    "read",
    "verify",
]
