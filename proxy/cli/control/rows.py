"""The lines of tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.text import Text

from proxy.cli.policy import console

_MOST_SHOWN: Final = 60


def row(*cells: str, style: str = "") -> list[Text]:
    """Return the cells of one line, fit for a terminal."""
    return [Text(console.visible(cell), style=style) for cell in cells]


def moment(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cut(words: str) -> str:
    """Return the beginning of *words*, on one line."""
    line = " ".join(words.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 3]}..."


def print_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Write a table to stdout."""
    rows = [row(*head, style="bold"), *(row(*line) for line in lines)]
    console.print_columns(console.out(), rows)


def print_details(document: Mapping[str, Any]) -> None:
    """Write what *document* says to stdout, a line for each of its members."""
    lines = [row(name, _cell(name, value)) for name, value in _flat(document)]
    console.print_columns(console.out(), lines)


def print_text(text: str) -> None:
    """Write *text* to stdout as it has its lines and tabs, with nothing that steers a terminal."""
    for line in text.splitlines():
        console.out().print("\t".join(map(console.visible, line.split("\t"))))


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            yield from ((f"{words} {inner}", one) for inner, one in _flat(value))
        else:
            yield words, value


def _cell(name: str, value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() if name.endswith(" at"):
            return moment(value)
        case list():
            return " ".join(map(str, value)) or "none"
    return str(value)
