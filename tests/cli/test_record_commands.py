"""`northgate record`: what was decided, found and shown."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import pty
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from policies.demands import CallTests, Demands
from policies.dialect import read_policy
from policies.facts import FactSet
from policies.model import Decision, Entity, Fact, Reason, Verdict
from proxy.audit import Audit, Redaction, Subject
from proxy.cli.main import app
from proxy.cli.record.reading import latest
from proxy.identity.principal import ActorType, Principal
from storage.journal import Chain, Journal, Kind, Position, Record
from tests.cli.running import Ran, command, run_process
from tests.storage.disks import QuickFiles

START = datetime(2026, 1, 5, 8, 0, 0, tzinfo=UTC)
STEP = 100
"""Seconds from one record to the next: enough for ids to differ in their first letters."""

HEX = "ab" * 16


def principal(id_: str, type_: str = "Client", **more: object) -> dict[str, object]:
    return {
        "type": type_,
        "id": id_,
        "issuer": "http://gate",
        "client": id_,
        "token_id": "t1",
        "acts_for": None,
        **more,
    }


def decision(**more: object) -> dict[str, Any]:
    return {
        "principal": principal("ci"),
        "server": "github",
        "method": "tools/call",
        "action": "call",
        "resource": {"type": "Tool", "id": "github__create_issue"},
        "facts": [["acts_alone", {"type": "Client", "id": "ci"}]],
        "policy": "sha256:12",
        "fact_version": 7,
        "now": 1767600000,
        "verdict": "allow",
        "reason": "granted",
        "rules": ["allow.polar:8", "mine.polar:3"],
        "args_digest": HEX,
        **more,
    }


def denial(**more: object) -> dict[str, Any]:
    return decision(verdict="deny", reason="no_rule", rules=[], **more)


def outcome(number: int, **more: object) -> dict[str, Any]:
    """Return the outcome of the record *number* of those that are written."""
    return {"decision": number, "status": 200, "is_error": False, "bytes": 1234, "ms": 3.25, **more}


CHANGE = {
    "who": {"type": "System", "id": "watcher"},
    "what": "policy",
    "why": "a file changed",
    "before": "sha256:1",
    "after": {"policy": "sha256:2"},
}


def kind_of(payload: dict[str, Any]) -> Kind:
    if "verdict" in payload:
        return Kind.DECISION
    if "decision" in payload:
        return Kind.OUTCOME
    return Kind.CHANGE if "what" in payload else Kind.CHECKPOINT


async def append(journal: Journal, payload: dict[str, Any], ids: list[str]) -> None:
    kind = kind_of(payload)
    if kind is Kind.OUTCOME and isinstance(payload["decision"], int):
        payload = {**payload, "decision": ids[payload["decision"]]}
    ids.append(await journal.append(kind, payload))


def recorded(data: Path, *payloads: dict[str, Any], step: float = STEP) -> list[str]:
    """Write *payloads* into the journal of *data*, *step* seconds apart, and return their ids."""

    async def write() -> list[str]:
        moment = START.timestamp() - step  # the first line is the journal's own

        def clock() -> int:
            nonlocal moment
            moment += step
            return int(moment * 10**9)

        ids: list[str] = []
        files = QuickFiles()
        async with await Journal.open(
            data / "journal", "n", 0, clock=clock, files=files
        ) as journal:
            for payload in payloads:
                await append(journal, payload, ids)
        return ids

    return asyncio.run(write())


def run(*args: str | Path) -> Ran:
    """Run `northgate record` with *args* in this process."""
    done = CliRunner().invoke(app, ["record", *map(str, args)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ran(done.exit_code, done.stdout, done.stderr)


def listed(data: Path, *options: str) -> list[dict[str, Any]]:
    ran = run("list", "--data-dir", data, "--json", *options)
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in ran.lines]


def ids_of(found: list[dict[str, Any]]) -> list[str]:
    return [one["record"]["id"] for one in found]


def show(data: Path, id_: str, *options: str) -> Ran:
    return run("show", id_, "--data-dir", data, *options)


def segment(data: Path) -> Path:
    return next((data / "journal").glob("*.jsonl"))


@pytest.fixture
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


# What is listed.


def test_decisions_are_listed_the_newest_last_each_with_its_outcome(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), denial(), CHANGE, outcome(0), decision())

    found = listed(tmp_path)

    assert ids_of(found) == [ids[0], ids[1], ids[4]]
    assert [one["outcome"] and one["outcome"]["id"] for one in found] == [ids[3], None, None]
    assert found[0]["outcome"]["status"] == 200


def test_a_json_line_has_the_record_as_its_line_in_the_journal(tmp_path: Path) -> None:
    recorded(tmp_path, decision(novel={"a": [1, None]}))

    line = segment(tmp_path).read_text(encoding="utf-8").splitlines()[1]

    assert listed(tmp_path)[0]["record"] == json.loads(line)
    assert list(listed(tmp_path)[0]["record"]) == list(json.loads(line))


def test_json_lines_hold_nothing_that_could_steer_a_terminal(tmp_path: Path) -> None:
    recorded(tmp_path, decision(server="\x1b[2J\u202eevil"))

    ran = run("list", "--data-dir", tmp_path, "--json")

    assert ran.out.isascii()
    assert "\x1b" not in ran.out
    assert json.loads(ran.out)["record"]["server"] == "\x1b[2J\u202eevil"


def test_fifty_are_listed_unless_another_number_is_asked_for(tmp_path: Path) -> None:
    ids = recorded(tmp_path, *(decision(now=n) for n in range(60)))

    assert ids_of(listed(tmp_path)) == ids[10:]
    assert ids_of(listed(tmp_path, "--limit", "2")) == ids[-2:]
    assert ids_of(listed(tmp_path, "--limit", "100")) == ids


def test_how_many_older_ones_are_left_out_is_told(tmp_path: Path) -> None:
    recorded(tmp_path, decision(), decision(), decision())

    assert run("list", "--data-dir", tmp_path, "--limit", "1").err == (
        "2 older records not shown; --limit shows more.\n"
    )
    assert run("list", "--data-dir", tmp_path, "--limit", "3").err == ""


MIXED = (
    decision(),
    denial(principal=principal("bot")),
    decision(principal=principal("ci", "User"), action="list"),
    decision(server="git", resource={"type": "Tool", "id": "git__create_issue"}),
    decision(resource={"type": "Prompt", "id": "github__create_issue"}, action="get"),
    decision(principal=principal("okta:ann", "User"), rules=["mine.polar:4"]),
    decision(verdict="undecided", reason="undecided", rules=[]),
)


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--principal", "ci"], [0, 2, 3, 4, 6]),
        (["--principal", "Client:ci"], [0, 3, 4, 6]),
        (["--principal", "User:ci"], [2]),
        (["--principal", "okta:ann"], [5]),
        (["--principal", "User:okta:ann"], [5]),
        (["--principal", "ann"], []),
        (["--principal", "client:ci"], [0, 3, 4, 6]),
        (["--resource", "tool:git__create_issue"], [3]),
        (["--resource", "Tool:git__create_issue"], [3]),
        (["--resource", "server:git__create_issue"], []),
        (["--acts-for", "nobody"], []),
        (["--server", "git"], [3]),
        (["--server", "gi"], []),
        (["--tool", "create_issue"], [0, 1, 2, 3, 5, 6]),
        (["--tool", "git__create_issue"], [3]),
        (["--tool", "issue"], []),
        (["--action", "get"], [4]),
        (["--verdict", "deny"], [1]),
        (["--verdict", "undecided"], [6]),
        (["--reason", "no_rule"], [1]),
        (["--reason", "suspended"], []),
        (["--rule", "mine.polar:3"], [0, 2, 3, 4]),
        (["--rule", "mine.polar:4"], [5]),
        (["--rule", "mine.polar"], []),
        (["--principal", "ci", "--verdict", "allow", "--server", "github"], [0, 2, 4]),
        (["--kind", "decision"], [0, 1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_filter_leaves_what_meets_it(
    tmp_path: Path, options: list[str], numbers: list[int]
) -> None:
    ids = recorded(tmp_path, *MIXED)

    assert ids_of(listed(tmp_path, *options)) == [ids[number] for number in numbers]


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--since", "2026-01-05T08:03:20Z"], [1, 2]),
        (["--since", "2026-01-05T08:03:20.000001Z"], [2]),
        (["--since", "2026-01-05T09:03:20+01:00"], [1, 2]),
        (["--until", "2026-01-05T08:03:20Z"], [0]),
        (["--since", "2026-01-05T08:03:20Z", "--until", "2026-01-05T08:05:00Z"], [1]),
        (["--since", "2030-01-05t08:05:00z"], []),
    ],
)
def test_times_are_from_the_first_up_to_the_second_moment(
    tmp_path: Path, options: list[str], numbers: list[int]
) -> None:
    ids = recorded(tmp_path, decision(), decision(), decision())

    assert ids_of(listed(tmp_path, *options)) == [ids[number] for number in numbers]


@pytest.mark.parametrize(
    ("age", "count"), [("9d", 1), ("2w", 1), ("8d", 0), ("999h", 1), ("100m", 0), ("9s", 0)]
)
def test_an_age_counts_back_from_now(tmp_path: Path, age: str, count: int) -> None:
    async def write() -> None:
        moment = int((datetime.now(UTC) - timedelta(days=8.5)).timestamp() * 10**9)
        async with await Journal.open(
            tmp_path / "journal", "n", 0, clock=lambda: moment
        ) as journal:
            await journal.append(Kind.DECISION, decision())

    asyncio.run(write())

    assert len(listed(tmp_path, "--since", age)) == count
    assert len(listed(tmp_path, "--until", age)) == 1 - count


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2", "h", "-2h", "2 h", "1.5h", "2026-01-05T08:00:00", "2026-01-05",
     "2026-13-05T08:00:00Z", "99999999999d", "999999999w", "0001-01-01T00:00:00+23:00"],
)  # fmt: skip
def test_a_time_that_is_none_is_unusable(tmp_path: Path, text: str) -> None:
    recorded(tmp_path, decision())

    for option in ("--since", "--until"):
        ran = run("list", "--data-dir", tmp_path, f"{option}={text}", "--json")
        assert (ran.code, ran.out) == (2, "")
        assert f"{option} {text}: this is no time" in ran.err
        assert "7d" in ran.err


def test_an_outcome_after_the_last_moment_asked_for_is_still_that_of_its_decision(
    tmp_path: Path,
) -> None:
    recorded(tmp_path, decision(), outcome(0))

    found = listed(tmp_path, "--until", "2026-01-05T08:02:00Z")

    assert [one["outcome"]["ms"] for one in found] == [3.25]


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("decision", [0]), ("outcome", [1]), ("checkpoint", [3])],
)
def test_records_of_another_kind_are_listed_by_themselves(
    tmp_path: Path, kind: str, numbers: list[int]
) -> None:
    ids = recorded(tmp_path, decision(), outcome(0), CHANGE, {"signature": "x"})

    assert ids_of(listed(tmp_path, "--kind", kind)) == [ids[number] for number in numbers]


def test_changes_are_listed_by_who_made_them(tmp_path: Path) -> None:
    ids = recorded(tmp_path, CHANGE)

    assert ids_of(listed(tmp_path, "--kind", "change"))[1:] == ids
    assert ids_of(listed(tmp_path, "--kind", "change", "--principal", "watcher")) == ids
    assert ids_of(listed(tmp_path, "--kind", "change", "--principal", "System:watcher")) == ids
    assert ids_of(listed(tmp_path, "--kind", "change", "--principal", "Client:watcher")) == []


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("change", "--server", "x"),
        ("change", "--verdict", "allow"),
        ("outcome", "--tool", "x"),
        ("change", "--acts-for", "x"),
        ("outcome", "--rule", "a.polar:1"),
        ("outcome", "--principal", "ci"),
        ("checkpoint", "--principal", "ci"),
        ("checkpoint", "--reason", "no_rule"),
        ("checkpoint", "--action", "call"),
    ],
)
def test_a_filter_that_no_record_of_the_kind_can_meet_is_unusable(
    tmp_path: Path, kind: str, option: str, value: str
) -> None:
    recorded(tmp_path, decision())

    ran = run("list", "--data-dir", tmp_path, "--kind", kind, option, value)

    assert (ran.code, ran.out) == (2, "")
    assert option in ran.err


@pytest.mark.parametrize(
    "options", [("--verdict", "yes"), ("--reason", "why"), ("--kind", "x"), ("--limit", "0")]
)
def test_a_value_that_is_not_on_the_list_is_wrong_usage(
    tmp_path: Path, options: tuple[str, str]
) -> None:
    recorded(tmp_path, decision())

    assert run("list", "--data-dir", tmp_path, *options).code == 2


def test_nothing_found_is_told_and_is_no_failure(tmp_path: Path) -> None:
    recorded(tmp_path, decision())

    ran = run("list", "--data-dir", tmp_path, "--server", "none")

    assert (ran.code, ran.out, ran.err) == (0, "", "No such record.\n")


def test_no_more_is_kept_of_a_long_journal_than_is_shown() -> None:
    def long_journal() -> Iterator[Record]:
        position = Position(1, 0, "")
        for number in range(2000):
            payload = {"decision": f"{number - 1}", "verdict": "allow"}
            kind = Kind.OUTCOME if number % 2 else Kind.DECISION
            yield Record(kind, f"{number}", "", Chain("n", 0), number, "", payload, position)
        gc.collect()
        alive.append(sum(isinstance(one, Record) for one in gc.get_objects()))

    alive: list[int] = []
    found = latest(long_journal(), lambda record: record.kind is Kind.DECISION, 5)

    assert (found.count, len(found.entries)) == (1000, 5)
    assert alive == [10]  # five decisions with their outcomes


# As a table.

TABLE = """\
TIME                 WHO                 SERVER  ACTION  RESOURCE        VERDICT  \
REASON   RULE              STATUS   MS   ID
2026-01-05 09:01:40  Client:ci           github  call    create_issue    allow    \
granted  allow.polar:8 +1  200      3.2  {0}
2026-01-05 09:03:20  Client:bot for ann  github  read    file:///readme  deny     \
no_rule                                  {1}
2026-01-05 09:06:40  Client:ci           github  call    github          allow    \
granted  a.polar:1         unknown       {3}
"""


@pytest.mark.usefixtures("_in_berlin")
def test_decisions_are_a_table_in_local_time(tmp_path: Path) -> None:
    agent = principal("bot", acts_for="ann")
    document = {"type": "Document", "id": "github|file:///readme"}
    ids = recorded(
        tmp_path,
        decision(),
        denial(principal=agent, resource=document, action="read"),
        outcome(0),
        decision(rules=["a.polar:1"], resource={"type": "Server", "id": "github"}),
    )

    lines = [line.rstrip() for line in run("list", "--data-dir", tmp_path).lines]

    assert lines == [line.rstrip() for line in TABLE.format(*ids).splitlines()]


def on_terminal(width: int, *args: str | Path) -> str:
    """Return what `northgate` writes to a terminal of *width* columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")
    }
    with subprocess.Popen(  # noqa: S603  this interpreter and arguments of ours
        command(*args), stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}
    ):
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:
            pass  # so a terminal says that the other side is gone
        finally:
            os.close(ours)
    return b"".join(pieces).decode()


def plain(text: str) -> list[str]:
    """Return the lines of *text* without what sets colours."""
    parts = text.split("\x1b[")
    return "".join([parts[0], *(part.partition("m")[2] for part in parts[1:])]).splitlines()


def test_a_narrow_terminal_gets_two_lines_for_each_and_every_id_whole(tmp_path: Path) -> None:
    long = decision(
        server="s" * 60,
        resource={"type": "Tool", "id": "s" * 60 + "__" + "t" * 100},
        principal=principal("c" * 50),
        rules=["d/" * 40 + "x.polar:1"],
    )
    ids = recorded(tmp_path, decision(), outcome(0), long, denial())

    shown = on_terminal(80, "record", "list", "--data-dir", tmp_path)

    lines = plain(shown)
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[3::2]] == [ids[0], ids[2], ids[3]]
    assert lines[3].split()[1:] == ["granted", "allow.polar:8", "+1", "200", "3.2"]
    assert [line.split()[-1] for line in lines[2::2]] == ["allow", "allow", "deny"]
    assert shown.count("\x1b[32mallow") == 2
    assert "\x1b[31mdeny" in shown


@pytest.mark.parametrize("kind", ["change", "outcome", "checkpoint"])
def test_other_kinds_are_tables_too(tmp_path: Path, kind: str) -> None:
    ids = recorded(tmp_path, decision(), outcome(0), CHANGE, {"signature": "xyz"})

    last = run("list", "--data-dir", tmp_path, "--kind", kind).lines[-1]

    expected = {
        "outcome": ["200", "false", "1234", "3.2", ids[0], ids[1]],
        "change": ["System:watcher", "policy", "a", "file", "changed", "sha256:1", '{"policy":',
                   '"sha256:2"}', ids[2]],
        "checkpoint": ["n", "0", "5", '{"signature":', '"xyz"}', ids[3]],
    }  # fmt: skip
    assert last.split()[2:] == expected[kind]


def test_controls_in_a_record_are_spelt_out(tmp_path: Path) -> None:
    evil = {"type": "Tool", "id": "github__\x1b[31m\u202e\n"}
    (id_,) = recorded(tmp_path, decision(resource=evil, **{"odd\x1bkey": "\x07"}))

    for ran in (run("list", "--data-dir", tmp_path), show(tmp_path, id_)):
        assert ran.code == 0
        assert not set("\x1b\u202e\x07") & set(ran.out)
        assert "\\u{1b}[31m\\u{202e}" in ran.out


# What is read.


def test_a_journal_that_is_being_written_is_read_and_not_disturbed(tmp_path: Path) -> None:
    async def write() -> list[str]:
        async with await Journal.open(tmp_path / "journal", "n", 0) as journal:
            first = await journal.append(Kind.DECISION, decision())
            seen = await asyncio.to_thread(listed, tmp_path)
            second = await journal.append(Kind.DECISION, decision())
            assert ids_of(seen) == [first]
            return [first, second]

    assert asyncio.run(write()) == ids_of(listed(tmp_path))


def test_a_line_that_is_still_being_written_is_passed_over(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), decision())
    whole = segment(tmp_path).read_bytes()
    segment(tmp_path).write_bytes(whole[:-20])

    assert ids_of(listed(tmp_path)) == ids[:1]


def test_a_copy_reads_like_the_journal_itself(tmp_path: Path) -> None:
    ids = recorded(tmp_path / "a", *MIXED)
    shutil.copytree(tmp_path / "a", tmp_path / "b")

    assert ids_of(listed(tmp_path / "b")) == ids


def test_the_chains_of_several_workers_are_one_list_by_time(tmp_path: Path) -> None:
    async def write() -> list[str]:
        async with (
            await Journal.open(tmp_path / "journal", "n", 0) as one,
            await Journal.open(tmp_path / "journal", "n", 1) as other,
        ):
            ids = []
            for journal in (one, other, one, other):
                ids.append(await journal.append(Kind.DECISION, decision()))
                await asyncio.to_thread(_next_millisecond)
            await other.append(Kind.OUTCOME, outcome(0, decision=ids[3]))
            return ids

    ids = asyncio.run(write())

    found = listed(tmp_path)
    assert ids_of(found) == ids
    assert [one["record"]["worker"] for one in found] == [0, 1, 0, 1]
    assert [one["outcome"] is None for one in found] == [True, True, True, False]


def _next_millisecond() -> None:
    """Return when ids are later than those of before."""
    now = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == now:
        pass


def test_a_damaged_journal_is_unusable_and_the_place_is_named(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), decision(), decision())
    lines = segment(tmp_path).read_bytes().splitlines(keepends=True)
    segment(tmp_path).write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[3:]]))

    for ran in (
        run("list", "--data-dir", tmp_path),
        run("list", "--data-dir", tmp_path, "--json"),
        show(tmp_path, ids[2]),
    ):
        assert (ran.code, ran.out) == (2, "")
        assert f"error[journal-damaged]: {segment(tmp_path)}, line 3 is no record." in ran.err
        assert "Keep a copy as evidence" in ran.err
    errors = show(tmp_path, ids[2], "--json").document["errors"]
    assert [error["code"] for error in errors] == ["journal-damaged"]


def test_where_there_is_no_journal_the_option_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty" / "journal").mkdir(parents=True)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "journal").write_text("x", encoding="utf-8")

    for name in ("missing", "empty", "file"):
        for ran in (run("list", "--data-dir", tmp_path / name), show(tmp_path / name, "0" * 8)):
            assert (ran.code, ran.out) == (2, "")
            assert f"{tmp_path / name / 'journal'}: there is no journal here" in ran.err
            assert "--data-dir" in ran.err


def test_a_journal_that_cannot_be_read_is_unusable(tmp_path: Path) -> None:
    unreadable = tmp_path / "journal" / "n.0000.00000001.jsonl"
    unreadable.mkdir(parents=True)

    ran = run("list", "--data-dir", tmp_path)

    assert (ran.code, ran.out) == (2, "")
    assert f"{unreadable}: this cannot be read: Is a directory." in ran.err


def test_the_data_directory_is_the_one_that_serve_uses_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = recorded(tmp_path / "northgate-data", decision())
    monkeypatch.chdir(tmp_path)

    assert json.loads(run("list", "--json").out)["record"]["id"] == ids[0]
    assert run("show", ids[0]).code == 0


def test_help_reads_no_journal(tmp_path: Path) -> None:
    ran = run_process("record", "list", "--data-dir", tmp_path, "--help")

    assert (ran.code, ran.err) == (0, "")
    assert "--since" in ran.out


# One record.


@pytest.mark.usefixtures("_in_berlin")
def test_a_decision_is_shown_with_all_it_holds(tmp_path: Path) -> None:
    tool = {"type": "Tool", "id": "web__fetch"}
    facts = [
        ["acts_for", {"type": "Client", "id": "ci"}, {"type": "User", "id": "ann"}],
        ["argument_host", tool, "url", "*.example.com"],
        ["argument", tool, "amount", 5],
        ["argument", tool, "force", True],
        ["argument", tool, "note", {"digest": HEX}],
    ]
    silent = [["argument_under", "path", '/a"b'], ["argument_present", "x", None]]
    whose = principal("ci", acts_for="ann", level=2)
    ids = recorded(
        tmp_path,
        decision(
            principal=whose,
            server="web",
            resource=tool,
            facts=facts,
            silent_tests=silent,
            novel=[1],
        ),
        outcome(0, novel="y"),
    )
    frame = listed(tmp_path)[0]["record"]

    ran = show(tmp_path, ids[0])

    assert (ran.code, ran.err) == (0, "")
    assert [line.rstrip() for line in ran.lines] == [
        f"decision     {ids[0]}",
        "time         2026-01-05 09:01:40+01:00 (2026-01-05T08:01:40.000000Z)",
        "verdict      allow, granted",
        'who          Client{"ci"}, acting for ann',
        "known by     issuer http://gate, client ci, token_id t1, level 2",
        'asked        call Tool{"web__fetch"}',
        "by           tools/call, on server web",
        "policy       sha256:12",
        "facts        version 7",
        "at second    1767600000",
        'of the call  acts_for(Client{"ci"}, User{"ann"})',
        '             argument_host(Tool{"web__fetch"}, "url", "*.example.com")',
        '             argument(Tool{"web__fetch"}, "amount", 5)',
        '             argument(Tool{"web__fetch"}, "force", true)',
        f'             argument(Tool{{"web__fetch"}}, "note", <digest {HEX}>)',
        'said nothing argument_under(Tool{"web__fetch"}, "path", "/a\\"b")',
        '             argument_present(Tool{"web__fetch"}, "x")',
        "rules        allow.polar:8",
        "             mine.polar:3",
        f"args_digest  {HEX}",
        "novel        [1]",
        f"outcome      200, no error, 1,234 bytes, 3.25 ms, novel y (record {ids[1]})",
        "chain        node n, worker 0, record 2",
        "file         n.0000.00000001.jsonl",
        f"after        {frame['prev']}",
    ]


def test_an_allowed_call_without_an_outcome_is_unknown_and_a_denied_one_was_not_forwarded(
    tmp_path: Path,
) -> None:
    allowed, denied = recorded(tmp_path, decision(), denial())

    assert "outcome      unknown: no outcome was recorded" in show(tmp_path, allowed).lines
    assert "outcome      none: nothing was forwarded" in show(tmp_path, denied).lines


@pytest.mark.parametrize(
    "odd",
    [
        {"verdict": "allow"},
        {"verdict": "allow", "principal": "x1", "resource": ["x2"], "facts": {"x3": 1}},
        {"verdict": "allow", "facts": [["p", 1.5, None, ["x4"]], [], "x5", [6]], "rules": "x7"},
        {"verdict": ["x8"], "reason": None, "silent_tests": ["x9", [[]]], "now": {"x10": 1}},
        {"verdict": "allow", "principal": {"type": "Client"}, "rules": [["x11"]]},
    ],
    ids=range(5),
)
def test_a_record_of_another_shape_is_shown_and_nothing_of_it_dropped(
    tmp_path: Path, odd: dict[str, Any]
) -> None:
    ids = recorded(tmp_path, odd, {"decision": 0, "ms": "x12", "status": ["x13"]})

    shown = show(tmp_path, ids[0])

    assert shown.code == 0
    words = [word for n in range(14) if (word := f"x{n}") in json.dumps(odd)]
    assert [word for word in [*words, "x12", "x13"] if word not in shown.out] == []
    assert run("list", "--data-dir", tmp_path).code == 0
    for ran in (show(tmp_path, ids[1]), run("list", "--data-dir", tmp_path, "--kind", "outcome")):
        assert ran.code == 0
        assert "x12" in ran.out
        assert "x13" in ran.out


def test_a_change_is_shown_with_what_was_before_and_after(tmp_path: Path) -> None:
    (id_,) = recorded(tmp_path, {**CHANGE, "novel": True})

    lines = show(tmp_path, id_).lines

    assert lines[0] == f"change       {id_}"
    assert lines[2:8] == [
        'who          System{"watcher"}',
        "what         policy",
        "why          a file changed",
        "before       sha256:1",
        'after        {"policy": "sha256:2"}',
        "novel        true",
    ]


def test_an_outcome_is_shown_with_the_decision_it_is_of(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), outcome(0, status="cancelled", is_error=True))

    assert show(tmp_path, ids[1]).lines[2:4] == [
        f"decision     {ids[0]}",
        "outcome      cancelled, an error, 1,234 bytes, 3.25 ms",
    ]


def test_the_document_of_a_decision_has_the_record_and_its_outcome(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), outcome(0), denial())

    whole, denied = (show(tmp_path, id_, "--json").document for id_ in (ids[0], ids[2]))

    assert whole == listed(tmp_path)[0]
    assert (whole["record"]["id"], whole["outcome"]["id"]) == (ids[0], ids[1])
    assert (denied["record"]["id"], denied["outcome"]) == (ids[2], None)


def test_the_first_letters_of_an_id_will_do(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), outcome(0), decision(), outcome(2))

    for length in (8, 9, 20, 35, 36):
        for text in (ids[0][:length], ids[0][:length].upper()):
            document = show(tmp_path, text, "--json").document
            assert (document["record"]["id"], document["outcome"]["id"]) == (ids[0], ids[1])


def test_letters_that_several_ids_begin_with_list_them(tmp_path: Path) -> None:
    ids = recorded(tmp_path, *([decision()] * 25), step=0.001)

    ran = show(tmp_path, ids[0][:8])

    assert (ran.code, ran.out) == (2, "")
    first, *candidates, last = ran.err.splitlines()
    assert first == f"26 records have ids that begin with {ids[0][:8]}; give more."
    assert [line.split()[0] for line in candidates][1:] == ids[:19]
    assert "Client:ci call Tool:github__create_issue allow" in candidates[1]
    assert last == "and 6 more records."
    document = show(tmp_path, ids[0][:8], "--json").document
    assert document["candidates"][1:] == ids[:19]
    assert [error["code"] for error in document["errors"]] == ["ambiguous-id"]


def test_an_id_is_found_without_reading_what_comes_later(tmp_path: Path) -> None:
    ids = recorded(tmp_path, decision(), outcome(0), decision(), decision(), decision())
    lines = segment(tmp_path).read_bytes().splitlines(keepends=True)
    segment(tmp_path).write_bytes(b"".join([*lines[:5], b"garbage\n", lines[5]]))

    sought = (ids[0], ids[1], ids[0][:35], ids[4])
    assert [show(tmp_path, id_).code for id_ in sought] == [0, 0, 0, 2]


def test_an_id_that_no_record_has_is_the_answer_no(tmp_path: Path) -> None:
    recorded(tmp_path, decision())

    ran = show(tmp_path, "00000000-0000")

    assert (ran.code, ran.out) == (1, "")
    assert "No record has an id that begins with 00000000-0000." in ran.err
    document = show(tmp_path, "00000000-0000", "--json")
    assert (document.code, document.document) == (1, {"record": None, "outcome": None})


@pytest.mark.parametrize("text", ["", "0123456", "0123456g", "*" * 8, "0" * 37, "01234567\n8"])
def test_what_is_no_id_is_unusable(tmp_path: Path, text: str) -> None:
    recorded(tmp_path, decision())

    ran = show(tmp_path, text)

    assert (ran.code, ran.out) == (2, "")
    assert "8 or more of its first letters" in ran.err


# As the gateway writes them.

POLICY = """
actor Client {}
resource Tool { permissions = ["call"]; }
has_permission(c: Client, "call", t: Tool) if
  acts_alone(c) and argument(t, "mode", "fast") and argument(t, "note", _)
  and argument_host(t, "url", "*.example.com") and argument_under(t, "path", "/srv");
"""
TOOL = Entity("Tool", "web__fetch")
ARGUMENTS = {"mode": "fast", "note": "a secret", "url": "https://evil.test/", "path": "/a/../b"}
CI = Principal(
    ActorType.CLIENT, "ci", "http://gate", "client:ci", "ci", "t1", 2_000_000_000, "http://gate"
)


def subject(tests: CallTests) -> Subject:
    return Subject(
        principal=CI,
        server="web",
        method="tools/call",
        action="call",
        resource=TOOL,
        now=1767600000,
        facts=(Fact("acts_alone", (CI.actor,)),),
        tests=tests,
        outcomes=tuple(tests.outcomes(TOOL, ARGUMENTS)),
        arguments=ARGUMENTS,
    )


def test_what_the_gateway_records_of_a_call_is_shown_as_policy_text(tmp_path: Path) -> None:
    program = read_policy({"p.polar": POLICY})
    tests = Demands.of(program).call_tests(TOOL, FactSet())

    async def write() -> str:
        async with await Journal.open(tmp_path / "journal", "n", 0) as journal:
            audit = Audit(journal, Redaction(b"k" * 32, "facts"), lambda _: None)
            denied = Decision(Verdict.DENY, Reason.NO_RULE, "sha256:1", 3)
            return await audit.decided(subject(tests), denied, program.words)

    id_ = asyncio.run(write())
    ran = show(tmp_path, id_)

    text = ran.out
    assert 'acts_alone(Client{"ci"})\n' in text
    assert 'argument(Tool{"web__fetch"}, "mode", "fast")\n' in text
    assert 'argument(Tool{"web__fetch"}, "note", <digest ' in text
    assert 'argument_not_host(Tool{"web__fetch"}, "url", "*.example.com")\n' in text
    assert 'said nothing argument_under(Tool{"web__fetch"}, "path", "/srv")\n' in text
    assert "secret" not in text
    assert "{'" not in text
