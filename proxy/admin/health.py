"""What probes and scrapers ask, without a token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from proxy.admin.errors import NothingHereError
from proxy.admin.routes import Access, Nothing, Route, Visit
from proxy.listener.answers import Answer


class Health:
    """Tells whether the gateway is alive, whether it should get calls, and its metrics."""

    def __init__(
        self,
        metrics: Callable[[], tuple[bytes, str]] | None,
        readiness: Callable[[], list[str]],
    ) -> None:
        self._metrics = metrics
        self._readiness = readiness

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            Route("GET", "/health", Access.ANYBODY, Nothing, self.health),
            Route("GET", "/ready", Access.ANYBODY, Nothing, self.ready),
            Route("GET", "/metrics", Access.ANYBODY, Nothing, self.metrics),
        )

    async def health(self, _visit: Visit, _nothing: Nothing) -> Answer:
        return Answer(200, orjson.dumps({"status": "ok"}))

    async def ready(self, _visit: Visit, _nothing: Nothing) -> Answer:
        reasons = self._readiness()
        if reasons:
            return Answer(503, orjson.dumps({"status": "not ready", "reasons": reasons}))
        return Answer(200, orjson.dumps({"status": "ready"}))

    async def metrics(self, _visit: Visit, _nothing: Nothing) -> Answer:
        if self._metrics is None:
            raise NothingHereError
        text, media = await asyncio.to_thread(self._metrics)
        return Answer(200, text, media=media.encode())
