"""Asking whoever runs a command: to agree, or for a secret."""

from __future__ import annotations

import sys
from typing import Final

import typer

from proxy.cli.control.endings import Code, CommandError
from proxy.cli.policy import console

STDIN: Final = "-"

_LONGEST_LINE: Final = 8192
_YES: Final = frozenset({"y", "yes"})


def agreed(question: str, code: str, message: str, hint: str) -> None:
    """Raise `CommandError` with *code*, *message* and *hint* unless somebody says yes."""
    # Not typer's own question, of which a part goes to stdout.
    console.err().print(console.visible(f"{question} [y/N] "), end="")
    if sys.stdin.readline(_LONGEST_LINE).strip().lower() not in _YES:
        raise CommandError(code, message, hint, exit_code=Code.NO)


def secret_of(text: str | None, what: str) -> str:
    """Return *text*, or where that is `-` or None, the line that somebody types unseen or pipes in.

    Raises `CommandError` if there is none. *what* names the secret.
    """
    if text not in {None, STDIN}:
        return str(text)
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True)).strip()
    secret = sys.stdin.readline(_LONGEST_LINE).strip()
    if not secret:
        hint = "Give it on standard input."
        raise CommandError("no-secret", f"Nothing came that could be: {what}.", hint)
    return secret
