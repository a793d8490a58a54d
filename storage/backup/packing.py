"""Lines in a gzip file, which has one form here, so that no change of it goes unseen."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from storage.backup.errors import BackupDamagedError

MOST_BYTES: Final = 2**26
"""Of one line, unpacked."""

_HEAD: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952, section 2.3: no name, no time, no known system."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_PIECE: Final = 2**16


class Packed:
    """Writes to *file*, which is left open. Whatever that raises comes out."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._deflating = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._checksum = 0
        self._size = 0
        file.write(_HEAD)

    def write(self, line: bytes) -> None:
        self._checksum = zlib.crc32(line, self._checksum)
        self._size += len(line)
        self._file.write(self._deflating.compress(line))

    def end(self) -> None:
        self._file.write(self._deflating.flush())
        self._file.write(struct.pack("<II", self._checksum, self._size % 2**32))
        self._file.flush()


def unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines in *file*, each with its end, holding one at a time.

    Raise `BackupDamagedError` if it is not as `Packed` wrote it, after the last line at the latest.
    """
    line = bytearray()
    for piece in _pieces(file):
        if b"\n" in piece:
            *whole, line = (line + piece).split(b"\n")
            yield from (bytes(one) + b"\n" for one in whole)
        else:
            line += piece
        if len(line) > MOST_BYTES:
            raise BackupDamagedError("a line too long")
    if line:
        raise BackupDamagedError("a line without an end")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    packed = file.read(len(_HEAD))
    if packed != _HEAD:
        raise BackupDamagedError("not packed as a backup is")
    inflating = zlib.decompressobj(_GZIP)
    while not inflating.eof:
        try:
            piece = inflating.decompress(packed, _PIECE)
        except zlib.error as error:
            raise BackupDamagedError(str(error)) from None
        packed = inflating.unconsumed_tail or file.read(_PIECE)
        if not (packed or piece or inflating.eof):
            raise BackupDamagedError("cut short")
        yield piece
    if inflating.unused_data or packed:
        raise BackupDamagedError("more after its end")
