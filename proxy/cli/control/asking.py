"""Asking whoever runs a command before something is done that matters."""

from __future__ import annotations

import sys
from typing import Final

from proxy.cli.control.endings import Code, CommandError
from proxy.cli.policy import console

_LONGEST_LINE: Final = 1024
_YES: Final = frozenset({"y", "yes"})


def agreed(question: str, code: str, message: str, hint: str) -> None:
    """Raise `CommandError` with *code*, *message* and *hint* unless somebody says yes."""
    # Not typer's own question, of which a part goes to stdout.
    console.err().print(console.visible(f"{question} [y/N] "), end="")
    if sys.stdin.readline(_LONGEST_LINE).strip().lower() not in _YES:
        raise CommandError(code, message, hint, exit_code=Code.NO)
