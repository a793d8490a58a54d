"""How an event becomes one line: JSON, or something readable on a terminal.

Whatever is in a value, it stays inside its line and its field: capped, without control characters,
and without what looks like a credential.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, MutableMapping
from enum import Enum
from types import TracebackType
from typing import Any, Final

from structlog.typing import Processor, WrappedLogger

MOST_CHARACTERS: Final = 1024
"""Of one text."""
MOST_ITEMS: Final = 64
"""Of one list."""
_MOST_LOOKED_AT: Final = 2 * MOST_CHARACTERS
_MOST_CAUSES: Final = 8
_MOST_FRAMES: Final = 24
_EXACT_IN_JSON: Final = 2**53
_BMP: Final = 0xFFFF

_CREDENTIAL: Final = re.compile(
    r"eyJ[\w-]{4,}\.[\w-]*(?:\.[\w-]*)*|\bbearer\s+[^\s\"',;]+|(?<=://)[^\s/@]*@",
    re.IGNORECASE | re.ASCII,
)

Value = str | int | float | bool | list[str] | None


def plain(value: object) -> Value:
    """Return *value* as a line may hold it. Nothing but text, numbers and lists of text is shown.

    Of any other object only the type is told: its `repr` might tell anything.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(str(value.value) if isinstance(value, Enum) else value)
    if isinstance(value, int):
        return int(value) if abs(value) < _EXACT_IN_JSON else text(hex(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_item(item) for item in value[:MOST_ITEMS]]
    return f"<{type(value).__name__}>"


def text(value: str) -> str:
    """Return *value* capped, its control characters escaped and its credentials hidden."""
    if len(value) > _MOST_LOOKED_AT:
        # The ending makes whole, to the pattern, a credential that was cut in two.
        value = f"{value[:_MOST_LOOKED_AT]}.@"
    shown = _CREDENTIAL.sub("(hidden)", value)
    if len(shown) > MOST_CHARACTERS:
        shown = f"{shown[:MOST_CHARACTERS]}..."
    return shown if shown.isprintable() else "".join(map(_escaped, shown))


def frames(error: BaseException) -> list[str]:
    """Return where *error* was raised, innermost last, and what it was caused by. No values.

    An exception's own words are left out: they may quote what a client sent.
    """
    found: list[str] = []
    current: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if current is None:
            break
        if current is not error:
            found.append(f"because of {type(current).__qualname__}")
        found += _places(current.__traceback__)
        current = _cause(current)
    return found[:MOST_ITEMS]


def make_plain(_logger: WrappedLogger, _method: str, fields: MutableMapping[str, Any]) -> Any:  # noqa: ANN401  a processor
    """Order the fields, what every line has first, and make their values plain."""
    first = {name: fields.pop(name) for name in ("time", "level", "event")}
    return first | {name: plain(value) for name, value in fields.items()}


def as_json(_logger: WrappedLogger, _method: str, fields: Mapping[str, Any]) -> str:
    # In ASCII, because the encoding of a stream is not ours to choose.
    return json.dumps(fields, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def renderer(stream: Any) -> Processor:  # noqa: ANN401  any text stream
    """Return what suits *stream*: a terminal has a reader."""
    return as_readable if stream.isatty() else as_json


def as_readable(_logger: WrappedLogger, _method: str, fields: Mapping[str, Any]) -> str:
    rest = [
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in fields.items()
        if name not in {"time", "level", "event"}
    ]
    return " ".join([fields["time"], f"{fields['level']:<7}", fields["event"], *rest])


def _item(value: object) -> str:
    return text(value) if isinstance(value, str) else str(plain(value))


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= _BMP else f"\\U{code:08x}"


def _cause(error: BaseException) -> BaseException | None:
    if isinstance(error, BaseExceptionGroup):
        return error.exceptions[0]
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _places(traceback: TracebackType | None) -> list[str]:
    found = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        found.append(f"{_short(code.co_filename)}:{traceback.tb_lineno} {code.co_qualname}")
        traceback = traceback.tb_next
    return found[-_MOST_FRAMES:]


def _short(path: str) -> str:
    """Return the last parts of *path*: where an installation lies is nobody's business."""
    return "/".join(path.split("/")[-3:])
