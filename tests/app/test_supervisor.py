"""The supervisor of workers, over processes that do what a test wants of them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from proxy.telemetry.events import Events
from proxy.workers import supervisor
from proxy.workers.supervisor import MOST_ATTEMPTS, Supervisor

BEGINNING = """\
import os, signal, sys, time
number, lives = int(sys.argv[1]), sys.argv[2]
with open(lives, "a") as file:
    file.write(f"{number} ")
life = open(lives).read().split().count(str(number))
def ready():
    os.write(0, b"\\n")
def stop_all():
    os.kill(os.getppid(), signal.SIGTERM)
def wait():
    while os.read(0, 1):
        pass
"""
"""What each worker knows: its number, how often it has lived, and its lifeline."""


class Crew:
    """Workers that run *script*; what became of them."""

    def __init__(self, directory: Path, script: str, count: int, grace: float = 10) -> None:
        self._lives = directory / "lives"
        self._script = BEGINNING + script
        self._log = io.StringIO()
        self.code = Supervisor(self._command, count, Events("info", self._log), grace).run()

    def _command(self, number: int) -> list[str]:
        script = [sys.executable, "-S", "-E", "-c", self._script]
        return [*script, str(number), str(self._lives)]

    @property
    def lives(self) -> list[str]:
        """The numbers of the workers, in the order in which they began."""
        return self._lives.read_text(encoding="ascii").split()

    @property
    def events(self) -> list[tuple[str, int | None]]:
        lines = [json.loads(line) for line in self._log.getvalue().splitlines()]
        return [(line["event"], line.get("status")) for line in lines]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_SECONDS", 0.001)


def test_the_first_worker_begins_alone_and_the_others_once_it_is_ready(tmp_path: Path) -> None:
    # The others would find the file only if the first was ready before they began.
    script = """
mark = lives + ".ready"
if number == 0:
    open(mark, "w").close()
    ready()
    wait()
if not os.path.exists(mark):
    sys.exit(1)
ready()
if number == 1:
    open(lives + ".one", "w").close()
if number == 2:
    while not os.path.exists(lives + ".one"):
        time.sleep(0.01)
    stop_all()
wait()
"""
    crew = Crew(tmp_path, script, 3)

    assert crew.lives[0] == "0"
    assert sorted(crew.lives) == ["0", "1", "2"]
    assert {status for _, status in crew.events} <= {None}


def test_a_worker_that_dies_is_started_again_and_told_of(tmp_path: Path) -> None:
    script = """
ready()
if number == 1:
    if life == 1:
        sys.exit(7)
    if life == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    stop_all()
wait()
"""
    crew = Crew(tmp_path, script, 2)

    assert crew.lives == ["0", "1", "1", "1"]
    assert [one for one in crew.events if one[1]] == [("worker_ended", 7), ("worker_ended", -9)]


def test_workers_that_die_again_and_again_at_the_start_end_it(tmp_path: Path) -> None:
    crew = Crew(tmp_path, "sys.exit(7)", 3)

    assert crew.code == 2
    assert crew.lives == ["0"] * MOST_ATTEMPTS
    assert crew.events[-1] == ("workers_given_up", None)


def test_a_worker_that_says_it_cannot_start_is_not_asked_again(tmp_path: Path) -> None:
    crew = Crew(tmp_path, "sys.exit(2)", 3)

    assert (crew.code, crew.lives) == (2, ["0"])


def test_once_all_have_answered_no_death_ends_the_others(tmp_path: Path) -> None:
    script = """
if number == 1 and life > 1:
    if life == 9:
        stop_all()
        wait()
    sys.exit(2)
ready()
if number == 1:
    while not os.path.exists(lives + ".all"):
        pass
    sys.exit(2)
if number == 2:
    open(lives + ".all", "w").close()
wait()
"""
    crew = Crew(tmp_path, script, 3)

    assert crew.lives.count("1") == 9
    assert crew.lives.count("0") == crew.lives.count("2") == 1


@pytest.mark.parametrize(
    ("at_the_end", "grace", "code"),
    [
        ("signal.signal(signal.SIGTERM, lambda *_: os._exit(0))", 10, 0),
        ("signal.signal(signal.SIGTERM, lambda *_: os._exit(3))", 10, 1),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 0.05, 1),
    ],
    ids=["ends well", "fails", "does not end"],
)
def test_told_to_stop_it_ends_all_and_tells_how(
    tmp_path: Path, at_the_end: str, grace: float, code: int
) -> None:
    crew = Crew(tmp_path, f"{at_the_end}\nready()\nif number == 1: stop_all()\nwait()", 2, grace)

    assert crew.code == code
    assert ("worker_killed", None) in crew.events or grace > 1
