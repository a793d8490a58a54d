"""The quickstart from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import urlsplit

from proxy.app import Gateway
from proxy.cli import streams
from proxy.cli.quickstart import demo, screen, texts
from proxy.cli.quickstart.evidence import RecordReader
from proxy.cli.quickstart.handover import Access
from proxy.cli.quickstart.place import Place, PlaceError, listening, prepared
from proxy.cli.quickstart.story import Story
from proxy.cli.quickstart.tokens import issued
from proxy.cli.serving import first_steps, serve
from proxy.cli.settling import refused
from proxy.config import Settings, SettingsError, load
from proxy.datadir import DataDirectory
from proxy.telemetry.capture import LibraryLog
from proxy.telemetry.events import Events

AS_TOLD: Final = 0
OTHERWISE: Final = 1


class Announcing(Events):
    """Events that also say on the terminal what becomes of a policy that was edited."""

    def policy_changed(self, *, before: str, after: str, by: str) -> None:
        super().policy_changed(before=before, after=after, by=by)
        _announce("", "The policy was edited, and the new one is in force.")

    def policy_refused(self, *, in_force: str, problems: Sequence[str]) -> None:
        super().policy_refused(in_force=in_force, problems=problems)
        _announce(
            "",
            "The policy was edited, and is not taken over; the one before stays:",
            *(f"  {problem}" for problem in problems),
        )


def _announce(*lines: str) -> None:
    # The gateway goes on, whether or not anybody reads this any more.
    with suppress(OSError):
        screen.say(*lines)


@dataclass(frozen=True, slots=True)
class Quickstart:
    """One run. With *leave* it ends after the demonstration."""

    place: Place
    leave: bool

    async def __call__(self, gateway: Gateway, told: asyncio.Event) -> int:
        """Show what there is to see, then wait until *told*."""
        stopping = asyncio.create_task(told.wait())
        showing = asyncio.create_task(self._shown(gateway))
        await asyncio.wait((stopping, showing), return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing
            return OTHERWISE if self.leave else AS_TOLD
        is_as_told = showing.result()
        if self.leave:
            stopping.cancel()
            return AS_TOLD if is_as_told else OTHERWISE
        await stopping
        return AS_TOLD

    async def _shown(self, gateway: Gateway) -> bool:
        settings = gateway.settings
        token = await issued(gateway)
        access = Access(
            f"{settings.public_url}/servers/{texts.SERVER}/mcp",
            token.text.reveal().decode(),
            token.expires_at - token.issued_at,
        )
        story = Story(
            RecordReader(DataDirectory(settings.data_dir).journal, token.token_id),
            lambda: gateway.standing.grounds,
        )
        await story.play(str(settings.upstreams[texts.SERVER].url), access.url, access.token)
        screen.show(story)
        if not story.is_as_told:
            screen.otherwise(story, self.place)
        if not self.leave:
            screen.hand_over(access, self.place, story.denied)
        if steps := first_steps(gateway):
            screen.say("", *steps.splitlines())
        return story.is_as_told


def run(directory: Path, port: int | None, *, leave: bool) -> int:
    """Run the quickstart in *directory* and return the exit code.

    *port* is where agents are to connect, in a directory that is new. With *leave* the code is
    `OTHERWISE` if anything did not come out as it should.
    """
    try:
        place, notes = prepared(directory, port)
        # The variables of whoever tries this are about a gateway of theirs.
        settings = load(place.settings, {})
        demo_port = _demo_port(place, settings, port)
        with _log(place) as log, listening(demo.HOST, demo_port) as listener:
            screen.say(*notes)
            events = Announcing(settings.telemetry.log_level, log)
            with LibraryLog(events), demo.serving(listener):
                return serve(settings, {}, events, Quickstart(place, leave))
    except PlaceError as error:
        return refused([error], "The quickstart cannot begin:")
    except SettingsError as error:
        return refused(error.problems, "The settings cannot be used:")
    except BrokenPipeError:
        streams.leave_closed_pipe()


def _demo_port(place: Place, settings: Settings, port: int | None) -> int:
    """Return where the demo server has to listen, once the gateway's own ports are free.

    Raises `PlaceError`, as nobody wants to read of it in the middle of the demonstration.
    """
    upstream = settings.upstreams.get(texts.SERVER)
    parts = urlsplit(upstream.url or "") if upstream else None
    if parts is None or parts.hostname != demo.HOST or parts.port is None:
        raise PlaceError(
            f"{place.settings} has no server {texts.SERVER!r} at http://{demo.HOST}:PORT. Write it "
            "again, or choose another --dir."
        )
    if port not in (None, settings.data.listen.port):
        raise PlaceError(
            f"{place.settings} says that agents connect to port {settings.data.listen.port}. Leave "
            "out --port, or choose another --dir."
        )
    for address in (settings.data.listen, settings.admin.listen):
        listening(address.host, address.port).close()
    return parts.port


def _log(place: Place) -> TextIO:
    try:
        return place.log.open("a", encoding="utf-8")
    except OSError as error:
        raise PlaceError(f"{place.log} cannot be written: {error.strerror}.") from error
