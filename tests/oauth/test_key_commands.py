"""`northgate key` against a running gateway, and `northgate admin rekey` while it is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.cli.control import credentials as files
from proxy.cli.control import offline
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import Code, CommandError
from proxy.identity.compact import canonical_text
from proxy.identity.sealing import MASTER_KEY_VARIABLE, Secret, master_key
from proxy.starting import NotStartableError
from tests.cli.running import Ran
from tests.cli.test_token_commands import northgate
from tests.gateway.harness import Rig, gateway
from tests.gateway.raw import asking
from tests.oauth.served import ask, basic, control_token, manage, new_secret, post, wanting

NEW = offline.NEW_MASTER_KEY_VARIABLE


def log_in(rig: Rig, home: Path, who: str = "admin") -> None:
    host, port = rig.gateway.control
    path = home / "northgate" / "credentials.json"
    files.prepare(path)
    token = Secret(control_token(rig, who).encode())
    files.save(path, Credentials(f"http://{host}:{port}", token))


async def call(rig: Rig, token: str) -> int:
    body, headers = asking("tools/list")
    return (await rig.post([("Authorization", f"Bearer {token}"), *headers], body)).status


def test_keys_are_listed_rotated_and_revoked_at_a_terminal(tmp_path: Path) -> None:
    home = tmp_path / "home"

    async def story() -> tuple[list[Ran], list[int]]:
        async with gateway(tmp_path) as rig:
            log_in(rig, home)

            async def run(*args: str, stdin: str = "") -> Ran:
                return await asyncio.to_thread(northgate, home, *args, stdin=stdin)

            token = rig.token()
            ran = [
                await run("key", "list"),
                await run("key", "rotate", "--algorithm", "ES256", "--json"),
            ]
            retired, active = ran[-1].document["keys"]
            assert (retired["state"], active["algorithm"]) == ("retired", "ES256")
            statuses = [await call(rig, token)]
            arguments = ("key", "revoke", retired["key_id"], "--why", "it leaked")
            ran.append(await run(*arguments, stdin="n\n"))
            statuses.append(await call(rig, token))
            ran.append(await run(*arguments, stdin="y\n"))
            statuses.append(await call(rig, token))
            ran.append(await run("key", "revoke", "none", "--why", "it leaked"))
            log_in(rig, home, "eve")
            ran.append(await run("key", "rotate"))
            return ran, statuses

    [listed, _, kept, revoked, unknown, refused], statuses = asyncio.run(story())

    assert [line.split()[0] for line in listed.lines] == ["PLANE", "data", "control"]
    assert (kept.code, kept.out) == (1, "")
    assert "All tokens of agents that this retired key signed end at once." in kept.err
    assert "error[not-revoked]" in kept.err
    assert (revoked.code, revoked.lines[1].split()[3]) == (0, "revoked")
    assert statuses == [200, 200, 401]
    assert (unknown.code, "error[unknown-key]" in unknown.err) == (1, True)
    assert (refused.code, "manage_keys" in refused.err) == (1, True)


def test_after_a_rekey_tokens_secrets_and_keys_are_as_they_were(tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def before() -> tuple[str, str, list[Any], Ran]:
        async with gateway(tmp_path) as rig:
            secret = await new_secret(rig)
            token = (await post(rig, wanting(), basic("ci", secret))).document["access_token"]
            listed = (await manage(rig, "GET", "keys")).document["keys"]
            args = ("admin", "rekey", "--config", tmp_path / "northgate.toml")
            return token, secret, listed, await asyncio.to_thread(northgate, tmp_path, *args)

    async def after(token: str, secret: str) -> tuple[list[int], list[Any]]:
        async with gateway(tmp_path) as rig:
            statuses = [await call(rig, token)]
            statuses.append((await post(rig, wanting(), basic("ci", secret))).status)
            return statuses, (await manage(rig, "GET", "keys")).document["keys"]

    token, secret, listed, refused = asyncio.run(before())
    old = master_key(data / "master.key", {})
    config = tmp_path / "northgate.toml"
    done = northgate(tmp_path, "admin", "rekey", "--config", config, "--json")
    new = master_key(data / "master.key", {})

    assert (refused.code, "error[running]" in refused.err) == (2, True)
    assert done.code == 0
    assert done.document == {
        "old": old.id,
        "new": new.id,
        "secrets": ["bootstrap", "checkpoint", "keyring:control", "keyring:data", "marking"],
    }
    assert old.id != new.id
    assert asyncio.run(after(token, secret)) == ([200, 200], listed)
    assert not (data / "master.key.next").exists()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the data directory of a gateway that ran once."""
    directory = tmp_path_factory.mktemp("stopped")

    async def run() -> None:
        async with gateway(directory):
            pass

    asyncio.run(run())
    return directory / "data"


def kept_in(data: Path) -> dict[str, str]:
    """Return what the database holds under the master key."""
    with closing(sqlite3.connect(data / "northgate.db")) as connection:
        return dict(connection.execute("SELECT name, content FROM secrets").fetchall())


def rekeyed(
    data: Path,
    environ: dict[str, str] | None = None,
    *,
    old: Path | None = None,
    new: Path | None = None,
) -> CommandError | None:
    try:
        offline.rekey(data.parent / "northgate.toml", old, new, environ or {}, json=True)
    except CommandError as error:
        return error
    return None


def key_file(path: Path, byte: int) -> Path:
    path.write_text(canonical_text(bytes([byte]) * 32) + "\n")
    path.chmod(0o600)
    return path


def test_the_new_key_may_be_in_a_file_or_in_a_variable(stopped: Path, tmp_path: Path) -> None:
    given = key_file(tmp_path / "given", 7)
    assert rekeyed(stopped, new=given) is None
    assert master_key(stopped / "master.key", {}).id == master_key(given, {}).id

    text = canonical_text(b"8" * 32)
    assert rekeyed(stopped, {NEW: text}) is None
    # The file is the old one still, for it is the variable that the gateway will be given.
    assert master_key(stopped / "master.key", {}).id == master_key(given, {}).id
    assert rekeyed(stopped, {MASTER_KEY_VARIABLE: text}) is None
    last = master_key(stopped / "master.key", {})
    assert rekeyed(stopped, old=given) is not None
    assert rekeyed(stopped, old=stopped / "master.key") is None
    assert master_key(stopped / "master.key", {}).id != last.id


def test_whoever_is_interrupted_goes_on_with_the_key_that_was_made(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = master_key(stopped / "master.key", {})

    def interrupted(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("proxy.cli.control.offline._put_in_place", interrupted)
        failed = rekeyed(stopped)
    assert failed is not None
    assert failed.code == "no-data-dir"
    assert master_key(stopped / "master.key", {}).id == old.id
    waiting = master_key(stopped / "master.key.next", {})

    assert rekeyed(stopped) is None
    assert master_key(stopped / "master.key", {}).id == waiting.id


def test_what_cannot_be_done_is_said_with_what_to_do(stopped: Path, tmp_path: Path) -> None:
    before = kept_in(stopped)
    elsewhere = tmp_path / "elsewhere" / "data"
    elsewhere.mkdir(parents=True)
    settings = f"data_dir = {json.dumps(str(elsewhere))}\n"
    (elsewhere.parent / "northgate.toml").write_text(settings)
    wrong = key_file(tmp_path / "wrong", 9)
    opened = key_file(tmp_path / "opened", 9)
    opened.chmod(0o644)
    cases = [
        (rekeyed(tmp_path / "nowhere" / "data"), "bad-settings"),
        (rekeyed(elsewhere), "no-data-dir"),
        (rekeyed(stopped, old=tmp_path / "none"), "no-master-key"),
        (rekeyed(stopped, new=tmp_path / "none"), "no-master-key"),
        (rekeyed(stopped, new=stopped / "master.key"), "same-key"),
        (rekeyed(stopped, old=wrong), "bad-master-key"),
        (rekeyed(stopped, new=opened), "bad-master-key"),
        (rekeyed(stopped, {NEW: "short"}), "bad-master-key"),
        (rekeyed(stopped, {MASTER_KEY_VARIABLE: "short"}), "bad-master-key"),
    ]

    for error, code in cases:
        assert error is not None
        assert (error.code, error.exit_code) == (code, Code.UNUSABLE)
        assert "short" not in error.message
    assert kept_in(stopped) == before


def test_the_keys_of_another_user_are_left_alone(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)

    error = rekeyed(stopped)

    assert error is not None
    assert error.code == "other-owner"


def test_a_secret_that_waits_is_good_after_a_rekey_and_the_old_master_key_opens_nothing(
    tmp_path: Path,
) -> None:
    async def first() -> str:
        async with gateway(tmp_path) as rig:
            assert rig.gateway.secret is not None
            return rig.gateway.secret.reveal().decode()

    async def then(secret: str) -> int:
        async with gateway(tmp_path) as rig:
            host, port = rig.gateway.control
            data = json.dumps({"secret": secret}).encode()
            headers = {"Content-Type": "application/json"}
            told = await ask(f"http://{host}:{port}/init", "POST", data=data, headers=headers)
            return told.status

    secret = asyncio.run(first())
    old = (tmp_path / "data" / "master.key").read_text()
    assert rekeyed(tmp_path / "data") is None
    new = (tmp_path / "data" / "master.key").read_text()
    (tmp_path / "data" / "master.key").write_text(old)
    with pytest.raises(NotStartableError, match="Put the right master key back"):
        asyncio.run(first())
    (tmp_path / "data" / "master.key").write_text(new)

    assert asyncio.run(then(secret)) == 201
