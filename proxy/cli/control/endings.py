"""How these commands end: their exit codes, and what they say when nothing came of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from proxy.cli import streams
from proxy.cli.policy import console


class Code(IntEnum):
    GOOD = 0
    NO = 1
    UNUSABLE = 2


class CommandError(Exception):
    """A command that did not do its work: what happened, and what to do next.

    `exit_code` is 1 where the gateway said no, 2 where it could not be asked.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        exit_code: Code = Code.UNUSABLE,
        **details: str,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
        self.details = details


def ended(work: Callable[[], None], *, json: bool) -> int:
    """Do *work* and return the exit code; tell on stderr why it came to nothing.

    With *json* the document on stdout is then `errors`, each with code, message and hint.
    """
    try:
        work()
    except BrokenPipeError:
        streams.leave_closed_pipe()
    except CommandError as error:
        _tell(error, json=json)
        return error.exit_code
    return Code.GOOD


def _tell(error: CommandError, *, json: bool) -> None:
    if json:
        about = {"code": error.code, "message": error.message, "hint": error.hint}
        console.print_json({"errors": [about | error.details]})
    stream = console.err()
    stream.print(console.visible(f"error[{error.code}]: {error.message}"))
    if error.hint:
        stream.print(console.visible(f"  {error.hint}"))
