"""What docker/ asks of an engine, read without one."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

ROOT: Final = Path(__file__).parents[2]
DOCKER: Final = ROOT / "docker"

_GIVEN: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")


@cache
def compose() -> Any:  # noqa: ANN401  whatever the YAML holds
    """Return compose.yaml as an engine takes it that is given no variable."""
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(_GIVEN.sub(r"\2", text))


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, each in one line."""
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest) for line in whole.splitlines() for name, _, rest in [line.partition(" ")]]


def image_environment() -> dict[str, str]:
    """Return the variables of the image that runs, but its path."""
    last = max(n for n, (name, _) in enumerate(instructions()) if name == "FROM")
    words = [word for name, rest in instructions()[last:] if name == "ENV" for word in rest.split()]
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def variables(path: Path) -> dict[str, str]:
    """Return what a file of variables holds, as an engine reads it."""
    lines = path.read_text(encoding="ascii").splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def environment(service: str, place: Path) -> Mapping[str, str]:
    """Return the variables of *service* in its container, with the secrets of *place*."""
    terms = services()[service]
    given = image_environment()
    for file in terms["env_file"]:
        given |= variables(place / file)
    return {**given, **terms["environment"], "HOSTNAME": terms["hostname"]}


def initialised(directory: Path) -> Path:
    """Return a copy of docker/ in *directory* with secrets of its own."""
    place = directory / "docker"
    shutil.copytree(DOCKER, place, ignore=shutil.ignore_patterns("secrets"))
    done = init(place)
    assert done.returncode == 0, done.stderr
    return place


def init(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own
        ["/bin/sh", str(place / "init.sh"), *words], capture_output=True, text=True, check=False
    )


def sentences(command: str) -> list[list[str]]:
    """Return the commands of a RUN instruction, word by word."""
    return [shlex.split(one) for one in command.split(" && ")]
