"""Event streams are read as the standard says, within limits, and written in one way."""

from __future__ import annotations

import time
import tracemalloc
from itertools import pairwise, repeat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.wire.sse import KEEP_ALIVE, MAX_RETRY, MIN_RETRY, Event, Parser, StreamError, emit


def feed_all(parser: Parser, piece: bytes, times: int) -> int:
    """Return how many events *piece* has in it when it comes that many times."""
    return sum(len(parser.feed(each)) for each in repeat(piece, times))


def parsed(stream: bytes) -> list[Event]:
    return Parser().feed(stream)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [Event(b"a")]),
        (b"data:a\n\n", [Event(b"a")]),
        (b"data:  a\n\n", [Event(b" a")]),
        (b"data: a: b\n\n", [Event(b"a: b")]),
        (b"data\n\n", [Event(b"")]),
        (b"data:\n\n", [Event(b"")]),
        (b"data\ndata\n\n", [Event(b"\n")]),
        (b"data: a\ndata: b\n\n", [Event(b"a\nb")]),
        (b"data: a\r\rdata: b\r\r", [Event(b"a"), Event(b"b")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [Event(b"a"), Event(b"b")]),
        (b"data: a\r\n\ndata: b\n\r", [Event(b"a"), Event(b"b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event(b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event(b"a")]),
        (b": comment\n\n", []),
        (b":\n:\ndata: a\n: in between\n\n", [Event(b"a")]),
        (b"event: ping\n\n", []),
        (b"event: ping\ndata: a\n\ndata: b\n\n", [Event(b"a", "ping"), Event(b"b")]),
        (b"event:\ndata: a\n\n", [Event(b"a")]),
        (b"Data: a\ndata : b\n data: c\n\n", []),
        (b"unknown: x\ndata: a\n\n", [Event(b"a")]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [Event(b"a", id="1"), Event(b"b")]),
        (b"id: 1\n\n", [Event(None, id="1")]),
        (b"id\n\n", [Event(None, id="")]),
        (b"id: a\0b\ndata: x\n\n", [Event(b"x")]),
        (b"retry: 500\n\n", [Event(None, retry=500)]),
        (b"retry: 5x\nretry: -5\nretry:\nretry: 1.5\n\n", []),
        (b"retry: \xd9\xa1\n\n", []),
        (b"retry: " + b"9" * 5000 + b"\n\n", [Event(None, retry=MAX_RETRY)]),
        (b"retry: 0000000000007\n\n", [Event(None, retry=7)]),
        (b"id: 1\ndata:\n\n", [Event(b"", id="1")]),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"\n\n\n", []),
        (b"data: \xff\n\n", [Event(b"\xff")]),
        (b"data: \xe2\x80\xa8\x0b\x0c\x85\x1c\n\n", [Event(b"\xe2\x80\xa8\x0b\x0c\x85\x1c")]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, events: list[Event]) -> None:
    assert parsed(stream) == events


FIELDS = st.sampled_from(
    [b"data: x", b"data", b"id: 7", b"event: e", b"retry: 9", b": c", b"", b"\xef\xbb\xbf", b"z"]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
STREAMS = st.lists(st.tuples(FIELDS, ENDS).map(b"".join)).map(b"".join) | st.binary(max_size=60)


@given(STREAMS, st.lists(st.integers(0, 200)))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", list(range(30)))
def test_it_does_not_matter_how_a_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    parser = Parser()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]

    pieces = [stream[a:b] for a, b in pairwise(edges)]
    events = [event for piece in pieces for event in parser.feed(piece)]

    assert events == parsed(stream)


@pytest.mark.parametrize("end", [b"\r", b"\n"])
def test_an_event_is_known_as_soon_as_its_blank_line_is(end: bytes) -> None:
    assert Parser().feed(b"data: a" + end + end) == [Event(b"a")]


LINES = st.binary(max_size=30).filter(lambda data: not set(data) & set(b"\r\n"))
IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


@given(
    st.lists(st.tuples(LINES | st.none(), IDS | st.none(), st.integers(100, 60_000) | st.none()))
)
def test_what_is_written_is_what_is_read(
    blocks: list[tuple[bytes | None, str | None, int | None]],
) -> None:
    stream = b"".join(emit(data, id=id_, retry=retry) for data, id_, retry in blocks)

    assert parsed(stream) == [
        Event(data, id=id_, retry=retry)
        for data, id_, retry in blocks
        if (data, id_, retry) != (None, None, None)
    ]


def test_a_message_is_written_in_one_way() -> None:
    assert emit(b"{}", id="e1", retry=1) == b"id: e1\nretry: 100\nevent: message\ndata: {}\n\n"
    assert emit(None, retry=10**9) == b"retry: %d\n\n" % MAX_RETRY
    assert emit(None, retry=-1) == b"retry: %d\n\n" % MIN_RETRY
    assert parsed(KEEP_ALIVE) == []


@pytest.mark.parametrize("data", [b"a\nb", b"a\rb", b"\n", b"{}\r\n\r\ndata: {}"])
def test_data_that_could_begin_an_event_is_not_written(data: bytes) -> None:
    with pytest.raises(ValueError, match="one line"):
        emit(data)


@pytest.mark.parametrize("id_", ["", "a b", "a\nb", "a\rb", "a\0", "\u00e9", "x" * 6145, "\x7f"])
def test_an_id_that_could_begin_an_event_is_not_written(id_: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        emit(b"{}", id=id_)


@pytest.mark.parametrize(
    "piece",
    [b"data: " + b"x" * 100 + b"\n", b"x" * 100, b": c" + b"x" * 97 + b"\n", b"data\n", b"z\r"],
)
def test_an_event_without_end_is_refused_at_its_limit(piece: bytes) -> None:
    parser = Parser(max_event=1000)

    with pytest.raises(StreamError, match="too large"):
        feed_all(parser, piece, 1001)
    with pytest.raises(StreamError):
        parser.feed(b"\n\ndata: a\n\n")


def test_an_event_may_be_as_large_as_its_limit() -> None:
    stream = b"data: abc\n\n"

    assert Parser(max_event=10).feed(stream) == [Event(b"abc")]
    with pytest.raises(StreamError):
        Parser(max_event=9).feed(stream)


def test_a_limit_is_one_for_each_event_and_another_for_the_stream() -> None:
    event = b"data: %s\n\n" % (b"x" * 90)

    endless = Parser(max_event=100)
    assert feed_all(endless, event, 1000) == 1000
    bounded = Parser(max_event=100, max_total=1000)
    with pytest.raises(StreamError, match="too long"):
        feed_all(bounded, event, 11)


@pytest.mark.parametrize(
    ("stream", "is_clean"),
    [
        (b"", True),
        (b"data: a\n\n", True),
        (b"data: a\r\r", True),
        (b"data: a\n", False),
        (b": half a comment", False),
        (b"data: a\n\nd", False),
    ],
)
def test_a_stream_that_stops_in_the_middle_is_known_to(stream: bytes, *, is_clean: bool) -> None:
    parser = Parser()

    parser.feed(stream)

    assert parser.is_between_events == is_clean


@pytest.mark.parametrize("piece", [b"d", b"data: x\n", b"data\n", b"\r", b": \n", b"id: 1\n"])
def test_hostile_streams_take_neither_memory_nor_time(piece: bytes) -> None:
    parser = Parser(max_event=200_000, max_total=200_000)
    tracemalloc.start()
    start = time.process_time()

    with pytest.raises(StreamError):
        feed_all(parser, piece, 200_001)
    taken, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert taken < 5
    assert peak < 1_500_000
