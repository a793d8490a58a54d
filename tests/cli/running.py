"""Runs the command line: in this process for many cases, as a process of its own for the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from proxy.cli.main import app
from tests.cli.forking import Forked

_LONGEST: Final = 60.0

TYPES = """\
actor Client {}
resource Tool {
  roles = ["caller"];
  permissions = ["call", "list"];
  "call" if "caller";
  "list" if "caller";
}
"""
"""A policy of two types; what it allows is on lines 5 and 6."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def document(self) -> Any:  # noqa: ANN401  whatever the JSON holds
        return json.loads(self.out)


def run(*args: str | Path, stdin: bytes | None = None) -> Ran:
    """Run `northgate policy` with *args* in this process."""
    done = CliRunner().invoke(app, ["policy", *map(str, args)], input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ran(done.exit_code, done.stdout, done.stderr)


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "proxy.cli.main", *map(str, args)]


def run_forked(*args: str | Path, stdin: str = "", **environment: str) -> Ran:
    """Do what `run_process` does, but for what an interpreter does before it reaches our code."""
    with Forked([*map(str, args)], Path.cwd(), {**os.environ, **environment}) as process:
        out, err = process.communicate(stdin, _LONGEST)
    return Ran(process.wait(), out, err)


def run_process(*args: str | Path, **environment: str) -> Ran:
    """Run `northgate` with *args* as a process of its own."""
    done = subprocess.run(  # noqa: S603  this interpreter and arguments of ours
        command(*args),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
