"""A canary over the whole suite: what the product writes down holds no secret (T04, T09, T34).

Every secret that a test's process makes is noted, whatever the test is about. What gateways wrote
meanwhile, records, databases, logs and backups, is searched for them, and for tokens and private
keys that other processes may have made.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxy.identity.sealing import Secret

WRITTEN: Final = re.compile(r".*\.(db|db-wal|log|jsonl|backup)|seg-.*|.*\.seg")
"""Names of what the product writes for others to read; settings and key files are no such thing."""

SHORTEST: Final = 16

_WORD: Final = re.compile(rb"[A-Za-z0-9_\-.~+/=]{16,}")
_PIECE: Final = re.compile(rb"[A-Za-z0-9_\-]{16,}")
_SIGNED: Final = re.compile(rb"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{43,}")
_PRIVATE: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY")
_GZIPPED: Final = b"\x1f\x8b"


class Canary:
    """Knows the secrets of this process, and finds them in what was written."""

    def __init__(self) -> None:
        self.secrets: set[bytes] = set()
        self._searched: set[Path] = set()

    def watch(self) -> None:
        """Note every secret from now on."""
        made = Secret.__init__
        secrets = self.secrets

        def noting(secret: Secret, content: bytes) -> None:
            made(secret, content)
            if len(content) >= SHORTEST and _PIECE.search(content):
                secrets.add(content)

        Secret.__init__ = noting  # type: ignore[assignment, method-assign]

    def found_in(self, content: bytes) -> Iterator[str]:
        """Yield what kind of secret stands in *content*, and never the secret."""
        if _SIGNED.search(content):
            yield "a signed token"
        if _PRIVATE.search(content):
            yield "a private key"
        words = set(_WORD.findall(content)) | set(_PIECE.findall(content))
        if words & self.secrets:
            yield "a secret of this process"

    def search(self, place: Path) -> Iterator[str]:
        """Yield each file below *place* that holds a secret, unless it was searched before."""
        for directory in place.iterdir():
            if directory in self._searched or not directory.is_dir() or directory.is_symlink():
                continue
            self._searched.add(directory)
            for path in directory.rglob("*"):
                if path.is_file() and _is_written(path):
                    yield from (f"{path} holds {what}" for what in self.found_in(_content(path)))


def _is_written(path: Path) -> bool:
    return path.parent.name == "journal" or WRITTEN.fullmatch(path.name) is not None


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if content.startswith(_GZIPPED) else content
    except (OSError, EOFError, zlib.error):
        return content  # a damaged one, as some tests want it
