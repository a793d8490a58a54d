"""How far each chain was sent to one sink: a small file beside the chain. Everything here blocks.

The database may be away for long, and sinks do not wait for it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import orjson

from storage.journal import Chain, Position
from storage.journal.files import LocalFiles, write_all
from storage.shipping.portions import Cursor, beginning, file_name, fitting

_FILES: Final = LocalFiles()


class Cursors:
    """The cursors of *sink* in the journal of *directory*."""

    def __init__(self, directory: Path, sink: str) -> None:
        self._directory = directory
        self._sink = sink

    def read(self, chain: Chain) -> Cursor | None:
        """Return how far *chain* was sent; None if there is no chain.

        It is from its oldest record that is kept on, where nothing is known, or what is known
        does not fit: to send a record again is allowed, to leave one out is not. Raise `OSError`
        if that cannot be read.
        """
        known = _parsed(self._content(chain))
        return fitting(self._directory, chain, known) or beginning(self._directory, chain)

    def keep(self, chain: Chain, cursor: Cursor) -> None:
        """Return once *cursor* would survive the loss of power. Raise `OSError` if it cannot."""
        path = self._path(chain)
        draft = path.with_name(f"{path.name}.{token_hex(8)}.draft")
        try:
            handle = _FILES.create(draft)
            try:
                write_all(_FILES, handle, _written(cursor), 0)
                _FILES.sync(handle)
            finally:
                _FILES.close(handle)
            _FILES.rename(draft, path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        _FILES.sync_directory(self._directory)

    def _content(self, chain: Chain) -> bytes:
        try:
            return self._path(chain).read_bytes()
        except FileNotFoundError:
            return b""

    def _path(self, chain: Chain) -> Path:
        return self._directory / f"{file_name(chain)}.{self._sink}.cursor"


def _written(cursor: Cursor) -> bytes:
    at = cursor.position
    return orjson.dumps(
        {"segment": at.segment, "offset": at.offset, "digest": at.digest, "seq": cursor.seq}
    )


def _parsed(content: bytes) -> Cursor | None:
    """Return what a file says; None if that is nothing whole."""
    try:
        found: Any = orjson.loads(content)
        numbers = [found[name] for name in ("segment", "offset", "seq")]
        digest = found["digest"]
    except (ValueError, TypeError, KeyError):
        return None
    if not isinstance(digest, str) or any(type(one) is not int or one < 0 for one in numbers):
        return None
    segment, offset, seq = numbers
    return Cursor(Position(segment, offset, digest), seq)
