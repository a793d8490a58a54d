"""`northgate login`, `logout`, `version` and the file `.env`."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.outputs import Metadata, WhoAmI
from proxy.cli.control import credentials as files
from proxy.cli.control.login import login
from proxy.config import SettingsError
from proxy.config.dotenv import read
from tests.admin.controlled import AUDITOR, controlling
from tests.cli.answering import TOKEN, Answers, answering, ran

WHO: dict[str, Any] = {
    "type": "User",
    "id": "ann",
    "issuer": "http://localhost:8081",
    "client": "ann",
    "token_id": "t-1",
    "acts_for": None,
    "audience": "http://localhost:8081",
    "expires_at": 1_800_000_000,
    "scope": [],
}
ANSWERS: Answers = {
    "GET /api/v0/whoami": (200, WHO),
    "GET /metadata": (200, {"version": "9.9"}),
}


OURS = ("NORTHGATE_DATA__LISTEN", "NORTHGATE_MODE", "NORTHGATE_DATABASE__URL")


def test_what_this_plane_answers_is_what_the_routes_promise() -> None:
    WhoAmI.model_validate(WHO, strict=True)
    Metadata.model_validate(ANSWERS["GET /metadata"][1], strict=True)


@pytest.mark.parametrize("way", ["argument", "dash", "pipe"])
def test_a_token_is_kept_for_its_owner_alone_once_the_gateway_knows_it(
    tmp_path: Path, way: str
) -> None:
    with answering(tmp_path, ANSWERS, logged_in=False) as desk:
        words = {"argument": ["of-mine"], "dash": ["-"], "pipe": []}[way]
        option = "--registry" if way == "dash" else "--url"
        done = desk.run(["login", *words, option, f"{desk.url}/"], stdin="of-mine\n")
        kept = files.load(desk.credentials)

    assert (kept.url, kept.token.reveal()) == (desk.url, b"of-mine")
    assert stat.S_IMODE(desk.credentials.stat().st_mode) == 0o600
    assert desk.asked[0].bearer == "Bearer of-mine"
    assert done.lines[0] == f"You are user:ann at {desk.url}."
    assert "2027-01-15T08:00:00Z" in done.lines[1]
    assert "of-mine" not in done.out + done.err


def test_another_login_is_at_the_same_gateway_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    refused = {"error": "This token is no good.", "code": "unauthorized"}
    with answering(tmp_path, {"GET /api/v0/whoami": (401, refused)}) as desk:
        done = desk.run("login other --json")
        odd = desk.run(["login", "two words"])
        none = desk.run("login", stdin="")
        kept = files.load(desk.credentials)

    assert (done.code, done.document["errors"][0]["code"]) == (1, "unauthorized")
    assert [one.bearer for one in desk.asked] == ["Bearer other"]
    assert (odd.code, none.code) == (2, 2)
    assert "two words" not in odd.err
    assert kept.token.reveal().decode() == TOKEN


def test_a_control_plane_that_is_real_takes_a_login(tmp_path: Path) -> None:
    async def story() -> tuple[str, str]:
        async with controlling(tmp_path / "data") as controlled:
            token = controlled.token(AUDITOR)
            path = tmp_path / "credentials.json"
            await asyncio.to_thread(login, controlled.url, token, path, json=True)
            return controlled.url, files.load(path).url

    url, kept = asyncio.run(story())

    assert url == kept


def test_logging_out_forgets_the_token_and_may_be_done_twice(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        done = [desk.run("logout"), desk.run("logout --json")]
        next_ = desk.run("list servers --json")

    assert [one.code for one in done] == [0, 0]
    assert done[1].document == {"credentials": str(desk.credentials), "removed": False}
    assert not desk.credentials.exists()
    assert next_.document["errors"][0]["code"] == "no-credentials"
    assert "northgate login" in next_.err


def test_versions_are_told_without_the_token_and_of_what_can_be_reached(tmp_path: Path) -> None:
    with answering(tmp_path, ANSWERS) as desk:
        both = desk.run("version --json")
        plain = desk.run("version")
        asked = [one.bearer for one in desk.asked]
    alone = ran(tmp_path, "version")
    short = ran(tmp_path, "-v")

    assert both.document["gateway"] == {"url": desk.url, "version": "9.9", "problem": None}
    assert short.out == f"northgate {both.document['command']}\n"
    assert plain.lines[2].split() == ["the", "gateway", "at", desk.url, "9.9"]
    assert asked == [None, None]
    assert alone.code == 0
    assert "not known: Nothing answers at" in alone.out


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("NORTHGATE_MODE=development", {"NORTHGATE_MODE": "development"}),
        ("export PORT = 9000  # mine", {"PORT": "9000"}),
        ("DATABASE_URL='postgres://u:a#b@h/d' # x", {"DATABASE_URL": "postgres://u:a#b@h/d"}),
        ('POSTGRES_PASSWORD="a \\"b\\"\\n$X"', {"POSTGRES_PASSWORD": 'a "b"\n$X'}),
        ("SERVER_MODE=a#b", {"SERVER_MODE": "a#b"}),
        ("SERVER_MODE=", {"SERVER_MODE": ""}),
        ("NORTHGATE_SET=here", {}),
        ("PATH=/evil\nLD_PRELOAD=x\nPYTHONPATH=y\nAWS_SECRET=z", {}),
        ("# PORT=1\n\nnonsense\nOTHER='", {}),
        ("PORT=1\nPORT=2\r\n", {"PORT": "2"}),
    ],
)
def test_dotenv_gives_our_variables_and_never_instead_of_real_ones(
    tmp_path: Path, text: str, found: dict[str, str]
) -> None:
    file = tmp_path / ".env"
    file.write_text(text, encoding="utf-8")

    assert read(file, {"NORTHGATE_SET": "there"}) == found


@pytest.mark.parametrize("text", ["PORT='1", 'A=b\nPORT="1', "PORT=1'2", 'PORT="a" b'])
def test_dotenv_with_a_value_of_ours_that_cannot_be_read_is_refused(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / ".env"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError, match=rf"\.env:{len(text.splitlines())}: "):
        read(file, {})


def test_a_gateway_reads_dotenv_where_it_starts_and_flags_go_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PORT=x\nSERVER_MODE=y\nSQLITE_DB_PATH=z\n", encoding="utf-8")
    theirs = ("PORT", "SERVER_MODE", "SQLITE_DB_PATH")
    for variable in (*theirs, *OURS):
        monkeypatch.setenv(variable, "")  # so that it is as it was when this ends
        monkeypatch.delenv(variable)
    # What keeps either from starting.
    monkeypatch.setenv("NORTHGATE_NO_SUCH", "1")

    served = ran(tmp_path, "serve")
    flags = f"--port 9001 --enterprise --sqlite-db-path {tmp_path / 'x.db'}"
    started = ran(tmp_path, f"start {flags}")

    assert (served.code, started.code) == (2, 2)
    assert all("NORTHGATE_NO_SUCH: " in one.err for one in (served, started))
    assert all(f"{one}: " in served.err for one in theirs[:2])
    assert not any(one in started.err for one in theirs)
    assert [os.environ[one] for one in OURS] == [
        "127.0.0.1:9001",
        "enterprise",
        f"sqlite:///{tmp_path / 'x.db'}",
    ]
