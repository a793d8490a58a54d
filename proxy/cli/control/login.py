"""`northgate login`, `logout` and `version`: which gateway the commands talk to, and as whom."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

from proxy.cli.control import credentials as files
from proxy.cli.control.api import Api
from proxy.cli.control.asking import secret_of
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.control.rows import moment, print_table
from proxy.cli.policy import console
from proxy.identity.sealing import Secret

USUAL_URL: Final = "http://localhost:8081"

_NAME: Final = "northgate"


def login(url: str | None, token: str | None, path: Path, *, json: bool) -> None:
    """Keep URL and token in *path*, once the gateway has said whose token it is."""
    kept = _kept(path)
    place = url or (USUAL_URL if kept is None else kept.url)
    files.prepare(path)
    secret = _fit(secret_of(token, "Your token"))
    credentials = Credentials(Api(place).url, secret)
    answer = Api.of(credentials).call("GET", "/api/v0/whoami")
    files.save(path, credentials)
    subject, ends = f"{answer['type'].lower()}:{answer['id']}", answer["expires_at"]
    if json:
        shown = {"url": credentials.url, "credentials": str(path)}
        console.print_json(shown | {"subject": subject, "expires_at": ends})
        return
    console.out().print(console.visible(f"You are {subject} at {credentials.url}."))
    console.out().print(console.visible(f"Your token is in {path}, and ends {moment(ends)}."))


def logout(path: Path, *, json: bool) -> None:
    """Forget URL and token."""
    try:
        path.unlink()
        was_there = True
    except FileNotFoundError:
        was_there = False
    except OSError as error:
        message = f"{path} cannot be removed: {error.strerror}."
        raise CommandError("no-credentials-file", message) from None
    if json:
        console.print_json({"credentials": str(path), "removed": was_there})
        return
    if not was_there:
        console.out().print(console.visible(f"There were no credentials in {path}."))
        return
    console.out().print(console.visible(f"{path} is removed."))
    console.out().print("The token itself is good until it ends; northgate token revoke ends one.")


def tell_versions(url: str | None, path: Path, *, json: bool) -> None:
    """Print the versions of this command and of the gateway, if that can be reached."""
    kept = _kept(path)
    place = url or (USUAL_URL if kept is None else kept.url)
    found, problem = None, None
    try:
        # Without the token: everybody may know.
        found = str(Api(place).call("GET", "/metadata").get("version"))
    except CommandError as error:
        problem = error.message
    ours = version(_NAME)
    if json:
        gateway = {"url": place, "version": found, "problem": problem}
        console.print_json({"command": ours, "gateway": gateway})
        return
    there = found or f"not known: {problem}"
    print_table(("", "VERSION"), (("this command", ours), (f"the gateway at {place}", there)))


def _kept(path: Path) -> Credentials | None:
    try:
        return files.load(path)
    except CommandError:
        return None


def _fit(text: str) -> Secret:
    if not text.isascii() or not text.isprintable() or " " in text:
        message = "What was given cannot be a token."
        raise CommandError("bad-token", message, "A token has neither spaces nor line breaks.")
    return Secret(text.encode())
