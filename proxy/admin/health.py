"""What probes and scrapers ask, without a token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from proxy.admin.errors import NothingHereError
from proxy.admin.outputs import Exposition, Healthy, Metadata, NotReady, Ready
from proxy.admin.routes import Access, Nothing, Route, Visit
from proxy.listener.answers import Answer


class Health:
    """Tells whether the gateway is alive and should get calls, its release, and its metrics."""

    def __init__(
        self,
        metrics: Callable[[], tuple[bytes, str]] | None,
        readiness: Callable[[], list[str]],
        release: str,
    ) -> None:
        self._metrics = metrics
        self._readiness = readiness
        self._release = release

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            Route(
                "GET",
                "/health",
                Access.ANYBODY,
                Nothing,
                self.health,
                summary="Tell whether the gateway is alive",
                gives=Healthy,
            ),
            Route(
                "GET",
                "/ready",
                Access.ANYBODY,
                Nothing,
                self.ready,
                summary="Tell whether the gateway should get calls",
                gives=Ready,
                also={503: NotReady},
            ),
            Route(
                "GET",
                "/metadata",
                Access.ANYBODY,
                Nothing,
                self.metadata,
                summary="Tell the release",
                gives=Metadata,
            ),
            Route(
                "GET",
                "/metrics",
                Access.ANYBODY,
                Nothing,
                self.metrics,
                summary="Give the metrics, in the text format of Prometheus",
                gives=Exposition,
                media="text/plain",
                fails=(NothingHereError,),
            ),
        )

    async def health(self, _visit: Visit, _nothing: Nothing) -> Answer:
        return Answer(200, orjson.dumps({"status": "ok"}))

    async def ready(self, _visit: Visit, _nothing: Nothing) -> Answer:
        reasons = self._readiness()
        if reasons:
            return Answer(503, orjson.dumps({"status": "not ready", "reasons": reasons}))
        return Answer(200, orjson.dumps({"status": "ready"}))

    async def metadata(self, _visit: Visit, _nothing: Nothing) -> Answer:
        return Answer(200, orjson.dumps({"version": self._release}))

    async def metrics(self, _visit: Visit, _nothing: Nothing) -> Answer:
        if self._metrics is None:
            raise NothingHereError
        text, media = await asyncio.to_thread(self._metrics)
        return Answer(200, text, media=media.encode())
