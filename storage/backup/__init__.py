"""The whole state in one file, and back from it into any database.

A backup is packed lines of JSON: what it is, every row of every table as they were at one moment,
and an end that proves the lines before it. What is sealed in the database is sealed in the file.
"""

from __future__ import annotations

from storage.backup.errors import (
    BackupDamagedError,
    BackupKeyError,
    BackupNewerError,
    StateInUseError,
    StateNotEmptyError,
)
from storage.backup.form import Backup, Header, Key
from storage.backup.reading import check_backup
from storage.backup.restoring import restore_backup
from storage.backup.writing import Made, write_backup

__all__ = [
    "Backup",
    "BackupDamagedError",
    "BackupKeyError",
    "BackupNewerError",
    "Header",
    "Key",
    "Made",
    "StateInUseError",
    "StateNotEmptyError",
    "check_backup",
    "restore_backup",
    "write_backup",
]
