"""Which gateway the commands talk to, and with what token: one file for its owner alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proxy.cli.control.endings import CommandError
from proxy.identity.sealing import MasterKeyError, Secret, private_text, write_private

_BEGIN = (
    "Run northgate login with a token, or northgate init-server with the secret that northgate "
    "serve printed at its first start."
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The URL of a control listener, and a token for it."""

    url: str
    token: Secret


def place(given: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the file to use: *given*, or the usual one of this user."""
    if given is not None:
        return given
    home = environ.get("XDG_CONFIG_HOME", "")
    # The XDG specification has relative paths ignored.
    directory = Path(home) if home.startswith("/") else Path("~/.config").expanduser()
    return directory / "northgate" / "credentials.json"


def load(path: Path) -> Credentials:
    """Return what *path* holds. Raises `CommandError` if it is not there or not usable."""
    try:
        document = json.loads(private_text(path))
        return Credentials(str(document["url"]), Secret(str(document["token"]).encode("ascii")))
    except FileNotFoundError:
        message = f"There are no credentials in {path}."
        raise CommandError("no-credentials", message, _BEGIN) from None
    except MasterKeyError as error:
        raise CommandError("unsafe-credentials", str(error)) from None
    except OSError as error:
        raise _unusable(path, error) from None
    except (ValueError, KeyError, TypeError):
        message = f"{path} holds no credentials."
        raise CommandError("bad-credentials", message, f"Remove it. {_BEGIN}") from None


def prepare(path: Path) -> None:
    """Make sure that *path* can be written, before anything is spent to fill it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(0, "It is a directory")
    except OSError as error:
        raise _unusable(path, error) from None


def save(path: Path, credentials: Credentials) -> None:
    """Keep *credentials* in *path*, in place of what was there."""
    document = {"url": credentials.url, "token": credentials.token.reveal().decode()}
    try:
        write_private(path, json.dumps(document) + "\n")
    except OSError as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: OSError) -> CommandError:
    message = f"The credentials {path} cannot be used: {error.strerror}."
    return CommandError("no-credentials-file", message, "Name another file with --credentials.")
