"""One line of the journal: its frame, its id, its place in the chain.

A line is one JSON object. The keys of the frame come first, in one order and spelling, so that
a chain can be walked without parsing payloads; `prev` is the SHA-256 of the line before, with its
line break, in hexadecimal.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from storage.journal.errors import RecordRefusedError

VERSION = 1
FRAME_KEYS = frozenset(("v", "kind", "id", "time", "node", "worker", "seq", "prev"))

LARGEST_WORKER = 9999
_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COUNTER_BITS = 12
_DRAWN_BYTES = 512


class Kind(StrEnum):
    """What a record is about."""

    DECISION = "decision"
    OUTCOME = "outcome"
    CHANGE = "change"
    CHECKPOINT = "checkpoint"


class Chain(NamedTuple):
    """Who writes a chain: one worker process of one node."""

    node: str
    worker: int

    def checked(self) -> Chain:
        """Return this; raise `ValueError` if it cannot be part of a file's name."""
        if not _NODE.fullmatch(self.node):
            raise ValueError("a node's name is 1 to 64 letters, digits, dots, dashes, underscores")
        if not 0 <= self.worker <= LARGEST_WORKER:
            raise ValueError(f"a worker's number is between 0 and {LARGEST_WORKER}")
        return self


class Link(NamedTuple):
    """The end of a chain so far: the number of its last record and the hash of that line."""

    seq: int
    digest: str


@dataclass(slots=True, eq=False, repr=False)
class Draft:
    """A record that has no place yet: its line without number and hash.

    It has no text of its own, so that no log or traceback shows a payload.
    """

    id: str
    head: bytes
    rest: bytes

    @property
    def size(self) -> int:
        """At least the bytes that the line will have."""
        return len(self.head) + len(self.rest) + 100

    def line(self, after: Link) -> bytes:
        """Return the line of this record when it follows *after*."""
        return b'%b%d,"prev":"%b"%b' % (
            self.head,
            after.seq + 1,
            after.digest.encode(),
            self.rest,
        )


class Position(NamedTuple):
    """Where reading a chain goes on: `offset` bytes into a segment, after a line of that hash."""

    segment: int
    offset: int
    digest: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read. `time` is UTC, RFC 3339; `position` is where the next begins."""

    kind: Kind
    id: str
    time: str
    chain: Chain
    seq: int
    prev: str
    payload: Mapping[str, Any] = field(repr=False)
    position: Position


def digest(line: bytes) -> str:
    return sha256(line).hexdigest()


class Stamp:
    """Makes records: gives each its id and its time.

    Ids are UUIDs of version 7 (RFC 9562, section 5.7) and grow from one record to the next, even
    while the clock stands still or goes back, so none tells a moment before the record's time.
    *clock* returns nanoseconds since 1970, UTC; *last* is that of another stamp to go on from.
    """

    def __init__(self, chain: Chain, clock: Callable[[], int], last: int = 0) -> None:
        self._clock = clock
        self._middle = b'","node":%b,"worker":%d,"seq":' % (orjson.dumps(chain.node), chain.worker)
        self._last = last
        self._random = _random_numbers()
        self._second = -1
        self._text = ""

    @property
    def last(self) -> int:
        """The milliseconds and the counter of the last id, as one number."""
        return self._last

    def pass_by(self, name: str) -> None:
        """Let all ids from now on be greater than *name*, which another stamp made."""
        self._last = max(self._last, int(f"{name[:8]}{name[9:13]}{name[15:18]}", 16))

    def draft(self, kind: Kind, payload: Mapping[str, Any], most: int) -> Draft:
        """Return the record that *payload* makes.

        It is encoded here and now, so a later change of the mapping changes nothing. Raise
        `RecordRefusedError` if it has a key of the frame, is not JSON, or is larger than *most*
        bytes.
        """
        body = _encoded(payload, most)
        now = self._clock()
        name = self._next_id(now // 1_000_000)
        head = b'{"v":%d,"kind":"%b","id":"%b","time":"%b%b' % (
            VERSION,
            kind.value.encode(),
            name.encode(),
            self._time(now).encode(),
            self._middle,
        )
        rest = b"," + body[1:] + b"\n" if payload else b"}\n"
        return Draft(name, head, rest)

    def _next_id(self, milliseconds: int) -> str:
        # A full counter runs over into the next millisecond, as section 6.2 of the RFC allows.
        self._last = max(milliseconds << _COUNTER_BITS, self._last + 1)
        moment, counter = divmod(self._last, 1 << _COUNTER_BITS)
        random = next(self._random) >> 2
        text = f"{moment << 80 | 7 << 76 | counter << 64 | 2 << 62 | random:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _time(self, now: int) -> str:
        second, rest = divmod(now, 1_000_000_000)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{rest // 1000:06d}Z"


def _random_numbers() -> Iterator[int]:
    """Yield random numbers of 64 bits.

    They are drawn many at a time, because each draw hands the interpreter to another thread.
    """
    while True:
        yield from memoryview(os.urandom(_DRAWN_BYTES)).cast("Q")


def _encoded(payload: Mapping[str, Any], most: int) -> bytes:
    if not FRAME_KEYS.isdisjoint(payload):
        raise RecordRefusedError("a key of the payload is one of the frame")
    try:
        body = orjson.dumps(payload if type(payload) is dict else dict(payload))
    except (TypeError, ValueError, RecursionError) as error:
        # The message of the encoder may quote the payload.
        raise RecordRefusedError(f"not JSON: {type(error).__name__}") from None
    if len(body) > most:
        raise RecordRefusedError(f"{len(body)} bytes, at most {most}")
    return body


class Frame(NamedTuple):
    """What of a line is needed to follow its chain."""

    seq: int
    prev: str


class Pattern:
    """Recognises the lines of one chain."""

    def __init__(self, chain: Chain) -> None:
        self._match = re.compile(
            rb'\{"v":1,"kind":"(?:decision|outcome|change|checkpoint)","id":"[0-9a-f-]{36}",'
            rb'"time":"[0-9T:.Z-]{27}","node":"%b","worker":%d,"seq":([0-9]{1,18}),'
            rb'"prev":"([0-9a-f]{64})"[,}]' % (re.escape(chain.node.encode()), chain.worker)
        ).match

    def frame(self, line: bytes) -> Frame | None:
        """Return the frame of *line*; None if it is no whole line of this chain.

        Whether the payload is JSON is left to the hash that the next line holds of this one. JSON
        text has no NUL; a part of a file that never reached the disk reads as nothing else.
        """
        found = self._match(line)
        if found is None or not line.endswith(b"}\n") or b"\0" in line:
            return None
        return Frame(int(found[1]), found[2].decode())


def is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def is_newer(line: bytes) -> bool:
    """Tell whether *line* is a whole record in a format of a newer version."""
    try:
        version = orjson.loads(line)["v"]
    except (LookupError, TypeError, ValueError):
        return False
    return type(version) is int and version > VERSION


_KINDS: Final[Mapping[str, Kind]] = {kind.value: kind for kind in Kind}


def parsed(line: bytes, segment: int, end: int) -> Record | None:
    """Return the record that *line* is, ending at *end* bytes of *segment*; None if it is none."""
    if not line.endswith(b"\n"):
        return None
    try:
        values = orjson.loads(line)
        if values.pop("v") != VERSION:
            return None
        return Record(
            chain=Chain(values.pop("node"), values.pop("worker")),
            kind=_KINDS[values.pop("kind")],
            id=values.pop("id"),
            time=values.pop("time"),
            seq=values.pop("seq"),
            prev=values.pop("prev"),
            payload=values,
            position=Position(segment, end, digest(line)),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
