"""What can go wrong with the journal.

`code` is stable, `public` may be shown to anyone and says what to do next, `detail` is for
operators only. None of them ever holds a part of a payload.
"""

from __future__ import annotations

from enum import StrEnum


class Fault(StrEnum):
    """How a journal was found broken."""

    EDITED = "edited"
    CUT = "cut"
    SWAPPED = "swapped"
    INSERTED = "inserted"
    MISSING = "missing"
    FORGED = "forged"


class JournalError(Exception):
    """A failure of the journal."""

    code = "journal-error"
    public = "The journal failed. Look at the operator's log for the cause."

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        super().__init__(f"{self.code}: {detail}" if detail else self.code)


class JournalUnavailableError(JournalError):
    """A record was not acknowledged; whether it is on the disk is unknown."""

    code = "journal-unavailable"
    public = "The call could not be recorded, so it was not made. Try again shortly."


class JournalFullError(JournalUnavailableError):
    """The journal holds as much as it may; nothing was written."""

    code = "journal-full"


class JournalBusyError(JournalUnavailableError):
    """Too much is waiting to be written; nothing was written."""

    code = "journal-busy"


class JournalLateError(JournalUnavailableError):
    """The disk did not answer within the deadline."""

    code = "journal-late"


class JournalClosedError(JournalUnavailableError):
    """The journal was closed; nothing was written."""

    code = "journal-closed"


class JournalLockedError(JournalError):
    """Another process writes this chain."""

    code = "journal-locked"
    public = "Another process writes this journal. Stop it, or give this one its own worker number."


class JournalDamagedError(JournalError):
    """The journal is broken before its end, which no crash of ours explains."""

    code = "journal-damaged"
    public = (
        "The journal is damaged. Keep a copy as evidence, move its files elsewhere and start again."
    )

    def __init__(self, file: str, line: int, fault: Fault) -> None:
        self.file = file
        self.line = line
        self.fault = fault
        super().__init__(f"{file}, line {line}: {fault}")


class JournalNewerError(JournalError):
    """A newer version wrote this journal; nothing of it was changed."""

    code = "journal-newer"
    public = (
        "A newer version of Northgate wrote this journal; use that version. Nothing was changed."
    )

    def __init__(self, file: str, line: int) -> None:
        self.file = file
        self.line = line
        super().__init__(f"{file}, line {line}")


class RecordRefusedError(JournalError, ValueError):
    """A payload that no record can hold: too large, not JSON, or with a key of the frame."""

    code = "record-refused"
    public = "This cannot be recorded, so it was not done. Send less, or plain JSON values."
