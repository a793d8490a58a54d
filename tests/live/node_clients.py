"""The clients of both TypeScript SDKs, each a Node process that makes one connection at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.live.agents import RefusedError
from tests.live.install import install
from tests.node import Node, running

_SCRIPTS: Final = Path(__file__).parent / "clients"


@dataclass(frozen=True)
class NodeAgent:
    version: str
    offers: dict[str, Any]
    node: Node

    async def ask(self, what: str, **question: object) -> dict[str, Any]:
        return await _asked(self.node, what, question)


@contextmanager
def typescript(sdk: str) -> Iterator[Node]:
    """Run the client of *sdk*, `v1` or `v2`."""
    install()
    with running(_SCRIPTS / f"{sdk}.mjs") as node:
        yield node


@asynccontextmanager
async def connected(
    node: Node,
    url: str,
    token: str | None = None,
    *,
    era: str = "default",
    declares: Mapping[str, Any] | None = None,
) -> AsyncIterator[NodeAgent]:
    """Connect *node* to *url*. *era* is `default`, `auto` or `pinned`; version 1 is legacy."""
    wanted = {"url": url, "token": token, "era": era, "declares": declares or {}}
    found = await _asked(node, "connect", wanted)
    try:
        yield NodeAgent(found["version"], found["offers"], node)
    finally:
        await _asked(node, "close", {})


async def _asked(node: Node, what: str, question: Mapping[str, object]) -> dict[str, Any]:
    # In a thread: what answers may be a gateway in the loop of whoever asks.
    answer: dict[str, Any] = await asyncio.to_thread(node.ask, {"ask": what, **question})
    if "failed" in answer:
        failed = answer["failed"]
        raise RefusedError(failed.get("code"), failed["message"], failed.get("data"))
    return answer
