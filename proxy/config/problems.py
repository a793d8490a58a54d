"""What is wrong with the settings, told to whoever wrote them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, or one warning.

    `key` is the dotted name of the setting (empty for a whole file); `message` says what to do and
    never quotes a value, which might be a secret; `where` is `file:line`, or a variable's name.
    """

    key: str
    message: str
    where: str

    def __str__(self) -> str:
        name = f"{self.key}: " if self.key else ""
        return f"{self.where}: {name}{self.message}"


class SettingsError(Exception):
    """The settings cannot be used; `problems` holds every reason (R08)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Iterable[str]) -> str:
    """Return *path* as TOML spells a key, on one line whatever is in it."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part) for part in path)
