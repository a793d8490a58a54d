"""The one directory of a gateway: what is where in it, and which mode it belongs to."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NODE: Final = re.compile(r"[^A-Za-z0-9._-]")
_LONGEST_NODE: Final = 64


class DataDirectoryError(Exception):
    """The directory cannot be used. The text says what to do."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The places below *path*."""

    path: Path

    @property
    def master_key(self) -> Path:
        return self.path / "master.key"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    def prepare(self, mode: str) -> None:
        """Make the directory, for its owner alone, and claim it for *mode*.

        Raises `DataDirectoryError` if it belongs to another mode or cannot be made.
        """
        claim = self.path / "mode"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not claim.exists():
                claim.write_text(f"{mode}\n", encoding="ascii")
            found = claim.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise DataDirectoryError(f"{self.path} cannot be used: {error}.") from error
        if found != mode:
            raise DataDirectoryError(
                f"{self.path} belongs to a gateway in mode {found!r} and cannot serve in mode "
                f"{mode!r}. Choose another data_dir."
            )


def node_name() -> str:
    """Return the name by which the record knows this machine."""
    name = os.environ.get("HOSTNAME") or socket.gethostname()
    return _NODE.sub("-", name).lstrip("._-")[:_LONGEST_NODE] or "node"
