"""Reading a backup, and finding whether it is whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import BinaryIO

from sqlalchemy import Table

from storage.backup.errors import BackupDamagedError
from storage.backup.form import Backup, Header, Key, Row, check_end, parsed, read_header, read_row
from storage.backup.packing import unpacked
from storage.backup.schema import tables_at


def check_backup(file: BinaryIO, key: Key | None) -> Backup:
    """Return what *file* holds, all of which was read.

    Raise `BackupDamagedError` if it is not as it was written, `BackupNewerError` for what only a
    newer release can read, and `OSError`.
    """
    header, rows = read_backup(file, key)
    counts = dict.fromkeys(tables_at(header.schema), 0)
    for table, _ in rows:
        counts[table.name] += 1
    return Backup(header, counts, proven=proves(key, header))


def read_backup(file: BinaryIO, key: Key | None) -> tuple[Header, Iterator[Row]]:
    """Return the header in *file*, and its rows, the last of which comes only if all are good.

    Raises as `check_backup` does, while the rows are taken.
    """
    file.seek(0)
    lines = unpacked(file)
    first = next(lines, b"")
    header = read_header(first)
    proving = key if proves(key, header) else None
    return header, _rows(first, lines, tables_at(header.schema), proving)


def proves(key: Key | None, header: Header) -> bool:
    return key is not None and key.id == header.master_key


def _rows(
    first: bytes, lines: Iterator[bytes], tables: Mapping[str, Table], key: Key | None
) -> Iterator[Row]:
    digest = sha256(first)
    counts = Counter(dict.fromkeys(tables, 0))
    for line in lines:
        document = parsed(line)
        if "end" in document:
            check_end(document, counts, digest.hexdigest(), key)
            if next(lines, None) is not None:
                raise BackupDamagedError("a line after its end")
            return
        digest.update(line)
        table, values = read_row(document, tables)
        counts[table.name] += 1
        yield table, values
    raise BackupDamagedError("no end")
