"""`northgate list tools`, `usage`, `invoke`, `get` and `enable`: what is sent, said and saved."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.invoking import Reading, Rendering, ToolCall
from proxy.admin.routes import Output
from proxy.admin.server_outputs import Names, PromptsPage, ResourcesPage, ToolDocument, ToolsPage
from proxy.admin.toggles import Switched
from tests.cli.answering import Answers, Desk, answering

PIXEL = b"\x89PNG\r\n\x1a\n\x00"
SHORT: dict[str, Any] = {
    "name": "github__search",
    "server": "github",
    "enabled": True,
    "state": "approved",
    "description": "Searches.\n\tAll\x1b[31m of it.",
    "input_schema": {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What\nfor"},
            "sort": {"enum": ["new", "old"]},
        },
        "required": ["query"],
    },
    "annotations": {"readOnlyHint": True},
    "title": "Search",
}
LONG = SHORT | {
    "name": "github__odd",
    "state": "changed",
    "description": None,
    "input_schema": {
        "type": "object",
        "properties": {
            "filter": {"type": "object", "properties": {"deep": {"type": "integer"}}},
            "tags": {"type": "array", "items": {"type": "string"}},
            "either": {"type": ["string", "null"]},
            "true": True,
        },
    },
}
PROMPT = {
    "name": "github__review",
    "server": "github",
    "enabled": False,
    "state": "approved",
    "description": "Reviews",
}
README = {
    "uri": "github|file:///readme.md",
    "name": "readme",
    "server": "github",
    "enabled": True,
    "state": "approved",
    "description": None,
    "mime_type": "text/markdown",
}
API = "/api/v0"


def result(*content: object, **more: object) -> tuple[int, Any]:
    return 200, {"content": list(content), **more}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(data: bytes, media: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "data": base64.b64encode(data).decode(), "mimeType": media}


def asked(home: Path, line: str | list[str], answers: Answers, stdin: str = "") -> tuple[Any, Desk]:
    with answering(home, answers) as desk:
        return desk.run(line, stdin), desk


@pytest.mark.parametrize(
    ("noun", "one", "page", "head"),
    [
        ("tool", SHORT, ToolsPage, ["NAME", "STATE", "DESCRIPTION"]),
        ("prompt", PROMPT, PromptsPage, ["NAME", "STATE", "DESCRIPTION"]),
        ("resource", README, ResourcesPage, ["URI", "STATE", "DESCRIPTION"]),
    ],
)
def test_what_servers_offer_is_listed(
    tmp_path: Path, noun: str, one: dict[str, Any], page: type[Output], head: list[str]
) -> None:
    document = {f"{noun}s": [one], "next": None}
    page.model_validate(document)
    with answering(tmp_path, {f"GET {API}/{noun}s": (200, document)}) as desk:
        listed = desk.run(f"list {noun}s --server github")
        plain = desk.run(f"list {noun}s --json").document

    assert [one.parameters for one in desk.asked] == [
        {"server": "github", "limit": "500"},
        {"limit": "500"},
    ]
    assert [line.split()[:3] for line in listed.lines[:1]] == [head]
    assert listed.lines[1].split()[:2] == [
        one.get("uri", one["name"]),
        "enabled" if one["enabled"] else "disabled",
    ]
    assert plain == {f"{noun}s": [one]}


def test_usage_tells_in_words_what_a_tool_takes(tmp_path: Path) -> None:
    ToolDocument.model_validate(SHORT, strict=True)
    done, desk = asked(tmp_path, "usage github__search", {f"GET {API}/tool": (200, SHORT)})

    assert desk.asked[0].parameters == {"name": "github__search"}
    assert done.lines == [
        "github__search: Search",
        "",
        "Searches.",
        "        All\\u{1b}[31m of it.",
        "",
        "What it takes:",
        "  ARGUMENT  TYPE                       DESCRIPTION",
        "  query     string           required  What for",
        "  sort      one of new, old  optional",
        "",
        "What the server says of it:",
        "  readOnlyHint  yes",
        "",
        "Next: northgate invoke github__search --input JSON",
    ]


def test_usage_shows_a_schema_whole_that_words_do_not_cover_and_what_stands_in_the_way(
    tmp_path: Path,
) -> None:
    done, _ = asked(tmp_path, "usage github__odd", {f"GET {API}/tool": (200, LONG)})

    rows = [line.split() for line in done.lines]
    assert ["filter", "object", "optional"] in rows
    assert ["tags", "list", "of", "string", "optional"] in rows
    assert ["either", "string", "or", "null", "optional"] in rows
    assert ["true", "any", "optional"] in rows
    assert '"deep": {' in done.out
    assert "It is changed: see northgate definition list." in done.out
    bare = LONG | {"enabled": False, "input_schema": None, "annotations": None}
    done, _ = asked(tmp_path, "usage github__odd", {f"GET {API}/tool": (200, bare)})
    assert "It is disabled: nobody may call it." in done.out
    assert "It takes no arguments." in done.out


@pytest.mark.parametrize("way", ["text", "file", "pipe", "none"])
def test_arguments_come_as_text_from_a_file_or_from_a_pipe(tmp_path: Path, way: str) -> None:
    given = '{"name": "mine", "deep": {"a": [1, "é"]}}'
    file = tmp_path / "input.json"
    file.write_text(given, encoding="utf-8")
    forms = {"text": given, "file": f"@{file}", "pipe": "-", "none": "{}"}
    more = [] if way == "none" else ["--input", forms[way]]
    answers = {f"POST {API}/tools/invoke": result(text("done"))}
    done, desk = asked(tmp_path, ["invoke", "github__search", *more], answers, stdin=given)

    arguments = {} if way == "none" else json.loads(given)
    assert desk.asked[0].document == {"name": "github__search", "arguments": arguments}
    ToolCall.model_validate(desk.asked[0].document)
    assert (done.code, done.out, done.err) == (0, "done\n", "")


@pytest.mark.parametrize("given", ["", "[]", "{", "null", "@absent", '"x"'])
def test_what_are_no_arguments_is_not_sent(tmp_path: Path, given: str) -> None:
    done, desk = asked(tmp_path, ["invoke", "github__search", "--input", given, "--json"], {})

    assert (done.code, desk.asked) == (2, [])
    assert done.document["errors"][0]["code"] in {"bad-input", "no-file"}


def test_text_is_shown_structure_too_unless_it_is_the_same_and_nothing_steers_the_terminal(
    tmp_path: Path,
) -> None:
    path = f"POST {API}/tools/invoke"
    differs = {path: result(text("a\x1b[2J\nb"), structuredContent={"n": 1, "é": 2})}
    done, _ = asked(tmp_path, "invoke github__search", differs)
    assert done.lines == ["a\\u{1b}[2J", "b", "{", '  "n": 1,', '  "\\u00e9": 2', "}"]

    same = {path: result(text('{"n":1}'), structuredContent={"n": 1})}
    done, _ = asked(tmp_path, "invoke github__search", same)
    assert done.out == '{"n":1}\n'

    whole = {path: result(text("x"), _meta={"a/b": 1}, isError=False)}
    done, _ = asked(tmp_path, "invoke github__search --json", whole)
    assert done.document == whole[path][1]


def test_a_tool_that_reports_an_error_is_an_answer_no(tmp_path: Path) -> None:
    answers = {f"POST {API}/tools/invoke": result(text("Rate limit"), isError=True)}
    done, _ = asked(tmp_path, "invoke github__search", answers)

    plain, _ = asked(tmp_path, "invoke github__search --json", answers)

    assert (done.code, done.out) == (1, "Rate limit\n")
    assert (plain.code, plain.document["isError"]) == (1, True)
    assert "error[tool-failed]: The tool reports an error." in done.err


def test_what_is_no_text_is_saved_and_never_over_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here := tmp_path / "here").mkdir()
    (here / "github__shot-1.png").write_bytes(b"mine")
    (here / "github__shot-2.png").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(here)
    blob = {"type": "resource", "resource": {"uri": "x:y", "blob": "AAE="}}
    audio = image(b"ogg", "audio/ogg; codecs=opus") | {"type": "audio"}
    link = {"type": "resource_link", "uri": "file:///x", "name": "x"}
    odd = image(b"?", "../../etc")
    answers = {f"POST {API}/tools/invoke": result(image(PIXEL), blob, audio, link, odd)}
    done, _ = asked(tmp_path, "invoke github__shot", answers)

    assert done.code == 0, done.err
    assert sorted(os.listdir(here)) == [  # noqa: PTH208  names alone
        "github__shot-1.bin",
        "github__shot-1.oga",
        "github__shot-1.png",
        "github__shot-2.bin",
        "github__shot-2.png",
        "github__shot-3.png",
    ]
    assert (here / "github__shot-1.png").read_bytes() == b"mine"
    assert not (tmp_path / "elsewhere").exists()
    assert (here / "github__shot-3.png").read_bytes() == PIXEL
    assert (here / "github__shot-1.bin").read_bytes() == b"\x00\x01"
    assert "image/png, 9 bytes, is in github__shot-3.png" in done.err
    assert done.out == "See file:///x\n"

    done, _ = asked(tmp_path, "invoke github__shot --output a/b", answers)
    assert (here / "a" / "b" / "github__shot-1.png").read_bytes() == PIXEL
    wrong = {f"POST {API}/tools/invoke": result(image(b"") | {"data": "%%"})}
    done, _ = asked(tmp_path, "invoke github__shot", wrong)
    assert (done.code, "error[bad-content]" in done.err) == (2, True)


def test_a_prompt_and_a_resource_are_got(tmp_path: Path) -> None:
    message = {"role": "user", "content": text("Review x")}
    answers = {
        f"POST {API}/prompts/render": (200, {"description": "Reviews", "messages": [message]}),
        f"POST {API}/resources/get": (200, README),
        f"POST {API}/resources/read": (
            200,
            {"contents": [{"uri": "file:///readme.md", "text": "# Hi"}]},
        ),
    }
    with answering(tmp_path, answers) as desk:
        prompt = desk.run(["get", "prompt", "github__review", "--arg", "pr=7", "--arg", "x=a=b"])
        known = desk.run("get resource github|file:///readme.md")
        held = desk.run("get resource github|file:///readme.md --read")
        wrong = desk.run("get prompt github__review --arg pr")

    sent = [one.document for one in desk.asked]
    Rendering.model_validate(sent[0], strict=True)
    Reading.model_validate(sent[2], strict=True)
    assert sent[0] == {"name": "github__review", "arguments": {"pr": "7", "x": "a=b"}}
    assert sent[1] == sent[2] == {"uri": "github|file:///readme.md"}
    assert prompt.lines == ["Reviews", "", "user:", "Review x"]
    assert ["mime", "type", "text/markdown"] in map(str.split, known.lines)
    assert held.out == "# Hi\n"
    assert (wrong.code, len(sent)) == (2, 3)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("enable tool github__search", f"{API}/tools/enable"),
        ("disable prompt github", f"{API}/prompts/disable"),
        ("disable github__search", f"{API}/tools/disable"),
        ("enable github", f"{API}/tools/enable"),
    ],
)
def test_what_servers_offer_is_switched_off_and_on(tmp_path: Path, line: str, path: str) -> None:
    answer = {"names": ["github__a", "github__b"]}
    Names.model_validate(answer)
    words = [*line.split(), "--why", "so"]
    done, desk = asked(tmp_path, words, {f"POST {path}": (200, answer)})

    sent = desk.asked[0]
    assert (sent.what, sent.document) == (
        f"POST {path}",
        {"entity": line.rsplit(maxsplit=1)[-1], "why": "so"},
    )
    Switched.model_validate(sent.document)
    verb = line.split(maxsplit=1)[0]
    noun = "prompt" if "prompt" in line else "tool"
    assert done.lines == [f"{verb.capitalize()}d: 2 {noun}s.", "  github__a", "  github__b"]


@pytest.mark.parametrize(
    ("status", "said", "code", "words"),
    [
        (404, {"error": "No such tool.", "code": "unknown-tool"}, 1, "northgate list tools"),
        (
            403,
            {"error": "-", "code": "not-allowed", "action": "call", "decision_id": "d-1"},
            1,
            "The record tells more about the decision d-1.",
        ),
        (
            422,
            {"error": "Refused.", "code": "refused-by-server", "message": "no \x1b[0mquery"},
            2,
            "Refused. It says: no \\u{1b}[0mquery",
        ),
        (504, {"error": "Too late.", "code": "late-answer"}, 2, "Too late."),
    ],
)
def test_a_call_that_is_not_made_says_why(
    tmp_path: Path, status: int, said: dict[str, str], code: int, words: str
) -> None:
    done, _ = asked(tmp_path, "invoke github__search", {f"POST {API}/tools/invoke": (status, said)})

    assert (done.code, done.out) == (code, "")
    assert words in done.err
