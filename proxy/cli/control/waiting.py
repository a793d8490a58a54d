"""What a person sees while a command waits for something that takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.text import Text

from proxy.cli.policy import console


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Tell *what* is waited for, on a terminal alone, until the block ends."""
    stream = console.err()
    if not stream.is_terminal:
        yield
        return
    with stream.status(Text(console.visible(what))):
        yield
