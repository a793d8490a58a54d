"""A state with something in every table, made as the gateway makes it, and what is in it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any

from policies.model import Entity, Fact
from proxy.identity.sealing import MasterKey, Secret
from storage.backup import Backup, Made, restore_backup, write_backup
from storage.backup.form import end_line
from storage.backup.packing import Packed, unpacked
from storage.backup.tables import tables
from storage.credentials import Credential, CredentialLedger
from storage.definitions import DefinitionLedger, Seen
from storage.engine import Database
from storage.facts import Change, FactLedger
from storage.identities import IdentityLedger
from storage.secrets import SecretLedger
from storage.shadows import ShadowLedger
from storage.tables import RegistrationRow
from storage.tasks import OwnedTask, TaskLedger
from storage.tokens import IssuedRecord, TokenLedger
from tests.storage.state.places import Place, opened, ticking

KEY = MasterKey(Secret(b"k" * 32))
OTHER_KEY = MasterKey(Secret(b"o" * 32))
MADE = Made(1_700_000_000.25, "0.1.0")

CI = Entity("Client", "ci")
GITHUB = Entity("Server", "github")
ODD = "ü\u2028\x7f😀'\"\\;--"


def caller(name: str) -> Fact:
    return Fact("has_role", (Entity("Client", name), "caller", GITHUB))


async def fill(database: Database) -> None:
    clock = ticking()
    facts = FactLedger(database, clock)
    for add, remove in (
        ([caller("ci"), caller(ODD)], []),
        ([], [caller("ci")]),
        ([caller("ci")], [caller(ODD)]),
    ):
        await facts.change(Change(tuple(add), tuple(remove), "grant", "User:ann", ODD))
    await _fill_identities(database, clock)
    await _fill_servers(database, clock)
    await SecretLedger(database, clock).replace("keyring:data", None, "v1.sealed")


async def _fill_identities(database: Database, clock: Callable[[], float]) -> None:
    await IdentityLedger(database, clock).create("Team", ODD, "", "User:ann")
    tokens = TokenLedger(database, clock)
    for jti in ("t1", "t2"):
        issued = IssuedRecord(
            jti, "data", "client:ci", "ci", "http://a", 1, 2**40, "User:ann", "k1"
        )
        await tokens.record(issued)
    await tokens.revoke("t2", "User:ann", ODD)
    credentials = CredentialLedger(database, clock)
    await credentials.add(Credential("c1", "ci", "secret", "hash", 1.0, "User:ann", 9e9))
    await credentials.spend("ci", "once", 9e9)


async def _fill_servers(database: Database, clock: Callable[[], float]) -> None:
    seen = [Seen("tool", name, "hash", {"name": name}) for name in ("echo", ODD)]
    await DefinitionLedger(database, clock).take("github", seen, trust="first")
    shadows = ShadowLedger(database, clock)
    shadow = await shadows.begin("sha256:0", {"a.polar": f"# {ODD}\n"}, "User:ann")
    await shadows.count(shadow.run, "process", "{}")
    await TaskLedger(database, clock).own(OwnedTask("github", ODD, "Client:ci", "", 9e9))
    async with database.changing() as session:
        session.add(
            RegistrationRow(
                name="github",
                settings="{}",
                registered_at=1.5,
                registered_by="User:ann",
                changed_at=1e-9,
                changed_by="User:bob",
            )
        )


def filled(place: Place) -> None:
    async def run() -> None:
        async with opened(place) as database:
            await fill(database)

    asyncio.run(run())


def backed_up(place: Place, key: MasterKey = KEY) -> io.BytesIO:
    async def run() -> None:
        async with opened(place) as database:
            await write_backup(database, file, MADE, key, untold)

    file = io.BytesIO()
    asyncio.run(run())
    return file


def restored(
    place: Place, file: io.BytesIO, key: MasterKey = KEY, *, replace: bool = False
) -> Backup:
    return asyncio.run(restore_backup(place.url, file, key, replace=replace, told=untold))


def untold(_done: int, _total: int) -> None:
    pass


def lines(file: io.BytesIO) -> list[bytes]:
    file.seek(0)
    return list(unpacked(file))


def packed(some: list[bytes]) -> io.BytesIO:
    file = io.BytesIO()
    packing = Packed(file)
    for line in some:
        packing.write(line)
    packing.end()
    return file


def ended(
    some: list[bytes], key: MasterKey = KEY, names: Iterable[str] | None = None
) -> io.BytesIO:
    """Return a backup of a header and rows, with the end that *key* makes for them."""
    counts = {
        name: sum(f'{{"table":"{name}"'.encode() in one for one in some)
        for name in names or tables()
    }
    return packed([*some, end_line(counts, sha256(b"".join(some)).hexdigest(), key)])


def rows(file: io.BytesIO) -> list[bytes]:
    """Return the lines of all rows but counters, whatever the order of the database."""
    return sorted(line for line in lines(file)[1:-1] if b'{"table":"counters"' not in line)


def contents(place: Place) -> Mapping[str, list[tuple[Any, ...]]]:
    """Return every row of every table, past the code under test."""
    return {
        name: sorted(
            place.ask(f"SELECT {', '.join(table.columns.keys())} FROM {name}"),  # noqa: S608  ours
            key=repr,
        )
        for name, table in tables().items()
    }


def counters(place: Place) -> dict[str, int]:
    return dict(place.ask("SELECT name, value FROM counters"))
