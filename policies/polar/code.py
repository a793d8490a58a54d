"""Generated code in the making: its text, the objects its names stand for, its proof tags."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from policies.model import Anything, Entity, StepKind
from policies.polar.runtime import UnboundedError
from policies.polar.values import kind


class Tag(NamedTuple):
    """What a proof node states: its kind, and the public name of what holds.

    `table` is the number of a fact's table, `source` the `file:line` of a rule; `plain` says that
    no Boolean occurs in the row, which then needs no change to be shown.
    """

    kind: StepKind
    name: str
    plain: bool = False
    table: int = -1
    source: str = ""


class Code:
    """Source text in the making, and the objects its names stand for."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {
            "Anything": Anything, "Entity": Entity, "UnboundedError": UnboundedError, "kind": kind,
        }  # fmt: skip
        self.functions: list[list[str]] = []
        self._constants: dict[Any, str] = {}

    def constant(self, value: Any) -> str:  # noqa: ANN401  any object of the engine
        """Return the name that stands for *value*."""
        key = (type(value), value)
        if key not in self._constants:
            self._constants[key] = f"k{len(self._constants)}"
            self.names[self._constants[key]] = value
        return self._constants[key]

    def text(self) -> str:
        return "\n".join(line for function in self.functions for line in function)


@dataclass
class Body:
    """One function being written: its lines, how deep it is in, and the names it has bound."""

    lines: list[str]
    indent: int = 1
    loops: int = 0
    live: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        self.lines.append("    " * self.indent + text)

    def skip_if(self, condition: str) -> None:
        self.line(f"if {condition}: {self.skip}")

    @property
    def skip(self) -> str:
        """What goes on to the next candidate: each plan stands in a loop of one round."""
        return "continue" if self.loops else "break"

    def loop(self, text: str) -> None:
        self.line(text)
        self.indent += 1
        self.loops += 1

    def set(self, name: str, value: str) -> None:
        self.line(f"{name} = {value}")
        self.bind(name)

    def bind(self, name: str) -> None:
        if name not in self.live:
            self.live.append(name)

    def branch(self) -> Body:
        return Body(self.lines, self.indent + 1, self.loops, [*self.live])
