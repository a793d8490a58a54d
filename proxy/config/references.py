"""Secrets: written in place, or as `${VARIABLE}` or `file:PATH`."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.config.problems import Problem
from proxy.identity.sealing import Secret

MOST_SECRET_BYTES = 64 * 1024

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@|[?&]password=[^&]")
_FILE = "file:"


def resolve(text: object, environ: Mapping[str, str], watch: Callable[[Path], None]) -> Secret:
    """Return the secret that *text* is or refers to; nothing inside it is resolved again.

    *watch* is called with each file that was read. Raises `ValueError` with a sentence if *text*
    is no text, or what it refers to is not there.
    """
    if not isinstance(text, str):
        raise ValueError("Write a text, ${VARIABLE} or file:PATH.")  # noqa: TRY004  one kind of refusal
    if text.startswith(_FILE):
        path = Path(text.removeprefix(_FILE))
        content = _content(path)
        watch(path)
        return Secret(content)
    value = _VARIABLE.sub(lambda found: _variable(found[1], environ), text)
    if not value:
        raise ValueError("Write a secret that is not empty.")
    return Secret(value.encode(errors="surrogateescape"))


def is_written_in_place(text: object) -> bool:
    """Tell whether *text* holds something secret itself."""
    return (
        isinstance(text, str) and not text.startswith(_FILE) and _VARIABLE.fullmatch(text) is None
    )


def has_password(url: object) -> bool:
    """Tell whether *url* holds a password itself, not a reference to one."""
    return isinstance(url, str) and _PASSWORD.search(_VARIABLE.sub("", url)) is not None


def exposure(path: Path, key: str) -> Problem | None:
    """Return a warning if others than its owner may read the file at *path*."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    if mode & (stat.S_IRWXG | stat.S_IRWXO) == 0:
        return None
    message = "The file holds a secret and others may use it. Run chmod 600 on it."
    return Problem(key, message, str(path))


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise ValueError(f"The variable {name} is not set.")
    return environ[name]


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no path"
        raise ValueError(f"The file {path} cannot be read: {reason}.") from None
    if len(content) > MOST_SECRET_BYTES:
        raise ValueError(f"The file {path} is over 64 KiB.")
    content = content.rstrip(b"\r\n")
    if not content:
        raise ValueError(f"The file {path} is empty.")
    return content
