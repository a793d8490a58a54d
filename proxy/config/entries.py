"""Settings as they were given: raw, each with the place it came from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from policies.polar.suggest import did_you_mean
from proxy.config.problems import Problem, dotted
from proxy.config.shape import Leaf, Table
from proxy.wire.names import UnnameableError, check_server

KeyPath = tuple[str, ...]

SINKS: Final = ("record", "sinks")
_SINK: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST_SINK: Final = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One value that was given for *path*; `leaf` says what it has to be."""

    path: KeyPath
    leaf: Leaf
    value: Any = field(repr=False)
    where: str


@dataclass
class Given:
    """What one source gave: entries, upstreams and sinks it names, and what was wrong with it."""

    entries: list[Entry] = field(default_factory=list)
    upstreams: dict[str, str] = field(default_factory=dict)
    sinks: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    private_file: Path | None = None

    def take(
        self, value: object, node: Table | Leaf, path: KeyPath, where: Callable[[KeyPath], str]
    ) -> None:
        """Take *value*, found at *path*, with all that is below it."""
        if isinstance(node, Leaf):
            self.entries.append(Entry(path, node, value, where(path)))
        elif not isinstance(value, Mapping):
            self._refuse(path, "This is a table of settings, not a value.", where)
        else:
            for name, below in value.items():
                self._take_part(name, below, node, path, where)

    def _take_part(
        self,
        name: str,
        value: object,
        node: Table,
        around: KeyPath,
        where: Callable[[KeyPath], str],
    ) -> None:
        path = (*around, name)
        part = node.parts.get(name, node.each)
        if part is None:
            hint = did_you_mean(name, node.parts)
            self._refuse(path, f"There is no such setting. {hint}".rstrip(), where)
            return
        if around in (("upstreams",), SINKS) and not self.name(path, where(path)):
            return
        self.take(value, part, path, where)

    def name(self, path: KeyPath, where: str) -> bool:
        """Note the upstream or sink that *path* names, if any; tell whether it may be called so."""
        if path[0] == "upstreams" and len(path) > 1:
            return self._name_upstream(path[1], where)
        if path[:2] == SINKS and len(path) > len(SINKS):
            return self._name_sink(path[2], where)
        return True

    def _name_sink(self, name: str, where: str) -> bool:
        if _SINK.fullmatch(name) and len(name) <= _LONGEST_SINK:
            self.sinks.setdefault(name, where)
            return True
        message = f"A sink's name is 1 to {_LONGEST_SINK} small letters, digits, single hyphens."
        self.problems.append(Problem(dotted((*SINKS, name)), message, where))
        return False

    def _name_upstream(self, name: str, where: str) -> bool:
        try:
            self.upstreams.setdefault(check_server(name), where)
        except UnnameableError as error:
            self.problems.append(Problem(dotted(("upstreams", name)), str(error), where))
            return False
        return True

    def _refuse(self, path: KeyPath, message: str, where: Callable[[KeyPath], str]) -> None:
        self.problems.append(Problem(dotted(path), message, where(path)))
