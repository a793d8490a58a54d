"""What holds for every command: help, completion, hints, and an end without a traceback."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import proxy.admin
from proxy.admin.errors import ApiError
from proxy.cli.control.api import HINTS
from tests.cli.answering import answering, ran, whole
from tests.cli.running import run_process

WITHOUT_JSON = {"serve", "start", "quickstart"}
"""Commands that go on, and say what they have to say while they do."""


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, *path, name)


EVERY = {" ".join(path): one for path, one in commands(whole())}
LEAVES = {name: one for name, one in EVERY.items() if not hasattr(one, "commands")}


def errors(kind: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    for module in pkgutil.iter_modules(proxy.admin.__path__, "proxy.admin."):
        importlib.import_module(module.name)
    for one in kind.__subclasses__():
        yield one
        yield from errors(one)


@pytest.mark.parametrize("name", EVERY)
def test_help_is_there_and_names_every_option(tmp_path: Path, name: str) -> None:
    done = ran(tmp_path, [*name.split(), "--help"])
    words = set(done.out.replace(",", " ").replace("/", " ").split())

    assert (done.code, done.err) == (0, "")
    for parameter in EVERY[name].params:
        for option in parameter.opts:
            assert not option.startswith("-") or option in words


@pytest.mark.parametrize("name", LEAVES)
def test_help_tells_what_a_command_does_and_how_it_ends(name: str) -> None:
    text = LEAVES[name].help or ""
    is_alias = text.startswith("Do what `northgate ")
    options = {option for one in LEAVES[name].params for option in one.opts}

    assert text[:1].isupper()
    assert is_alias or "xit code" in text
    assert is_alias or ("JSON:" in text) is ("--json" in options)
    assert "--json" in options or name.split(maxsplit=1)[0] in {*WITHOUT_JSON, "policy", "record"}


def test_every_refusal_says_what_to_do_next() -> None:
    silent = {
        one.code
        for one in errors()
        if getattr(one, "public", "") and not (one.code in HINTS or _advises(one))
    }

    assert silent == set()


def test_every_hint_is_for_something_that_the_control_plane_answers() -> None:
    codes = {one.code for one in errors() if hasattr(one, "code")}

    assert HINTS.keys() - codes == {"unauthorized"}


def _advises(error: type[ApiError]) -> bool:
    """Tell whether *error* says more than what happened, or brings a hint of its own."""
    sentence = error.public
    is_more = ";" in sentence or ". " in sentence or sentence.startswith(("Write ", "Send "))
    return is_more or "hint" in error.members


def test_a_shell_is_told_how_to_complete_and_what() -> None:
    script = run_process(
        "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    words = run_process(
        _NORTHGATE_COMPLETE="complete_bash", COMP_WORDS="northgate reg", COMP_CWORD="1"
    )

    assert (script.code, "_NORTHGATE_COMPLETE=complete_bash" in script.out) == (0, True)
    assert words.out.split() == ["register"]


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>", b"", b"\xff", b'{"servers": [{}]}'])
def test_an_answer_of_something_else_ends_in_a_sentence(tmp_path: Path, body: bytes) -> None:
    with answering(tmp_path, {}) as desk:
        desk.raw = body
        done = desk.run("list servers")

    assert done.code == 2
    assert done.err.startswith("error[")
