"""Blocks of an event stream, between whoever makes them and whoever sends them to a client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from proxy.relay import Reply

Blocks = AsyncGenerator[tuple[bytes, Reply | None]]


@dataclass(frozen=True, slots=True)
class Ends:
    """Who is told of how a stream went.

    `replied` is told once of the answer that came in it, and how many bytes were sent until then;
    `closed` once when nothing more comes, and of those bytes: there may have been no answer.
    """

    replied: Callable[[Reply, int], None]
    closed: Callable[[int], None]


class Events(AsyncIterator[bytes]):
    """Blocks as they are read; who stops reading ends the stream, even before it was begun."""

    def __init__(self, blocks: Blocks, ends: Ends) -> None:
        self._blocks = blocks
        self._ends = ends
        self._size = 0
        self._is_closed = False

    async def __anext__(self) -> bytes:
        try:
            block, reply = await anext(self._blocks)
        except BaseException:
            self._close()
            raise
        self._size += len(block)
        if reply is not None:
            self._ends.replied(reply, self._size)
        return block

    async def aclose(self) -> None:
        await self._blocks.aclose()
        self._close()

    def _close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._ends.closed(self._size)


class Pump(AsyncIterator[bytes]):
    """Blocks that are read to their end by a task of their own, whoever stops listening.

    So a client of a legacy version, to whom leaving is not cancelling, leaves its call at work.
    *leave* is told of that, and tells whether the rest can be had otherwise; then the stream ends
    with its reader.
    """

    def __init__(self, blocks: Blocks, ends: Ends, leave: Callable[[], bool]) -> None:
        self._blocks = blocks
        self._ends = ends
        self._leave = leave
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
        self._is_left = False
        self._failure: Exception | None = None
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def __anext__(self) -> bytes:
        block = await self._queue.get()
        if block is not None:
            return block
        raise StopAsyncIteration if self._failure is None else self._failure

    async def aclose(self) -> None:
        self._is_left = True
        if self._leave():
            self.task.cancel()
        while not self._queue.empty():
            self._queue.get_nowait()

    async def _run(self) -> None:
        try:
            await self._read()
        except Exception as failure:
            if self._is_left:
                raise
            self._failure = failure  # the reader raises it, so that nobody takes this for the end
        if not self._is_left:
            await self._queue.put(None)

    async def _read(self) -> None:
        size = 0
        try:
            async for block, reply in self._blocks:
                size += len(block)
                if not self._is_left:
                    await self._queue.put(block)
                if reply is not None:
                    self._ends.replied(reply, size)
        finally:
            await self._blocks.aclose()
            self._ends.closed(size)
