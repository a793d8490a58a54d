"""Keeps workers running: starts them, starts those again that die, and stops all in the end."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from proxy.telemetry.events import Events
from proxy.workers.lifeline import READY

ENDED_WELL: Final = 0
NOT_WELL: Final = 1
UNUSABLE: Final = 2
"""The exit code of a worker that cannot start, and of a supervisor whose workers cannot."""

MOST_ATTEMPTS: Final = 5
"""How often a worker may die in a row before all have answered once."""

HEALTHY_SECONDS: Final = 60.0
"""After which a death has nothing to do with the one before."""

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 10.0

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


@dataclass(slots=True)
class _Slot:
    """One worker, whichever process it is by now; `due` is when the next is to be started."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    line: socket.socket | None = None
    began: float = 0.0
    due: float | None = None
    is_ready: bool = False
    deaths: int = 0


class Supervisor:
    """The parent of *count* workers. *command* returns what starts the worker of a number.

    The first starts alone, so that what is made once is made by one. Workers that are told to stop
    are killed after *grace* seconds. Their standard input is a `Lifeline`.
    """

    def __init__(
        self, command: Callable[[int], Sequence[str]], count: int, events: Events, grace: float
    ) -> None:
        self._command = command
        self._events = events
        self._grace = grace
        self._slots = [_Slot(number) for number in range(count)]
        self._selector = selectors.DefaultSelector()
        self._began = time.monotonic()
        self._were_all_ready = False
        self._killing_at: float | None = None
        self._code = ENDED_WELL

    def run(self) -> int:
        """Return the exit code once every worker has ended, because of SIGTERM or SIGINT.

        It is `UNUSABLE` if the workers cannot start, `NOT_WELL` if one was killed or failed while
        it stopped.
        """
        with self._selector, _signals() as told:
            self._selector.register(told, selectors.EVENT_READ)
            self._slots[0].due = self._began
            while any(slot.process or slot.due is not None for slot in self._slots):
                self._wait(told)
                self._reap()
                self._start_due()
        return self._code

    def _wait(self, told: socket.socket) -> None:
        """Return when something has happened, or has to."""
        moments = [slot.due for slot in self._slots if slot.due is not None]
        if self._killing_at is not None:
            moments.append(self._killing_at)
        now = time.monotonic()
        for key, _ in self._selector.select(max(0.0, min(moments) - now) if moments else None):
            if key.fileobj is not told:
                self._hear(key.data)
            elif {signal.SIGTERM, signal.SIGINT} & set(told.recv(4096)):
                self._stop()
        if self._killing_at is not None and time.monotonic() >= self._killing_at:
            self._kill()

    def _hear(self, slot: _Slot) -> None:
        said = slot.line.recv(4096) if slot.line else b""
        if READY in said:
            slot.is_ready = True
            self._one_is_ready()
        elif slot.line:
            self._cut(slot)

    def _one_is_ready(self) -> None:
        if self._were_all_ready or self._killing_at is not None:
            return
        for slot in self._slots:
            if slot.process is None and slot.due is None:
                slot.due = time.monotonic()
        if all(slot.is_ready for slot in self._slots):
            self._were_all_ready = True
            seconds = time.monotonic() - self._began
            self._events.workers_ready(count=len(self._slots), seconds=seconds)

    def _start_due(self) -> None:
        for slot in self._slots:
            if slot.due is not None and slot.due <= time.monotonic():
                self._start(slot)

    def _start(self, slot: _Slot) -> None:
        slot.due, slot.began, slot.is_ready = None, time.monotonic(), False
        slot.line, theirs = socket.socketpair()
        with theirs:
            try:
                # A group of its own: Ctrl-C is for the supervisor, which passes it on once.
                slot.process = subprocess.Popen(  # noqa: S603  a command of ours
                    self._command(slot.number), stdin=theirs.fileno(), process_group=0
                )
            except OSError:
                slot.line.close()
                slot.line = None
                # As after a death: the machine may have room for a process later.
                self._died(slot, 0, os.EX_OSERR)
                return
        self._selector.register(slot.line, selectors.EVENT_READ, slot)

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.process is not None and (status := slot.process.poll()) is not None:
                pid, slot.process = slot.process.pid, None
                if self._killing_at is None:
                    self._died(slot, pid, status)
                elif status != ENDED_WELL and slot.is_ready and self._code == ENDED_WELL:
                    self._code = NOT_WELL
                self._cut(slot)

    def _died(self, slot: _Slot, pid: int, status: int) -> None:
        seconds = time.monotonic() - slot.began
        if slot.is_ready and seconds >= HEALTHY_SECONDS:
            slot.deaths = 0
        slot.deaths += 1
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (slot.deaths - 1), LONGEST_PAUSE_SECONDS)
        self._events.worker_ended(number=slot.number, pid=pid, status=status, seconds=seconds)
        slot.due = time.monotonic() + pause
        if self._were_all_ready:
            return
        # One that cannot start has said why; again and again it would say the same.
        if status == UNUSABLE:
            self._give_up()
        elif slot.deaths >= MOST_ATTEMPTS:
            self._events.workers_given_up(number=slot.number)
            self._give_up()

    def _give_up(self) -> None:
        self._code = UNUSABLE
        self._stop()

    def _stop(self) -> None:
        """Tell every worker to stop, once."""
        if self._killing_at is not None:
            return
        self._killing_at = time.monotonic() + self._grace
        for slot in self._slots:
            slot.due = None
            if slot.process is not None:
                slot.process.terminate()

    def _kill(self) -> None:
        self._killing_at = time.monotonic() + self._grace
        for slot in self._slots:
            if slot.process is not None:
                self._events.worker_killed(number=slot.number, pid=slot.process.pid)
                slot.process.kill()
                self._code = self._code or NOT_WELL

    def _cut(self, slot: _Slot) -> None:
        if slot.line is not None:
            line, slot.line = slot.line, None
            self._selector.unregister(line)
            line.close()


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Return where the numbers of signals can be read, as bytes."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(0)
    with ours, theirs:
        before = [signal.signal(number, _nothing) for number in _SIGNALS]
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield ours
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)


def _nothing(_number: int, _frame: object) -> None:
    """Let the signal be noticed by its number alone."""
