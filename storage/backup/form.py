"""The form of a backup: what its lines say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from hmac import compare_digest
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, Protocol, cast

from sqlalchemy import Column, Table, TypeDecorator

from storage.backup.errors import BackupDamagedError, BackupNewerError

FORMAT: Final = "northgate-backup"
VERSION: Final = 1
SEALED: Final = frozenset({"secrets"})
"""The tables whose rows are of no use without the master key."""

_MARKING: Final = "backup"
_LEAST, _MOST = -(2**63), 2**63 - 1

Values = dict[str, Any]
"""The values of one row, by the names of the columns."""
Row = tuple[Table, Values]


class Key(Protocol):
    """The master key of a gateway, as far as a backup needs it."""

    @property
    def id(self) -> str: ...

    def mark(self, purpose: str, content: bytes) -> str:
        """Return a text that nobody makes of *content* who has not the key."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup was made of, and when: in seconds since the epoch.

    `schema` is the last step that its database had taken, `northgate` the release, `master_key`
    the id of the key, `database` the kind.
    """

    schema: str
    created_at: float
    northgate: str
    master_key: str
    database: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is whole: its header, and how many rows it has of each table.

    It is `proven` if the master key at hand shows that it is as the gateway wrote it; without the
    key it could be the work of anyone.
    """

    header: Header
    rows: Mapping[str, int]
    proven: bool


def header_line(header: Header) -> bytes:
    return _line({"format": FORMAT, "version": VERSION, **asdict(header)})


def row_line(table: str, values: Values) -> bytes:
    return _line({"table": table, "row": values})


def end_line(rows: Mapping[str, int], digest: str, key: Key) -> bytes:
    mark = key.mark(_MARKING, digest.encode())
    return _line({"end": {"rows": dict(rows), "sha256": digest, "mark": mark}})


def read_header(line: bytes) -> Header:
    """Raise `BackupNewerError` for a later version of the form, else `BackupDamagedError`."""
    document = parsed(line)
    if document.get("format") != FORMAT:
        raise BackupDamagedError("no backup")
    version = document.get("version")
    if version != VERSION:
        is_newer = isinstance(version, int) and version > VERSION
        raise (BackupNewerError if is_newer else BackupDamagedError)(f"version {version}")
    given = {name: document.get(name) for name in (one.name for one in fields(Header))}
    created_at = given.pop("created_at")
    if len(document) != len(given) + 3 or not all(isinstance(one, str) for one in given.values()):
        raise BackupDamagedError("its header")
    if not isinstance(created_at, float | int):
        raise BackupDamagedError("its header")
    return Header(**cast("Any", given), created_at=created_at)


def read_row(document: Mapping[str, Any], tables: Mapping[str, Table]) -> Row:
    """Return a row and the one of *tables* that it is of. Raise `BackupDamagedError`."""
    table, values = tables.get(str(document.get("table"))), document.get("row")
    if table is None or len(document) != 2:  # noqa: PLR2004  the two that are asked for
        raise BackupDamagedError("a row of no table")
    if not isinstance(values, dict) or values.keys() != set(table.columns.keys()):
        raise BackupDamagedError(f"a row of {table.name} with other columns")
    for column in table.columns:
        if not _fits(values[column.name], column):
            raise BackupDamagedError(f"a row of {table.name} with another {column.name}")
    return table, values


def check_end(
    document: Mapping[str, Any], rows: Mapping[str, int], digest: str, key: Key | None
) -> None:
    """Raise `BackupDamagedError` unless *document* ends what has *rows* and *digest*.

    What was written under *key* must have its mark.
    """
    said = document["end"]
    if not isinstance(said, dict) or said.keys() != {"rows", "sha256", "mark"}:
        raise BackupDamagedError("its end")
    if said["rows"] != rows:
        raise BackupDamagedError("other rows than its end tells")
    if said["sha256"] != digest:
        raise BackupDamagedError("another checksum than its end tells")
    mark = said["mark"]
    expected = mark if key is None else key.mark(_MARKING, digest.encode())
    if not isinstance(mark, str) or not compare_digest(mark.encode(), expected.encode()):
        raise BackupDamagedError("another mark than the master key makes")


def in_portions(rows: Iterable[Row], size: int) -> Iterator[tuple[Table, list[Values]]]:
    """Yield *rows* together: up to *size* in a row that are of one table."""
    for table, group in groupby(rows, key=itemgetter(0)):
        while portion := [values for _, values in islice(group, size)]:
            yield table, portion


def parsed(line: bytes) -> dict[str, Any]:
    """Return the document of *line*. Raise `BackupDamagedError` for what is none."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise BackupDamagedError("a line that is no JSON") from None
    if not isinstance(document, dict):
        raise BackupDamagedError("a line that is no object")
    return document


def _fits(value: object, column: Column[Any]) -> bool:
    if value is None:
        return bool(column.nullable)
    kind = column.type
    wanted = (kind.impl_instance if isinstance(kind, TypeDecorator) else kind).python_type
    if wanted is int:
        return type(value) is int and _LEAST <= value <= _MOST
    return type(value) is wanted or (wanted is float and type(value) is int)


def _line(document: Mapping[str, Any]) -> bytes:
    # In ASCII: no text in it can be what a line, or an encoding, gives a meaning.
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"
