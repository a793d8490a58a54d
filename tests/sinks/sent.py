"""A journal and the sinks that are sent it, in a test's own event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from proxy.shipping import Reports, Shipper, Source
from proxy.sinks.cursors import Cursors
from proxy.sinks.sink import Receiver, Share, Sink, Sinks, sending
from storage.journal import Chain, Journal, Kind, Limits
from storage.journal.segments import segments

OWN = Chain("here", 0)


@dataclass
class Told:
    """What was reported of each sink, as `name: code`, and all details."""

    events: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def of(self, name: str) -> list[str]:
        return [one.removeprefix(f"{name}: ") for one in self.events if one.startswith(f"{name}:")]

    def are(self, name: str, events: list[str]) -> bool:
        return self.of(name) == events

    def reports(self, name: str) -> Reports:
        def failed(code: str, detail: str) -> None:
            self.events.append(f"{name}: {code}")
            self.details.append(detail)

        return Reports(
            failed,
            lambda _: self.events.append(f"{name}: recovered"),
            lambda error: self.events.append(f"{name}: {error!r}"),
        )


@dataclass
class Sent:
    journal: Journal
    sinks: Sinks
    told: Told
    directory: Path

    def behind(self, name: str) -> int:
        return self.sinks.sinks[name][1].behind

    async def write(self, count: int, kind: Kind = Kind.DECISION) -> None:
        for number in range(count):
            await self.journal.append(kind, {"number": number, "text": "grüße"})

    async def all_sent(self, *names: str) -> None:
        """Return once the sinks called *names*, or all, have every record, and have it kept."""
        kept = [Cursors(self.directory, name) for name in names or self.sinks.sinks]

        def are() -> bool:
            known = [one.read(OWN) for one in kept]
            return all(one and one.seq == self.journal.link.seq for one in known)

        await until(are)

    def lines(self) -> list[bytes]:
        return lines(self.directory)


def lines(directory: Path, chain: Chain = OWN) -> list[bytes]:
    """Return every line of *chain*, as it is on the disk."""
    files = [directory / one.file for one in segments(directory, chain)]
    return b"".join(one.read_bytes() for one in files).splitlines(keepends=True)


async def until(wish: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not wish():  # noqa: ASYNC110  a wish has no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def sent(
    directory: Path,
    receivers: Mapping[str, Receiver],
    share: Share | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Sent]:
    """Send the chain of worker 0 of `here` to *receivers*, by the names of their sinks."""
    told = Told()
    async with await Journal.open(directory, *OWN, limits=limits) as journal:
        source = Source(directory, OWN, lambda: journal.link.seq)
        made = {}
        for name, receiver in receivers.items():
            sink = Sink(name, receiver, directory, share or Share())
            reports = told.reports(name)
            made[name] = (sink, Shipper(sink, source, reports, time.monotonic, time.time))
        async with sending(Sinks(made)) as sinks:
            yield Sent(journal, sinks, told, directory)
