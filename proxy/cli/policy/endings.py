"""How every command ends: its exit code, and what it says when it cannot do its work."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from policies.polar.runtime import UndecidedError
from proxy.cli import streams
from proxy.cli.policy import console, problems
from proxy.cli.policy.inputs import InputError


class Code(IntEnum):
    GOOD = 0
    NO = 1
    UNUSABLE = 2


def ended(work: Callable[[], int], *, json: bool) -> int:
    """Do *work* and return the exit code; tell on stderr why it could not be done.

    With *json* the document on stdout is then `errors`, a list as `policy check` writes problems.
    """
    try:
        return work()
    except BrokenPipeError:
        streams.leave_closed_pipe()
    except UndecidedError as error:
        _tell(InputError.saying(f"the question cannot be decided: {error}."), json=json)
    except InputError as error:
        _tell(error, json=json)
    return Code.UNUSABLE


def _tell(error: InputError, *, json: bool) -> None:
    if json:
        console.print_json({"errors": [problems.as_json(one) for one in error.problems]})
    problems.print_problems(console.err(), error.problems, error.sources)
