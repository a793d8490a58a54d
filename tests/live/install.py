"""The Node packages that tests run, installed exactly as the lock beside this file says.

`python -m tests.live.install` does nothing if they are there already.
"""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.node import NODE

HERE: Final = Path(__file__).parent
PACKAGES: Final = HERE / "node_modules"

_LOCK: Final = HERE / "package-lock.json"
# Inside the tree it vouches for, so that they come and go together.
_STAMP: Final = PACKAGES / ".installed"
_NPM: Final = NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_CLEAN_INSTALL: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_LONGEST: Final = 600


def install() -> None:
    """Have the packages there. Many processes may ask at once: one installs, the others wait."""
    wanted = sha256(_LOCK.read_bytes()).hexdigest()
    with _alone():
        if _STAMP.is_file() and _STAMP.read_text(encoding="ascii") == wanted:
            return
        command = [str(NODE), str(_NPM), *_CLEAN_INSTALL]
        subprocess.run(command, cwd=HERE, check=True, timeout=_LONGEST)  # noqa: S603  our own paths
        _STAMP.write_text(wanted, encoding="ascii")


@contextmanager
def _alone() -> Iterator[None]:
    with (HERE / ".installing").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    install()
