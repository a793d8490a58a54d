"""The standard streams: made safe for any text, and quiet when the reader goes away."""

from __future__ import annotations

import os
import sys
from typing import NoReturn, TextIO

_CLOSED_PIPE = 141


def accept_any_text() -> None:
    """Let stdout and stderr spell out what their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def flush() -> None:
    """Write out what is buffered, or end the process quietly if nobody reads it any more."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        leave_closed_pipe()


def leave_closed_pipe() -> NoReturn:
    """End with the code of a process that a closed pipe has killed."""
    for stream in (sys.stdout, sys.stderr):
        _discard(stream)
    raise SystemExit(_CLOSED_PIPE)


def _discard(stream: TextIO) -> None:
    try:
        stream.flush()
    except BrokenPipeError:
        # Else the stream complains once more when the interpreter closes it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
