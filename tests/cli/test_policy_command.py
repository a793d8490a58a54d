"""`northgate` as a process: help, version, streams and signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.running import TYPES, command, run, run_process, written

COMMANDS = ("check", "test", "query", "explain", "fmt", "diff")
HEAVY = ("rich", "lark", "immutables", "policies.polar")


def many_facts(number: int) -> str:
    return "\n".join(f'has_role(Client{{"{n}"}}, "caller", Tool{{"x"}});' for n in range(number))


def test_help_names_the_commands() -> None:
    ran = run("--help")

    assert ran.code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_tells_exit_codes_and_the_keys_of_its_document(name: str) -> None:
    out = " ".join(run(name, "--help").out.split())

    assert "Exit code 0" in out
    assert "JSON: " in out


def test_help_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys; from proxy.cli.main import main; sys.argv[1:] = ['policy', '--help']\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )

    done = subprocess.run(  # noqa: S603  this interpreter and the text above
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stderr == "[]\n"


def test_the_version_is_that_of_the_distribution() -> None:
    ran = run_process("--version")

    assert (ran.code, ran.out) == (0, f"northgate {version('northgate')}\n")


def test_wrong_usage_is_told_on_stderr_with_code_2() -> None:
    ran = run_process("policy", "query")

    assert (ran.code, ran.out) == (2, "")
    assert "Missing argument" in ran.err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("check",), 0),
        (("test",), 0),
        (("query", 'allow(Client{"1"}, "call", t)'), 0),
        (("explain", 'allow(Client{"a"}, "call", Tool{"x"})'), 1),
        (("fmt", "--check"), 0),
    ],
)
def test_a_process_ends_with_the_code_of_the_command(
    tmp_path: Path, args: tuple[str, ...], code: int
) -> None:
    policy = written(tmp_path / "a.polar", TYPES)
    facts = written(tmp_path / "facts", many_facts(3))
    name, *rest = args
    given: list[str | Path] = ["--facts", facts] if name in {"query", "explain"} else []

    ran = run_process("policy", name, policy, *rest, *given)

    assert (ran.code, ran.err) == (code, "")
    assert ran.out


def test_a_diff_ends_with_the_code_it_is_told(tmp_path: Path) -> None:
    old = written(tmp_path / "old.polar", TYPES)
    new = written(tmp_path / "new.polar", TYPES + 'has_permission(_: Client, "list", _: Tool);')

    ran = run_process("policy", "diff", old, new, "--fail-on", "gained")

    assert (ran.code, ran.err) == (1, "")
    assert "any Client" in ran.out


def test_lines_are_neither_folded_nor_coloured_where_no_terminal_is(tmp_path: Path) -> None:
    path = written(tmp_path / ("long" * 40) / "a.polar", TYPES.replace('"caller";', '"callr";'))

    ran = run_process("policy", "check", path, COLUMNS="40", TERM="xterm", FORCE_COLOR="1")

    assert ran.lines[0].startswith(f"{path}:5:13: error[undeclared-word]: ")
    assert ran.lines[0].endswith(".")
    assert "\x1b" not in ran.out


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_they_are_unwanted(
    tmp_path: Path, no_color: str, *, coloured: bool
) -> None:
    path = written(tmp_path / "a.polar", TYPES.replace('"caller";', '"callr";'))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}

    shown = on_a_terminal(command("policy", "check", path), environment)

    assert ("31m" in shown) is coloured
    assert "undeclared-word" in shown


def on_a_terminal(args: list[str], environment: dict[str, str]) -> str:
    """Return what a process writes to a terminal of its own."""
    ours, its = pty.openpty()
    with subprocess.Popen(args, stdout=its, env=environment) as process:  # noqa: S603  ours
        os.close(its)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:
            # What a terminal says when its last process has gone.
            pass
        finally:
            os.close(ours)
        process.wait()
    return shown.decode()


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_goes_away_is_no_reason_to_complain(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    policy = written(tmp_path / "a.polar", TYPES)
    facts = written(tmp_path / "facts", many_facts(4000))
    args = command("policy", "query", policy, "allow(c, a, t)", "--facts", facts, *options)

    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()

    assert (process.returncode, complaint) == (141, b"")


FAULTY = """\
import sys
from proxy.cli.main import app, main

@app.command()
def fail():
    raise RuntimeError("a fault of ours")

sys.argv[1:] = ["fail"]
main()
"""


def test_a_fault_of_ours_does_not_pass_for_the_answer_no() -> None:
    done = subprocess.run(  # noqa: S603  this interpreter and the text above
        [sys.executable, "-c", FAULTY], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("RuntimeError: a fault of ours\n")


INTERRUPTIBLE = """\
import signal, sys
from proxy.cli.main import main
# Whoever runs the tests may ignore interrupts, and their children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def test_an_interrupt_ends_the_command_without_a_word(tmp_path: Path) -> None:
    policy = written(tmp_path / "a.polar", TYPES)
    facts = written(tmp_path / "facts", many_facts(4000))
    args = ["policy", "query", str(policy), "allow(c, a, t)", "--facts", str(facts)]

    with subprocess.Popen(  # noqa: S603  this interpreter and the text above
        [sys.executable, "-c", INTERRUPTIBLE, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        # There is more to come than a pipe holds, so the command cannot have ended.
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        shown, complaint = process.communicate(timeout=60)

    assert (process.returncode, complaint) == (130, b"")
    assert len(shown.splitlines()) < 8000


def test_text_that_the_encoding_lacks_is_spelt_out(tmp_path: Path) -> None:
    policy = written(tmp_path / "a.polar", TYPES)
    facts = written(tmp_path / "facts", 'has_role(Client{"日本"}, "caller", Tool{"x"});')

    ran = run_process(
        "policy", "query", policy, 'allow(c, "call", t)', "--facts", facts,
        PYTHONIOENCODING="ascii",
    )  # fmt: skip

    assert (ran.code, ran.lines[1]) == (0, 'Client{"\\u65e5\\u672c"}  Tool{"x"}')
