"""Event streams: an incremental parser and a canonical writer.

The parser follows the WHATWG HTML standard, section 9.2.6, with four differences: what is held at
once is bounded, an `id` or `retry` without data is reported rather than kept, an `id` that could
not be sent back in a header is passed over, and data stays bytes, so that a broken character is
refused where the message is decoded and never replaced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_EVENT: Final = 4 * 1024 * 1024
"""Bytes of the lines of one event."""

MIN_RETRY: Final = 100
MAX_RETRY: Final = 60_000
"""Milliseconds a client may be told to wait before it connects again."""

MAX_EVENT_ID: Final = 6 * 1024

KEEP_ALIVE: Final = b":\n\n"
"""A comment: it means nothing and keeps a connection from looking idle."""

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_EVENT_ID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_EVENT_ID}}}")
# What a `Last-Event-ID` may be as it is written here (RFC 9110, section 5.5).
_RETURNABLE: Final = re.compile(rb"(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?")
_BOM: Final = b"\xef\xbb\xbf"
_DIGITS_IN_RANGE: Final = 9


class StreamError(ValueError):
    """An event stream holds more than is allowed; nothing of it can be trusted any more."""


@dataclass(frozen=True, slots=True)
class Event:
    """One block of a stream.

    `data` is `None` where the block had no `data` line, and so only an `id` or a `retry`: such a
    block is no message, yet a client must see it. `id` and `retry` are what this block said.
    """

    data: bytes | None
    type: str = "message"
    id: str | None = None
    retry: int | None = None


class Parser:
    """Bytes of one stream in, events out, in constant memory but for the event at hand."""

    def __init__(self, *, max_event: int = MAX_EVENT, max_total: int | None = None) -> None:
        """Refuse events over *max_event* bytes and streams over *max_total* (`None`: endless)."""
        self._max_event = max_event
        self._max_total = max_total
        self._total = 0
        self._line = bytearray()
        self._skip_newline = False
        self._at_start = True
        self._is_broken = False
        self._begin()

    @property
    def is_between_events(self) -> bool:
        """Say whether a stream that ends here ends cleanly, with nothing half said."""
        return not self._line and self._seen == 0

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that *chunk* completes.

        Raises `StreamError` once a limit is passed, and from then on: events that came before in
        the same chunk are lost with it.
        """
        if self._is_broken:
            raise StreamError("The stream has been refused.")
        self._total += len(chunk)
        if self._max_total is not None and self._total > self._max_total:
            self._refuse("The stream is too long.")
        if self._skip_newline and chunk:
            self._skip_newline = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        self._skip_newline = chunk.endswith(b"\r")
        *ended, rest = _LINE_END.split(chunk)
        events = []
        for line in ended:
            event = self._end_line(line)
            if event is not None:
                events.append(event)
        self._hold(rest)
        return events

    def _end_line(self, end: bytes) -> Event | None:
        self._hold(end)
        line = bytes(self._line)
        self._line.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        self._seen += len(line) + 1
        self._field(line)
        return None

    def _hold(self, part: bytes) -> None:
        self._line += part
        if len(self._line) + self._seen > self._max_event:
            self._refuse("An event is too large.")

    def _refuse(self, why: str) -> None:
        self._is_broken = True
        self._line.clear()
        self._begin()
        raise StreamError(why)

    def _begin(self) -> None:
        self._seen = 0
        self._data = bytearray()
        self._has_data = False
        self._type = ""
        self._id: str | None = None
        self._retry: int | None = None

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match name:
            case b"data":
                if self._has_data:
                    self._data += b"\n"
                self._data += value
                self._has_data = True
            case b"event":
                self._type = value.decode(errors="replace")
            case b"id" if _RETURNABLE.fullmatch(value):
                self._id = value.decode()
            case b"retry" if value.isdigit():
                digits = value.lstrip(b"0") or b"0"
                self._retry = int(digits) if len(digits) <= _DIGITS_IN_RANGE else MAX_RETRY

    def _dispatch(self) -> Event | None:
        data = bytes(self._data) if self._has_data else None
        event = Event(data, self._type or "message", self._id, self._retry)
        self._begin()
        if data is None and event.id is None and event.retry is None:
            return None
        return event


def emit(
    data: bytes | None,
    *,
    id: str | None = None,  # noqa: A002 - the field's own name
    retry: int | None = None,
) -> bytes:
    """Return one block: a message of one line, or with `None` only an *id* or a *retry*.

    *retry* is clamped to 100 ms and a minute. Raises `ValueError` if the data holds a line end or
    the id is not 1 to 6144 visible ASCII characters: either could begin an event of its own.
    """
    lines = []
    if id is not None:
        if _EVENT_ID.fullmatch(id) is None:
            raise ValueError("An event id is 1 to 6144 visible ASCII characters.")
        lines.append(b"id: %s\n" % id.encode())
    if retry is not None:
        lines.append(b"retry: %d\n" % min(max(retry, MIN_RETRY), MAX_RETRY))
    if data is not None:
        if b"\n" in data or b"\r" in data:
            raise ValueError("The data of an event is one line.")
        lines.append(b"event: message\ndata: %s\n" % data)
    return b"".join((*lines, b"\n"))
