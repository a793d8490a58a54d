"""The metrics of all workers, from whichever of them is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from proxy.telemetry.merging import merged
from proxy.workers.worker import Worker

Exposition = Callable[[], tuple[bytes, str]]
"""Returns a text and its content type; takes milliseconds, in any thread."""

ASK_SECONDS: Final = 1.0

_SIZE_BYTES: Final = 4


@asynccontextmanager
async def shared(
    worker: Worker, own: Exposition, left_out: Callable[[int], None]
) -> AsyncIterator[Exposition]:
    """Tell the other workers what *own* returns, and yield what returns the same of all of them.

    One that does not answer within `ASK_SECONDS` is left out; *left_out* is told how many.
    """
    if worker.is_alone:
        yield own
        return

    async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            text, _ = await asyncio.to_thread(own)
            writer.write(len(text).to_bytes(_SIZE_BYTES) + text)
            await writer.drain()
        except ConnectionError:
            pass  # who asked has given up
        finally:
            writer.close()

    def of_all() -> tuple[bytes, str]:
        texts = asyncio.run(_asked(worker))
        left_out(worker.count - 1 - len(texts))
        text, media = own()
        return merged({**texts, worker.number: text}), media

    path = worker.socket(worker.number)
    server = await asyncio.start_unix_server(tell, path)
    try:
        yield of_all
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _asked(worker: Worker) -> dict[int, bytes]:
    """Return what the others tell, by number, of those that do."""
    others = [number for number in range(worker.count) if number != worker.number]
    found = await asyncio.gather(*(_told(worker, number) for number in others))
    return {number: text for number, text in zip(others, found, strict=True) if text is not None}


async def _told(worker: Worker, number: int) -> bytes | None:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            reader, writer = await asyncio.open_unix_connection(worker.socket(number))
            try:
                size = int.from_bytes(await reader.readexactly(_SIZE_BYTES))
                return await reader.readexactly(size)
            finally:
                writer.close()
    except (OSError, EOFError, TimeoutError):
        return None
