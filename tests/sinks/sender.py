"""Sends a journal to a web server until it is killed: `sender.py DIRECTORY PORT`."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

from proxy.sinks.posting import Poster
from proxy.sinks.sink import Share, Sink
from proxy.sinks.webhook import Webhook
from tests.sinks.sent import OWN


async def main(directory: Path, port: str) -> None:
    poster = Poster(f"http://127.0.0.1:{port}/", {}, 10, ssl.create_default_context())
    sink = Sink("siem", Webhook(poster), directory, Share(most=3))
    cursor = await sink.cursor(OWN)
    while (after := await sink.advance(OWN, cursor)) is not None:
        cursor = after
    await poster.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
