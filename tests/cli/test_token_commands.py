"""`northgate init-server`, `token` and `admin recover`, as processes, against a control plane."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from proxy.cli.control import credentials as files
from proxy.cli.control import offline
from proxy.cli.control.api import Api, checked_url
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.cli.control.tokens import revoke, seconds
from proxy.identity.compact import canonical_text
from proxy.identity.keyring import Plane
from proxy.identity.sealing import Secret
from tests.admin.controlled import ADMIN, AUDITOR, PUBLIC, ROOT, Controlled, controlling
from tests.cli.running import Ran, run_forked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Terminal:
    """A user's terminal: a home of its own, and a running control plane to talk to."""

    home: Path
    controlled: Controlled

    @property
    def credentials(self) -> Path:
        return self.home / "northgate" / "credentials.json"

    async def run(self, *args: str | Path, stdin: str = "") -> Ran:
        return await asyncio.to_thread(northgate, self.home, *args, stdin=stdin)

    async def log_in(self, token: str | None = None) -> None:
        """Keep credentials without spending a secret."""
        files.prepare(self.credentials)
        text = self.controlled.token() if token is None else token
        files.save(self.credentials, Credentials(self.controlled.url, Secret(text.encode())))


def northgate(home: Path, *args: str | Path, stdin: str = "") -> Ran:
    return run_forked(*args, stdin=stdin, XDG_CONFIG_HOME=str(home))


def at_terminal(tmp_path: Path, story: Callable[[Terminal], Awaitable[T]]) -> T:
    async def run() -> T:
        async with controlling(tmp_path / "data") as controlled:
            return await story(Terminal(tmp_path / "home", controlled))

    return asyncio.run(run())


def test_from_the_secret_to_a_token_of_a_client_that_is_then_revoked(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> tuple[list[Ran], int, list[str]]:
        controlled = terminal.controlled
        secret = (await controlled.bootstrap.begin()).reveal().decode()
        ran = [
            await terminal.run("init-server", "--url", controlled.url, "--secret", secret),
            await terminal.run("token", "issue", "ci", "--ttl", "30m", "--scope", "read"),
        ]
        verifier = controlled.planes[Plane.DATA].verifier
        principal = verifier.verify(ran[1].out.strip(), {PUBLIC})
        ran.append(await terminal.run("token", "list", "--subject", "client:ci"))
        ran.append(await terminal.run("token", "revoke", principal.token_id))
        ran.append(await terminal.run("token", "list", "--json"))
        mode = stat.S_IMODE(terminal.credentials.stat().st_mode)
        return ran, mode, [secret, principal.token_id]

    [begun, issued, listed, revoked, all_], mode, [secret, token_id] = at_terminal(tmp_path, story)

    assert [one.code for one in (begun, issued, listed, revoked, all_)] == [0] * 5
    assert mode == 0o600
    assert "You are the administrator of" in begun.out
    assert secret not in begun.out + begun.err
    assert len(issued.lines) == 1
    assert f"Token {token_id} of client:ci, for {PUBLIC}, until " in issued.err
    assert issued.out.strip() not in issued.err
    assert [line.split()[:3] for line in listed.lines] == [
        ["ID", "SUBJECT", "PLANE"],
        [token_id, "client:ci", "data"],
    ]
    assert "is revoked since" in revoked.out
    assert {one["token_id"]: one["revoked_by"] for one in all_.document["tokens"]}[token_id] == (
        "User:admin"
    )


def test_a_lost_token_is_replaced_on_the_machine_itself(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> tuple[Ran, Ran, Ran]:
        data, url = terminal.controlled.directory, terminal.controlled.url
        recovered = await terminal.run("admin", "recover", "--config", settled(data))
        given = recovered.out
        begun = await terminal.run("init-server", "--url", f"{url}/", "--json", stdin=given)
        return recovered, begun, await terminal.run("token", "issue", "ci", "--json")

    recovered, begun, issued = at_terminal(tmp_path, story)

    assert (recovered.code, begun.code, issued.code) == (0, 0, 0)
    assert len(recovered.lines) == 1
    assert "northgate init-server" in recovered.err
    assert begun.document["subject"] == "user:admin"
    assert "token" not in begun.document
    assert issued.document["audience"] == PUBLIC


def written(data: Path, directory: Path) -> Path:
    """Write the settings of a gateway whose data are in *data*."""
    settings = directory / "northgate.toml"
    settings.write_text(f"data_dir = {json.dumps(str(data))}\n")
    return settings


def settled(data: Path) -> Path:
    """Write what a gateway in *data* has beside its database, and return its settings."""
    (data / "mode").write_text("enterprise\n")
    (data / "master.key").write_text(canonical_text(bytes(range(32))))
    (data / "master.key").chmod(0o600)
    return written(data, data.parent)


async def not_recovered(config: Path, **environ: str) -> tuple[str, str]:
    with pytest.raises(CommandError) as caught:
        await asyncio.to_thread(offline.recover, config, environ, json=True)
    assert caught.value.exit_code == Code.UNUSABLE
    return caught.value.code, caught.value.message


def test_with_another_master_key_or_none_nothing_is_recovered(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> tuple[list[tuple[str, str]], bool]:
        data = terminal.controlled.directory
        config = settled(data)
        other = canonical_text(b"x" * 32)
        told = [await not_recovered(config, NORTHGATE_MASTER_KEY=other)]
        (data / "master.key").unlink()
        told.append(await not_recovered(config))
        return told, await terminal.controlled.bootstrap.is_open()

    [other, none], is_open = at_terminal(tmp_path, story)

    assert (other[0], none[0], is_open) == ("bad-master-key", "no-master-key", False)
    assert "Put the right master key back" in other[1]


def test_where_no_gateway_ever_was_nothing_is_recovered(tmp_path: Path) -> None:
    data = tmp_path / "data"
    nowhere = northgate(tmp_path, "admin", "recover", "--config", written(data, tmp_path))
    is_made = data.exists()
    data.mkdir()
    empty = asyncio.run(not_recovered(settled(data)))

    assert (nowhere.code, nowhere.out, is_made) == (2, "", False)
    assert "is not the data directory of a gateway" in nowhere.err
    assert empty == ("no-gateway", "No gateway has started on this database.")


def test_without_credentials_the_next_step_is_named(tmp_path: Path) -> None:
    ran = northgate(tmp_path, "token", "list", "--json")

    assert ran.code == 2
    assert ran.document["errors"][0]["code"] == "no-credentials"
    assert "northgate init-server" in ran.document["errors"][0]["hint"]
    assert "northgate init-server" in ran.err


def test_an_auditor_learns_which_action_he_lacks_and_where_to_read_of_it(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> tuple[Ran, Any]:
        await terminal.log_in(terminal.controlled.token(AUDITOR))
        ran = await terminal.run("token", "issue", "ci", "--json")
        return ran, terminal.controlled.records("decision")[0]

    ran, record = at_terminal(tmp_path, story)

    assert ran.code == 1
    assert ran.document["errors"][0]["action"] == "issue_tokens"
    assert ran.document["errors"][0]["decision_id"] == record.id
    assert record.id in ran.err


def test_a_user_and_every_mistake_of_a_wish_reach_the_gateway(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> tuple[Ran, Ran]:
        await terminal.log_in()
        good = await terminal.run("token", "issue", "eve", "--user", "--audience", ADMIN, "--json")
        wrong = ("--ttl", "9", "--audience", "http://evil.example")
        return good, await terminal.run("token", "issue", "ci", *wrong)

    good, bad = at_terminal(tmp_path, story)

    assert (good.code, good.document["subject"]) == (0, "user:eve")
    assert bad.code == 2
    assert bad.out == ""
    assert "ttl_seconds: " in bad.err
    assert "audience: " in bad.err


async def _refused(url: str, token: str | None, *call: str) -> CommandError:
    """Return what a person is told of *call*: method, path and maybe a secret."""
    method, path, *secret = call
    document = {"secret": secret[0]} if secret else None
    api = Api(url, None if token is None else Secret(token.encode()))
    with pytest.raises(CommandError) as caught:
        await asyncio.to_thread(api.call, method, path, document=document)
    return caught.value


def test_each_failure_has_its_code_and_a_next_step(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> list[tuple[str, Code, str]]:
        controlled = terminal.controlled
        url, token = controlled.url, controlled.token(ROOT)
        used_up = await _refused(url, None, "POST", "/init", "x")
        await controlled.bootstrap.begin()
        told = [
            await _refused(url, "a.b.c", "GET", "/api/v0/tokens"),
            await _refused(url, token, "DELETE", "/api/v0/tokens/none"),
            await _refused(url, None, "POST", "/init", "x"),
            used_up,
            await _refused("http://127.0.0.1:1", token, "GET", "/api/v0/tokens"),
            await _refused(url.replace("127.0.0.1", "127.0.0.2"), token, "GET", "/health"),
            await _refused(f"{url}/health", token, "GET", "?x=1"),
        ]
        return [(one.code, one.exit_code, one.message + one.hint) for one in told]

    told = at_terminal(tmp_path, story)

    assert [(code, exit_code) for code, exit_code, _ in told] == [
        ("unauthorized", Code.NO),
        ("unknown-token", Code.NO),
        ("wrong-secret", Code.NO),
        ("already-initialised", Code.NO),
        ("not-reachable", Code.UNUSABLE),
        ("not-reachable", Code.UNUSABLE),
        ("invalid", Code.UNUSABLE),
    ]
    steps = ("admin recover", "token list", "admin recover", "admin recover", "northgate serve")
    assert all(step in text for step, (_, _, text) in zip(steps, told, strict=False))


async def _answering(raw: bytes, ask: Callable[[str], Awaitable[T]]) -> T:
    """Return what *ask* makes of a server that gives the answer *raw* to everything."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        return await ask(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n", "not-northgate"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not-northgate"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "not-northgate"),
        (b'HTTP/1.1 421 Misdirected\r\nContent-Length: 12\r\n\r\n{"error":{}}', "not-northgate"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "no-answer"),
        (b"nonsense\r\n\r\n", "no-answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 5_000_000, "no-answer"),
    ],
)
def test_whatever_is_not_a_control_plane_is_recognised(raw: bytes, code: str) -> None:
    told = asyncio.run(_answering(raw, lambda url: _refused(url, "t", "GET", "/api/v0/tokens")))

    assert (told.code, told.exit_code) == (code, Code.UNUSABLE)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://gateway.example:8081", "unsafe-url"),
        ("http://localhost.example:8081", "unsafe-url"),
        ("http://10.0.0.1", "unsafe-url"),
        ("http://127.0.0.1@gateway.example", "bad-url"),
        ("https://user:pass@gateway.example", "bad-url"),
        ("https://gateway.example?x=1", "bad-url"),
        ("https://gateway.example#x", "bad-url"),
        ("ftp://localhost", "unsafe-url"),
        ("localhost:8081", "bad-url"),
        ("http://localhost:99999", "bad-url"),
        ("https://gäteway.example", "bad-url"),
        ("", "bad-url"),
    ],
)
def test_the_token_goes_to_no_address_where_others_could_read_it(url: str, code: str) -> None:
    with pytest.raises(CommandError) as caught:
        checked_url(url)

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://localhost:8081/", "http://localhost:8081"),
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081"),
        ("http://[::1]:8081", "http://[::1]:8081"),
        ("https://gateway.example/control/", "https://gateway.example/control"),
    ],
)
def test_this_machine_and_https_are_talked_to(url: str, kept: str) -> None:
    assert checked_url(url) == kept


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a?b", "a b", "ä", "a" * 129])
def test_a_name_that_no_route_takes_is_not_sent(name: str) -> None:
    nowhere = Credentials("http://127.0.0.1:1", Secret(b"t"))

    with pytest.raises(CommandError) as caught:
        revoke(nowhere, name, json=False)

    assert caught.value.code == "bad-name"


@pytest.mark.parametrize(
    ("text", "wanted"), [("90", 90), ("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)]
)
def test_a_time_to_live_is_read_in_its_unit(text: str, wanted: int) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "h", "1w", "-1", "1.5h", "12H", "1h30m", " 1", "\uff11"])
def test_any_other_time_to_live_is_refused(text: str) -> None:
    with pytest.raises(CommandError):
        seconds(text)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": "http://localhost:1"}', "é"])
def test_credentials_that_are_damaged_are_named_as_such(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)

    with pytest.raises(CommandError) as caught:
        files.load(path)

    assert caught.value.code == "bad-credentials"
    assert str(path) in caught.value.message


def test_credentials_that_others_may_read_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    files.save(path, Credentials("http://localhost:1", Secret(b"canary")))
    path.chmod(0o640)

    with pytest.raises(CommandError) as caught:
        files.load(path)

    assert caught.value.code == "unsafe-credentials"
    assert "chmod 600" in caught.value.message


def test_credentials_come_back_as_they_were_kept_and_do_not_show_the_token(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    files.save(path, Credentials("http://localhost:1", Secret(b"canary")))

    found = files.load(path)

    assert (found.url, found.token.reveal()) == ("http://localhost:1", b"canary")
    assert "canary" not in repr(found)


def test_no_secret_is_spent_where_the_token_could_not_be_kept(tmp_path: Path) -> None:
    async def story(terminal: Terminal) -> tuple[Ran, bool]:
        controlled = terminal.controlled
        secret = (await controlled.bootstrap.begin()).reveal().decode()
        ran = await terminal.run(
            "init-server", "--url", controlled.url, "--secret", secret, "--credentials", tmp_path
        )
        return ran, await controlled.bootstrap.is_open()

    ran, is_open = at_terminal(tmp_path, story)

    assert ran.code == 2
    assert "--credentials" in ran.err
    assert is_open


@pytest.mark.parametrize(
    ("home", "wanted"),
    [
        ("/x/y", "/x/y/northgate/credentials.json"),
        ("", "~/.config/northgate/credentials.json"),
        ("relative", "~/.config/northgate/credentials.json"),
    ],
)
def test_the_credentials_are_where_the_xdg_specification_puts_them(home: str, wanted: str) -> None:
    assert files.place(None, {"XDG_CONFIG_HOME": home}) == Path(wanted).expanduser()
    assert files.place(Path("mine"), {"XDG_CONFIG_HOME": home}) == Path("mine")
