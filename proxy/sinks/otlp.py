"""The record as logs of OpenTelemetry, over OTLP/HTTP.

The exporter of the SDK takes a redirect for success, and does not look at how many records the
collector rejected; so only the encoding is its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from proxy.sinks.attention import attention
from proxy.sinks.batches import Copy
from proxy.sinks.errors import RefusedError
from proxy.sinks.posting import Poster

_SCOPE: Final = InstrumentationScope("northgate.record")
_HEADERS: Final = {"Content-Type": "application/x-protobuf"}


class OtlpLogs:
    """Posts logs of *resource*, observed at *clock*: nanoseconds since 1970, UTC."""

    def __init__(
        self, poster: Poster, resource: Resource, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._poster = poster
        self._resource = resource
        self._clock = clock

    async def take(self, copies: Sequence[Copy]) -> None:
        body = await asyncio.to_thread(self._encoded, copies)
        answer = await self._poster.post(body, _HEADERS)
        rejected = _rejected(answer)
        if rejected:
            raise RefusedError(f"it rejected {rejected} of {len(copies)} records")

    async def close(self) -> None:
        await self._poster.close()

    def _encoded(self, copies: Sequence[Copy]) -> bytes:
        now = self._clock()
        logs = [ReadableLogRecord(_log(one, now), self._resource, _SCOPE) for one in copies]
        encoded: bytes = encode_logs(logs).SerializeToString()
        return encoded


def _log(copy: Copy, now: int) -> LogRecord:
    record = copy.record
    _, severity, text = attention(record).value
    return LogRecord(
        timestamp=_nanoseconds(record.time),
        observed_timestamp=now,
        severity_number=severity,
        severity_text=text,
        body=copy.line.rstrip(b"\n").decode(),
        event_name=f"northgate.record.{record.kind}",
        attributes={
            "northgate.record.id": record.id,
            "northgate.record.kind": record.kind.value,
            "northgate.record.node": record.chain.node,
            "northgate.record.worker": record.chain.worker,
            "northgate.record.seq": record.seq,
        },
    )


def _nanoseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    # In two parts: as a float it would lose microseconds.
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000


def _rejected(answer: bytes) -> int:
    try:
        said = ExportLogsServiceResponse.FromString(answer)
    except DecodeError:
        return 0  # it took them, and says so in JSON
    return int(said.partial_success.rejected_log_records)
