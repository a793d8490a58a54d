"""`northgate quickstart`: what it shows is true, and what it hands over works."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from proxy.cli.quickstart import texts
from proxy.cli.quickstart.run import run
from proxy.config import load
from storage.journal import Kind, read, verify
from tests.cli.running import Ran, command, run_forked, run_process
from tests.cli.started import PLACED, Started, free_ports, started, started_anew

SEEN: Final = {"list_notes", "add_note", "fetch_page"}
QUOTED: Final = re.compile(r"^(?:  \w[\w ]{7}|\s{11})(\w+\.polar):(\d+) +(.+)$", re.MULTILINE)
RECORD: Final = re.compile(r"^  record   ([0-9a-f-]{36})  (allow|deny), (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Shown:
    ran: Ran
    directory: Path

    def step(self, number: int) -> str:
        _, _, rest = self.ran.out.partition(f"\n{number}. ")
        return rest.partition("\n\n")[0]

    @property
    def policies(self) -> Path:
        return self.directory / "data" / "policies"


def shown_in(directory: Path, *args: str) -> Shown:
    return Shown(run_forked("quickstart", "--exit", "--dir", directory, *args), directory)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    port = str(free_ports(1)[0])
    directory = tmp_path_factory.mktemp("shown") / "place"
    ran = run_process("quickstart", "--exit", "--dir", directory, "--port", port)
    return Shown(ran, directory)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def live(here: Path) -> Iterator[Started]:
    port = str(free_ports(1)[0])
    with started_anew("quickstart", "--port", port, cwd=here) as running:
        running.out.until(r"^What to try next:(\n.+)+\n.*policy test.*\n")
        yield running


def test_the_demonstration_comes_out_as_it_should(shown: Shown) -> None:
    titles = re.findall(r"^\d\. ", shown.ran.out, re.MULTILINE)

    assert (shown.ran.code, shown.ran.err) == (0, "")
    assert titles == ["1. ", "2. ", "3. ", "4. ", "5. "]
    assert "WRONG" not in shown.ran.out


def test_the_demonstration_fits_a_terminal_of_eighty_columns(shown: Shown) -> None:
    lines = "\n".join(map(shown.step, range(1, 6))).splitlines()

    assert [line for line in lines if len(line) > 80] == []
    assert len(lines) < 60


def test_the_agent_does_not_see_the_tool_that_nobody_granted(shown: Shown) -> None:
    listed = dict(re.findall(r"^  (server|agent) +(.+)$", shown.step(1), re.MULTILINE))

    assert set(listed["server"].split()) == {*SEEN, "delete_all_notes"}
    assert set(re.findall(r"\w+", listed["agent"])) == SEEN


@pytest.mark.parametrize(
    ("step", "answer", "verdict"),
    [
        (2, "Noted: Northgate was here", "allow, granted"),
        (3, "error -32602: Unknown tool: delete_all_notes", "deny, not_visible"),
        (4, "error 40301: The policy does not allow this call.", "deny, no_rule"),
        (5, "would fetch https://docs.example.com/index.html", "allow, granted"),
    ],
)
def test_a_call_is_shown_with_its_answer_and_its_decision(
    shown: Shown, step: int, answer: str, verdict: str
) -> None:
    assert f"  answer   {answer}\n" in shown.step(step)
    assert re.search(rf"^  record   [0-9a-f-]{{36}}  {verdict}$", shown.step(step), re.MULTILINE)


def test_every_line_that_is_quoted_stands_in_the_policy_at_that_place(shown: Shown) -> None:
    quoted = QUOTED.findall(shown.ran.out)

    assert {"demo.polar", "allow.polar", "types.polar", "arguments.polar"} <= {
        file for file, *_ in quoted
    }
    for file, number, text in quoted:
        line = (shown.policies / file).read_text(encoding="utf-8").splitlines()[int(number) - 1]
        assert line.strip().startswith(text.removesuffix("…").strip())


def test_an_allow_names_the_fact_of_the_readers_own_file(shown: Shown) -> None:
    assert re.search(r"^  facts    demo\.polar:\d+ +has_role", shown.step(2), re.MULTILINE)
    assert "allowed_host(" in shown.step(5).partition("  facts ")[2]


@pytest.mark.parametrize(
    ("step", "lacking", "place"),
    [(3, "has_role(", "types.polar"), (4, "argument_host(", "arguments.polar")],
)
def test_a_denial_names_the_condition_that_failed_and_where_it_stands(
    shown: Shown, step: int, lacking: str, place: str
) -> None:
    text = shown.step(step)

    assert f"  why not  nothing says {lacking}" in text
    assert re.search(rf"^  where    {place}:\d+ .*{re.escape(lacking)}", text, re.MULTILINE)


def test_every_decision_that_is_shown_is_in_the_journal(shown: Shown) -> None:
    journal = shown.directory / "data" / "journal"
    kept = {
        record.id: (record.payload["verdict"], record.payload["reason"])
        for record in read(journal)
        if record.kind is Kind.DECISION
    }
    told = {id_: (verdict, reason) for id_, verdict, reason in RECORD.findall(shown.ran.out)}

    assert len(told) == 5
    assert told.items() <= kept.items()
    assert verify(journal).is_whole


def test_the_secret_of_the_first_start_is_told_once_and_kept_out_of_the_log(shown: Shown) -> None:
    secret = re.findall(r"--secret (\S+)", shown.ran.out)
    log = (shown.directory / "gateway.log").read_text(encoding="utf-8")

    assert len(secret) == 1
    assert secret[0] not in log
    assert "eyJ" not in log


def test_a_second_run_in_the_same_directory_shows_the_same(shown: Shown) -> None:
    second = shown_in(shown.directory)

    assert second.ran.code == 0
    assert second.step(4).partition("record")[0] == shown.step(4).partition("record")[0]
    assert "--secret" not in second.ran.out


def moved(shown: Shown, directory: Path, policy: str) -> Path:
    """Return *directory* with all that was *shown*, and *policy* as the reader edited it."""
    shutil.copytree(shown.directory, directory)
    settings = directory / "northgate.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace(str(shown.directory), str(directory)), encoding="utf-8")
    (directory / "data" / "policies" / "demo.polar").write_text(policy, encoding="utf-8")
    return directory


def test_a_step_that_comes_out_otherwise_is_marked_and_ends_with_1(
    shown: Shown, tmp_path: Path
) -> None:
    facts = texts.POLICY.partition("# Tests are part")[0]
    facts += 'has_role(Client{"demo-agent"}, "caller", Tool{"demo__delete_all_notes"});\n'

    ran = shown_in(moved(shown, tmp_path / "edited", facts)).ran

    assert (ran.code, ran.err) == (1, "")
    assert "  WRONG    the decision was to be deny, not_visible." in ran.lines
    assert "Not everything came out as it should." in ran.lines


def test_an_agent_that_may_do_nothing_is_told_so_without_a_traceback(
    shown: Shown, tmp_path: Path
) -> None:
    ran = shown_in(moved(shown, tmp_path / "edited", "# Nothing is granted.\n")).ran

    assert (ran.code, ran.err) == (1, "")
    assert [line for line in ran.lines if line.startswith("  WRONG    the agent was told: ")]


def test_a_reader_who_goes_away_is_no_fault(shown: Shown) -> None:
    with subprocess.Popen(  # noqa: S603  this interpreter and arguments of ours
        command("quickstart", "--exit", "--dir", shown.directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(timeout=60)

    assert (process.returncode, said) == (141, "")


def test_the_usual_ports_are_not_needed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for port in (8080, 8081):
            # Where somebody else has it already, it is as little free.
            with suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        ran = shown_in(tmp_path / "place").ran

    assert ran.code == 0
    assert re.search(
        r"^Taken already: port 8080 and 8081\. Agents connect to \d+,", ran.out, re.MULTILINE
    )


def test_a_port_that_was_taken_meanwhile_is_named(
    shown: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load(shown.directory / "northgate.toml", {})
    upstream = settings.upstreams["demo"].url
    assert upstream is not None
    ports = (settings.data.listen.port, settings.admin.listen.port, urlsplit(upstream).port)

    for port in ports:
        assert port is not None
        with socket.create_server(("127.0.0.1", port)):
            code = run(shown.directory, None, leave=True)

        out, err = capsys.readouterr()
        assert (code, out) == (2, "")
        assert f"Nothing can listen on 127.0.0.1:{port}: Address already in use." in err


def test_a_directory_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "precious.txt").write_text("mine", encoding="utf-8")

    assert run(tmp_path, None, leave=True) == 2
    assert "Choose another --dir." in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["precious.txt"]


def test_another_port_than_that_of_the_directory_is_refused(
    shown: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(shown.directory, 1, leave=True) == 2
    assert "Leave out --port" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_0_when_it_is_told_to_stop(tmp_path: Path, number: int) -> None:
    with started("quickstart", "--port", str(free_ports(1)[0]), cwd=tmp_path) as running:
        running.out.until(r"^What to try next:")

        assert running.stopped(number) == 0

    assert running.err.text == ""
    assert verify(tmp_path / "northgate-quickstart" / "data" / "journal").is_whole


def test_the_policy_that_it_writes_is_laid_out_as_the_formatter_has_it(tmp_path: Path) -> None:
    written = tmp_path / "demo.polar"
    written.write_text(texts.POLICY, encoding="utf-8")

    assert run_forked("policy", "fmt", "--check", written).code == 0


def endpoint(live: Started) -> tuple[str, str]:
    """Return URL and token as they were printed."""
    url = live.out.until(r"^  endpoint  (\S+)$")[1]
    token = live.out.until(r"^(eyJ\S+)$")[1]
    return url, token


def configuration(live: Started) -> dict[str, Any]:
    text = live.out.until(r"^\{\n(?:.*\n)*?\}$")[0]
    document: dict[str, Any] = json.loads(text)
    return document


async def asked(
    url: str, headers: dict[str, str], tool: str, arguments: dict[str, str]
) -> tuple[set[str], str]:
    """Return the tools that a client sees, and what it is told when it calls *tool*."""
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        names = {one.name for one in (await client.list_tools()).tools}
        try:
            result = await client.call_tool(tool, dict(arguments))
        except MCPError as error:
            return names, error.message
        return names, result.content[0].text  # type: ignore[union-attr]


def test_the_configuration_that_is_printed_works_in_another_process(live: Started) -> None:
    server = configuration(live)["mcpServers"]["demo"]

    names, said = asyncio.run(asked(server["url"], server["headers"], "add_note", {"text": "hi"}))

    assert server["type"] == "streamable-http"
    assert (names, said) == (SEEN, "Noted: hi")


def test_the_url_and_the_token_that_are_printed_are_those_of_the_configuration(
    live: Started,
) -> None:
    url, token = endpoint(live)
    server = configuration(live)["mcpServers"]["demo"]

    assert server["url"] == url
    assert server["headers"] == {"Authorization": f"Bearer {token}"}


def test_the_curl_line_asks_for_the_tools_when_a_shell_reads_it(live: Started) -> None:
    words = shlex.split(live.out.until(r"^curl .+$")[0])
    url = urlsplit(words[2])
    headers = dict(after.split(": ", 1) for word, after in pairwise(words) if word == "-H")
    connection = HTTPConnection(str(url.hostname), url.port, timeout=10)
    connection.request("POST", url.path, words[words.index("-d") + 1].encode(), headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    document = json.loads(re.sub(r"^(?:event|data): ?(?:message\n)?", "", body, flags=re.MULTILINE))

    assert words[:2] == ["curl", "-sS"]
    assert answer.status == 200
    assert {one["name"] for one in document["result"]["tools"]} == SEEN


def test_the_commands_to_try_next_work(live: Started, here: Path) -> None:
    told = live.out.text.partition("\nWhat to try next:\n")[2].partition("\n\n")[0]
    lines = re.findall(r"^  \S*northgate (.+)$", told, re.MULTILINE)

    for line in lines:
        done = subprocess.run(  # noqa: S603  what we print is what we run
            command(*shlex.split(line)), cwd=here, env=PLACED, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), line
    assert [line.split()[:2] for line in lines] == [
        ["record", "list"],
        ["record", "show"],
        ["policy", "explain"],
        ["policy", "test"],
    ]


def test_an_edit_of_the_policy_takes_effect_within_two_seconds(live: Started, here: Path) -> None:
    url, token = endpoint(live)
    policy = here / "northgate-quickstart" / "data" / "policies" / "demo.polar"
    text = policy.read_text(encoding="utf-8")
    said = len(live.out.text)

    def fetched() -> str:
        headers = {"Authorization": f"Bearer {token}"}
        page = {"url": "https://added.example.net/"}
        return asyncio.run(asked(url, headers, "fetch_page", page))[1]

    before = fetched()
    added = 'allowed_host(Tool{"demo__fetch_page"}, "added.example.net");\n'
    policy.write_text(text + added, encoding="utf-8")
    ends = time.monotonic() + 2.0
    after = fetched()
    while after == before and time.monotonic() < ends:
        after = fetched()
    policy.write_text(text, encoding="utf-8")

    assert before == "The policy does not allow this call."
    assert after == "would fetch https://added.example.net/"
    live.out.until(r"^The policy was edited, and the new one is in force\.$", said)


def test_an_edit_with_a_mistake_is_told_with_its_place_and_changes_nothing(
    live: Started, here: Path
) -> None:
    url, token = endpoint(live)
    policy = here / "northgate-quickstart" / "data" / "policies" / "demo.polar"
    text = policy.read_text(encoding="utf-8")
    said = len(live.out.text)

    policy.write_text(text + "has_role(;\n", encoding="utf-8")
    live.out.until(rf"^  demo\.polar:{text.count(chr(10)) + 1}:\d+", said)
    headers = {"Authorization": f"Bearer {token}"}
    names, answer = asyncio.run(asked(url, headers, "add_note", {"text": "still"}))
    policy.write_text(text, encoding="utf-8")

    assert (names, answer) == (SEEN, "Noted: still")
