"""What workers have in common: their directory, their log, and the ports held for them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from proxy.workers.place import SETTINGS_NAME, SharedLog, meeting_place
from tests.cli.started import PLACED

WRITERS = 3
LINES = 40
LONG = 30_000
"""Characters of a line: more than a pipe takes in one piece."""

WRITING = """
import sys
from pathlib import Path
from proxy.workers.place import SharedLog
log = SharedLog(sys.stderr, Path(sys.argv[1]))
for _ in range(int(sys.argv[3])):
    log.write(sys.argv[2] * int(sys.argv[4]) + "\\n")
"""


def test_lines_that_several_processes_write_at_once_stay_whole(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    writers = [
        subprocess.Popen(  # noqa: S603  this interpreter and arguments of ours
            [sys.executable, "-c", WRITING, tmp_path, letter, str(LINES), str(LONG)],
            env=PLACED,
            stderr=theirs,
        )
        for letter in "abc"
    ]
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        lines = pipe.read().split(b"\n")

    assert [one.wait() for one in writers] == [0] * WRITERS
    assert lines.pop() == b""
    assert len(lines) == WRITERS * LINES
    assert {(len(line), len(set(line))) for line in lines} == {(LONG, 1)}


def test_workers_meet_where_nobody_else_can_look_and_leave_nothing(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("# of today\n", encoding="utf-8")

    with meeting_place(tmp_path, settings) as place:
        settings.write_text("# of tomorrow\n", encoding="utf-8")
        with closing(SharedLog(sys.stderr, place)):
            assert place.parent == tmp_path
            assert place.stat().st_mode & 0o777 == 0o700
            assert {one.stat().st_mode & 0o077 for one in place.iterdir()} == {0}
            assert (place / SETTINGS_NAME).read_text(encoding="utf-8") == "# of today\n"

    assert not place.exists()


def test_a_socket_has_a_name_however_deep_the_data_lies(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["directory"] * 12)
    deep.mkdir(parents=True)

    with meeting_place(deep, None) as place:
        assert len(os.fsencode(place)) < 100
        assert not place.is_relative_to(deep)
