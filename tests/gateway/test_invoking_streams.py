"""An answer that is an event stream, read where no connection is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.listener.answers import EventStream
from proxy.loopback import MOST_HEARD, Loopback, TooMuchError, request_on
from proxy.relay import MOST_ANSWER
from proxy.wire.jsonrpc import Message, Notification, Request, Response
from proxy.wire.sse import emit


class Blocks(AsyncIterator[bytes]):
    """Blocks of a stream, and whether it was closed."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = list(blocks)
        self.is_closed = False

    async def __anext__(self) -> bytes:
        if not self._blocks:
            raise StopAsyncIteration
        return self._blocks.pop(0)

    async def aclose(self) -> None:
        self.is_closed = True


def heard(blocks: Blocks) -> tuple[Response | None, list[Request]]:
    """Return the response in a stream of *blocks*, and what was asked on the way to it."""
    questions: list[Request] = []

    async def asked(request: Request) -> None:
        questions.append(request)

    async def story() -> Response | None:
        line = Loopback("127.0.0.1", 0, asked)
        await EventStream(blocks).send(request_on(line, "POST", "/", ()))
        return line.ear.response

    return asyncio.run(story()), questions


def test_questions_come_in_their_order_and_news_are_passed_over() -> None:
    questions = [Request(n, "ping") for n in range(3)]
    news = Notification("notifications/message", {"level": "info", "data": "x"})
    response = Response(1, result={})
    said: list[Message] = [*questions[:2], news, questions[2], response]

    found = heard(Blocks(*(emit(one.encode()) for one in said)))

    assert found == (response, questions)


def test_an_event_without_data_says_nothing() -> None:
    assert heard(Blocks(emit(b"", id="a"), emit(None, retry=1000))) == (None, [])


def test_the_longest_answer_there_can_be_is_read() -> None:
    response = Response(1, result={"text": "x" * (MOST_ANSWER - 64)})

    assert heard(Blocks(emit(response.encode())))[0] == response


def test_more_than_is_read_of_one_stream_ends_it() -> None:
    news = emit(Notification("notifications/message", {"data": "x" * 2**20}).encode())
    blocks = Blocks(*[news] * (MOST_HEARD // 2**20))

    with pytest.raises(TooMuchError):
        heard(blocks)

    assert blocks.is_closed
