"""Where the commands write: people's text on the two streams, or one JSON document on stdout."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from policies.model import Answer, Anything, Entity

# Wide enough that nothing is folded or cut where another program reads the lines.
_UNFOLDED = 100_000

_PIECE = 16_384

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class _Stream(Console):
    def on_broken_pipe(self) -> None:
        # Rich would end with 1, which here means that the answer is no.
        raise BrokenPipeError


def out() -> Console:
    """Return the console of stdout as it is now."""
    return _console(sys.stdout)


def err() -> Console:
    """Return the console of stderr as it is now."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    terminal = stream.isatty()
    return _Stream(
        file=stream,
        width=None if terminal else _UNFOLDED,
        force_terminal=terminal,
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=True,
    )


def print_columns(console: Console, rows: Sequence[Sequence[Text]]) -> None:
    """Write *rows*, all equally long, with their cells one below the other.

    A table of Rich's own folds cells and takes long over many rows.
    """
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        line = Text()
        for cell, width in zip(row[:-1], widths, strict=False):
            line.append_text(cell).append(" " * (width - cell.cell_len + 2))
        line.append_text(row[-1]).rstrip()
        console.print(line)


def print_json(document: Mapping[str, object]) -> None:
    """Write *document* to stdout: ASCII only, so that no text in it can steer a terminal."""
    text = json.dumps(document, indent=2) + "\n"
    # In pieces, for an unbuffered stdout whose reader goes away takes a part and says nothing.
    for start in range(0, len(text), _PIECE):
        sys.stdout.write(text[start : start + _PIECE])


def visible(text: str) -> str:
    """Return *text* with controls, marks of direction and the like spelt out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{{{ord(one):x}}}" if unicodedata.category(one) in _UNSEEN else one for one in text
    )


def counted(number: int, what: str) -> str:
    """Return *number* with *what*, in the plural unless it is one."""
    if number == 1:
        return f"1 {what}"
    plural = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{number:,} {plural}"


def as_json(value: Answer) -> object:
    """Return *value* as JSON documents write it.

    An entity is `{"type", "id"}`, every value of a type `{"any"}`, anything else itself.
    """
    match value:
        case Entity(type_, id_):
            return {"type": type_, "id": id_}
        case Anything(type_):
            return {"any": type_}
    return value
