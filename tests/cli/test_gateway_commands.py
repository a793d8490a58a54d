"""The command line against a whole gateway, with real servers behind it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from proxy.cli.control import credentials as files
from proxy.cli.control.credentials import Credentials
from proxy.identity.issue import TokenRequest
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType
from proxy.identity.sealing import Secret
from tests.cli.answering import ran
from tests.cli.running import Ran
from tests.gateway.harness import Rig, free_port, gateway
from tests.gateway.registering import ADMIN_URL, another, url_of

SECRET = "canary-of-an-upstream"  # noqa: S105  a test's own


class Shell:
    """A shell of the administrator of a gateway; what goes wrong in it fails the test."""

    def __init__(self, home: Path, rig: Rig) -> None:
        self.home = home
        self.ran: list[Ran] = []
        self._rig = rig

    def log_in(self) -> None:
        wanted = TokenRequest(ActorType.USER, "admin", ADMIN_URL, 600, "northgate")
        token = self._rig.gateway.tokens[Plane.CONTROL].issuer.issue(wanted).text
        path = self.home / "northgate" / "credentials.json"
        files.prepare(path)
        url = f"http://127.0.0.1:{self._rig.gateway.control[1]}"
        files.save(path, Credentials(url, Secret(token.reveal())))

    async def __call__(self, *words: str, code: int = 0) -> Ran:
        done = await asyncio.to_thread(ran, self.home, list(words))
        self.ran.append(done)
        assert done.code == code, (words, done)
        return done


async def lived(shell: Shell, directory: Path) -> None:
    """Register a server, use it, switch parts of it off, move it, and let it go."""
    async with another() as (_, first), another() as (_, second):
        url = ("--url", url_of(first), "--bearer-token", SECRET, "--header", f"X-Key={SECRET}")
        made = await shell("register", "--name", "extra", *url, "--description", "For tests")
        assert made.out.startswith("The server extra is registered: 4 tools, 2 prompts, 2 resour")
        taken = await shell("register", "--name", "extra", *url, code=1)
        assert "error[name-taken]" in taken.err
        listed = await shell("list", "servers")
        assert [line.split()[:2] for line in listed.lines[1:]] == [
            ["extra", "enabled"],
            ["up", "enabled"],
        ]
        assert "extra__echo" in (await shell("list", "tools", "--server", "extra")).out
        assert "What it takes:" in (await shell("usage", "up__mirror")).out
        assert "extra__greet" in (await shell("list", "prompts")).out
        assert "extra|note://one" in (await shell("list", "resources")).out
        await shell("get", "resource", "extra|note://one")

        denied = await shell("invoke", "extra__echo", code=1)
        assert "error[not-allowed]" in denied.err
        await shell("access", "grant", "user:admin", "caller", "server:extra")
        called = await shell("invoke", "extra__echo", "--input", '{"text": "hi"}')
        assert called.out.strip()
        await shell("get", "prompt", "extra__greet", "--arg", "who=me")
        assert (await shell("get", "resource", "extra|note://one", "--read")).out.strip()

        off = await shell("disable", "extra__echo", "--why", "odd")
        assert off.lines == ["Disabled: 1 tool.", "  extra__echo"]
        await shell("invoke", "extra__echo", code=1)
        await shell("enable", "tool", "extra__echo")
        assert "with 4 tools" in (await shell("disable", "server", "extra")).out
        await shell("enable", "server", "extra")

        await shell("update", "server", "extra", "--url", url_of(second), "--no-headers")
        shown = (await shell("server", "show", "extra", "--json")).document
        assert (shown["url"], shown["headers"], shown["has_bearer"]) == (url_of(second), [], True)
        gone = f"http://127.0.0.1:{free_port()}/mcp"
        lost = await shell("update", "server", "extra", "--url", gone, code=2)
        assert "error[upstream-unreachable]" in lost.err
        assert "See whether it runs" in lost.err

        await exported(shell, directory)


async def exported(shell: Shell, directory: Path) -> None:
    """Write all to files, end the server, and register it again by what was written."""
    await shell("create", "mcp-client", "bot", "--allow", "extra")
    await shell("export", "--dir", str(directory))
    written = json.loads((directory / "servers" / "extra.json").read_text(encoding="utf-8"))
    assert written["bearer_token"] == "${EXTRA_BEARER_TOKEN}"  # noqa: S105  no secret
    await shell("deregister", "extra", "--yes")
    assert "extra" not in (await shell("list", "servers")).out
    file = directory / "servers" / "extra.json"
    file.write_text(json.dumps(written | {"bearer_token": SECRET}), encoding="utf-8")
    await shell("register", "-c", str(file))
    (directory / "servers" / "up.json").unlink()
    again = await shell("import", str(directory), "--json", code=1)
    refused = {Path(one["file"]).name: one["code"] for one in again.document["refused"]}
    assert refused["extra.json"] == "name-taken"
    assert refused["bot.json"] == "name-taken"
    # What the settings say is not changed from here.
    assert "error[server-configured]" in (await shell("deregister", "up", "--yes", code=1)).err


async def administered(shell: Shell) -> None:
    """Do what is left of an administrator's day."""
    secret = (await shell("client", "secret", "add", "bot", "--ttl", "1h")).out.strip()
    listed = await shell("client", "secret", "list", "bot")
    assert secret
    assert secret not in listed.out
    await shell("client", "secret", "delete", "bot", listed.lines[1].split()[0])
    await shell("fact", "add", "has_tag", "server:extra", "mine")
    facts = (await shell("fact", "list", "--from", "fact", "--json")).document["facts"]
    assert [one["predicate"] for one in facts] == ["has_tag"]
    await shell("client", "suspend", "--all", "--yes")
    assert (
        "bot" in (await shell("client", "resume", "--all", "--yes", "--json")).document["resumed"]
    )
    await shell("update", "mcp-client", "bot", "--access-token", "of-my-own-choice")
    token = (await shell("token", "issue", "bot", "--json")).document
    moment = ("--before", "2099-01-31T18:00:00Z", "--why", "leaked")
    revoked = await shell("token", "revoke", "--subject", "client:bot", *moment, "--yes")
    wrong = await shell("token", "revoke", "--before", "soon", "--yes", code=2)
    assert "issued_before: Write a time with its zone" in wrong.err
    assert revoked.out.startswith("Revoked: ")
    assert token["token_id"] in (await shell("token", "list", "--subject", "client:bot")).out
    versions = (await shell("version", "--json")).document
    assert versions["gateway"]["version"] == versions["command"]


def test_an_administrator_does_all_of_it_by_commands_and_no_secret_comes_back(
    tmp_path: Path,
) -> None:
    async def story() -> list[Ran]:
        async with gateway(tmp_path / "gateway") as rig:
            shell = Shell(tmp_path / "home", rig)
            shell.log_in()
            await lived(shell, tmp_path / "out")
            await administered(shell)
            return shell.ran

    done = asyncio.run(story())

    assert not any(SECRET in one.out + one.err for one in done)
