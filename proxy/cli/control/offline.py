"""`northgate admin recover` and `admin rekey`: what works on the gateway's own machine alone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from proxy.cli.control.endings import CommandError
from proxy.cli.policy import console
from proxy.config import Settings, SettingsError, load
from proxy.datadir import DataDirectory
from proxy.identity.bootstrap import Bootstrap
from proxy.identity.keptring import KeyringChangedError, name_of, read_keyring
from proxy.identity.keyring import Plane
from proxy.identity.rekeying import rekey as seal_anew
from proxy.identity.sealing import (
    MASTER_KEY_VARIABLE,
    DamagedError,
    MasterKey,
    MasterKeyError,
    master_key,
    private_text,
    write_private,
)
from storage.engine import open_database
from storage.errors import StateError
from storage.journal.files import lock
from storage.secrets import SecretLedger

NEW_MASTER_KEY_VARIABLE: Final = "NORTHGATE_NEW_MASTER_KEY"

_FILE: Final = Path("northgate.toml")
_STRANGE: Final = "Name its settings with --config, or start it once."


def recover(config: Path | None, environ: Mapping[str, str], *, json: bool) -> None:
    """Print a new bootstrap secret, alone on stdout; the gateway may go on running."""
    settings = _settings(config, environ)
    with _told(settings):
        master = _old(_own(settings.data_dir), None, environ)
        secret = asyncio.run(_begun(settings, master))
    if json:
        console.print_json({"secret": secret})
        return
    console.out().print(secret)
    console.err().print(
        "This secret is good once. Now run northgate init-server, with --url if the gateway is not "
        "at http://localhost:8081, and give it the secret.\n"
        "Tokens that were lost go on working until they end: northgate token list finds them, "
        "northgate token revoke ends them."
    )


def rekey(
    config: Path | None,
    old_file: Path | None,
    new_file: Path | None,
    environ: Mapping[str, str],
    *,
    json: bool,
) -> None:
    """Keep what is secret under a new master key, while no gateway runs."""
    settings = _settings(config, environ)
    place = _own(settings.data_dir)
    with _told(settings), _resting(place):
        old, new = _old(place, old_file, environ), _new(place, new_file, environ)
        if old.id == new.id:
            message = "The new master key is the old one."
            raise CommandError("same-key", message, "Give another, or none to have one made.")
        changed = asyncio.run(_sealed_anew(settings, old, new))
        _put_in_place(place, new_file, environ)
    if json:
        console.print_json({"old": old.id, "new": new.id, "secrets": changed})
        return
    text = f"{console.counted(len(changed), 'secret')} sealed under the master key {new.id}."
    console.out().print(console.visible(text))
    console.err().print(console.visible(_next_step(place, environ)))


def _settings(config: Path | None, environ: Mapping[str, str]) -> Settings:
    # The new master key is no setting of the gateway's.
    given = {name: text for name, text in environ.items() if name != NEW_MASTER_KEY_VARIABLE}
    try:
        return load(config or (_FILE if _FILE.exists() else None), given)
    except SettingsError as error:
        message = "\n  ".join(["The settings cannot be used:", *map(str, error.problems)])
        raise CommandError("bad-settings", message) from None


@contextmanager
def _told(settings: Settings) -> Iterator[None]:
    """Say what the block raises in words."""
    try:
        yield
    except (MasterKeyError, DamagedError) as error:
        raise CommandError("bad-master-key", str(error)) from None
    except KeyringChangedError:
        message = "A gateway changed its keys meanwhile, so nothing was changed."
        raise CommandError("running", message, "Stop all of them, and run this again.") from None
    except StateError as error:
        raise CommandError(error.code, error.public, error.detail) from None
    except OSError as error:
        message = f"The files in {settings.data_dir} cannot be used: {error.strerror}."
        raise CommandError("no-data-dir", message, "Run it again: it goes on from there.") from None


@asynccontextmanager
async def _shared(settings: Settings) -> AsyncIterator[SecretLedger]:
    """Open the secrets that the gateway shares with its like."""
    database = await open_database(settings.database.url.reveal().decode())
    try:
        yield SecretLedger(database, time.time)
    finally:
        await database.close()


async def _begun(settings: Settings, master: MasterKey) -> str:
    async with _shared(settings) as secrets:
        # Whoever cannot open the keys of administrators makes none of them.
        kept = await secrets.read(name_of(Plane.CONTROL))
        if kept is None:
            raise CommandError("no-gateway", "No gateway has started on this database.", _STRANGE)
        read_keyring(kept, Plane.CONTROL, master)
        return (await Bootstrap(secrets, master).begin()).reveal().decode()


async def _sealed_anew(settings: Settings, old: MasterKey, new: MasterKey) -> list[str]:
    async with _shared(settings) as secrets:
        return await seal_anew(secrets, old, new)


def _own(directory: Path) -> DataDirectory:
    """Return the data directory *directory*. Raises `CommandError` unless it is this user's."""
    try:
        owner, is_ours = directory.stat().st_uid, (directory / "mode").is_file()
    except OSError:
        owner, is_ours = os.geteuid(), False
    if not is_ours:
        message = f"{directory} is not the data directory of a gateway."
        raise CommandError("no-data-dir", message, "Name the one that the settings call data_dir.")
    if owner != os.geteuid():
        message = f"{directory} belongs to another user, as whom the gateway runs."
        raise CommandError("other-owner", message, "Run this as that user.")
    return DataDirectory(directory)


@contextmanager
def _resting(place: DataDirectory) -> Iterator[None]:
    """Keep gateways from starting in *place*. Raises `CommandError` if one runs there."""
    held = []
    try:
        for path in sorted(place.journal.glob("*.lock")):
            try:
                held.append(lock(path))
            except BlockingIOError:
                message = f"A gateway is running in {place.path}."
                raise CommandError("running", message, "Stop it, and run this again.") from None
        yield
    finally:
        for handle in held:
            os.close(handle)


def _old(place: DataDirectory, file: Path | None, environ: Mapping[str, str]) -> MasterKey:
    if file is None and MASTER_KEY_VARIABLE in environ:
        return master_key(place.master_key, environ)
    return _in_file(place.master_key if file is None else file)


def _new(place: DataDirectory, file: Path | None, environ: Mapping[str, str]) -> MasterKey:
    given = environ.get(NEW_MASTER_KEY_VARIABLE)
    if given is not None:
        return master_key(place.master_key, {MASTER_KEY_VARIABLE: given})
    # One that was made stays where it is found again, should this be interrupted.
    return master_key(_waiting(place), {}) if file is None else _in_file(file)


def _waiting(place: DataDirectory) -> Path:
    return place.master_key.with_name(f"{place.master_key.name}.next")


def _in_file(path: Path) -> MasterKey:
    if not path.is_file():
        message = f"There is no master key in {path}."
        hint = f"Name its file, or set {MASTER_KEY_VARIABLE} as the gateway has it."
        raise CommandError("no-master-key", message, hint)
    return master_key(path, {})


def _put_in_place(place: DataDirectory, file: Path | None, environ: Mapping[str, str]) -> None:
    """Let the gateway find the new key where it looks, unless it is given by a variable."""
    if NEW_MASTER_KEY_VARIABLE in environ:
        return
    if file is None:
        _waiting(place).replace(place.master_key)
    else:
        write_private(place.master_key, private_text(file))


def _next_step(place: DataDirectory, environ: Mapping[str, str]) -> str:
    if NEW_MASTER_KEY_VARIABLE in environ:
        rest = f" Remove {place.master_key}." if place.master_key.exists() else ""
        return f"Start the gateway with {MASTER_KEY_VARIABLE} set to the new master key.{rest}"
    if MASTER_KEY_VARIABLE in environ:
        return f"It is in {place.master_key}: start the gateway without {MASTER_KEY_VARIABLE}."
    return f"It is in {place.master_key}: start the gateway as before."
