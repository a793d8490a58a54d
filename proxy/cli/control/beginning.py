"""`northgate init-server`: how an administrator gets his token."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import typer

from proxy.cli.control import credentials as files
from proxy.cli.control.api import Api
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.policy import console
from proxy.identity.sealing import Secret

_LONGEST_LINE: Final = 1024


def init_server(url: str, secret: str | None, path: Path, *, json: bool) -> None:
    """Spend the bootstrap secret, and keep the token that comes of it in *path*."""
    api = Api(url)
    # The secret is good once: what it brings must have its place first.
    files.prepare(path)
    answer = api.call("POST", "/init", document={"secret": secret or _asked()})
    token = Secret(str(answer["admin_access_token"]).encode())
    files.save(path, Credentials(api.url, token))
    if json:
        shown = {name: answer[name] for name in ("token_id", "subject", "expires_at")}
        console.print_json({"url": api.url, "credentials": str(path)} | shown)
        return
    out = console.out()
    out.print(console.visible(f"You are the administrator of {api.url}."))
    out.print(console.visible(f"Your token is in {path}."))
    out.print("Next: northgate token issue CLIENT")


def _asked() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("The bootstrap secret", hide_input=True, err=True)).strip()
    secret = sys.stdin.readline(_LONGEST_LINE).strip()
    if not secret:
        hint = "Give it with --secret, or on standard input."
        raise CommandError("no-secret", "The bootstrap secret is needed.", hint)
    return secret
