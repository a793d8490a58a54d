"""A PostgreSQL server for tests, and databases on it."""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from storage.engine import open_database
from storage.tables import METADATA
from storage.versions import WHATS

TEMPLATE = "northgate_template"
EMPTY = "template0"
ABSENT = "PostgreSQL is not here, and the state is tested on it: run `sh bench/tools.sh` as root."
SECONDS = 30.0

# Whoever holds the other end of the pipe may die in any way: the server ends with it, at once, and
# nothing of it is left.
WATCH = """
server="$1"; place="$2"
"$server" -D "$place/data" >>"$place/log" 2>&1 &
child=$!
echo $child
read -r word || word=gone
kill -CONT $child; kill -QUIT $child
wait $child
[ "$word" = stop ] || rm -rf "$place"
"""
LEAVE = """
SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
BEGIN = "INSERT INTO counters VALUES " + ", ".join(f"('{what}', 0)" for what in WHATS)  # noqa: S608  our own
# Who comes over the network under this name needs the password.
GUARD = "host all guarded 127.0.0.1/32 scram-sha-256\n"
SETTINGS = """
ssl = on
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 60
autovacuum = off
log_statement = none
"""


@dataclass
class Server:
    """One server in a directory of its own, on a UNIX socket and a loopback port."""

    place: Path
    programs: Path
    port: int
    user: str | None
    watch: subprocess.Popen[str] | None = field(default=None, repr=False)
    number: int = 0
    pid: int = 0

    def url(self, name: str, **options: str) -> str:
        given = {"host": str(self.place), "port": str(self.port), "user": "postgres", **options}
        return f"postgresql:///{name}?{urlencode(given)}"

    def make(self) -> None:
        self.run(
            "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8",
            "--no-instructions", "--locale=C.UTF-8", "-D", str(self.place / "data"),
        )  # fmt: skip
        data = self.place / "data"
        own = f"port = {self.port}\nunix_socket_directories = '{self.place}'\n"
        with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write(SETTINGS + own)
        hosts = data / "pg_hba.conf"
        hosts.write_text(GUARD + hosts.read_text(encoding="utf-8"), encoding="utf-8")
        certify(data, self.user)

    def start(self) -> None:
        """Start, and return once it takes connections."""
        self.watch = subprocess.Popen(  # noqa: S603  fixed
            ["/bin/sh", "-c", WATCH, "sh", str(self.programs / "postgres"), str(self.place)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=self.user, cwd="/",
        )  # fmt: skip
        assert self.watch.stdout
        self.pid = int(self.watch.stdout.readline())
        ends = time.monotonic() + SECONDS
        while True:
            try:
                self.ask("SELECT 1", "postgres")
            except (OSError, asyncpg.PostgresError):
                if time.monotonic() > ends:
                    raise AssertionError((self.place / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Cut everything off, as a crash does."""
        if self.watch:
            with self.watch:
                assert self.watch.stdin
                self.watch.stdin.write("stop\n")
                self.watch.stdin.close()
                self.watch.wait(SECONDS)
        self.watch = None

    def freeze(self) -> None:
        # The one that makes the others comes first, so that there are no more of them.
        signalled(self.pid, signal.SIGSTOP)
        for pid in self.processes():
            signalled(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.processes():
            signalled(pid, signal.SIGCONT)

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [self.pid, *map(int, children.split())]

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603  fixed
            [self.programs / program, *arguments],
            capture_output=True, text=True, user=self.user, cwd="/", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def ask(self, statement: str, name: str) -> list[Any]:
        """Return the rows that *statement* gives in the database of *name*."""
        return asyncio.run(self.answer(statement, name))

    async def answer(self, statement: str, name: str) -> list[Any]:
        # Unlike that of the server by itself: what is asked for here survives its crash.
        kept = {"synchronous_commit": "on"}
        connection = await asyncpg.connect(self.url(name), timeout=SECONDS, server_settings=kept)
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def cut(self, name: str) -> None:
        """Cut the connections to the database of *name*, and return when their ends were seen."""
        cut = [int(pid) for pid, _ in await self.answer(LEAVE, name)]
        ends = time.monotonic() + SECONDS
        while any(Path(f"/proc/{pid}").exists() for pid in cut):  # noqa: ASYNC240  waits for nothing
            assert time.monotonic() < ends
            await asyncio.sleep(0.01)
        for _ in range(5):
            await asyncio.sleep(0)

    def clear(self, name: str) -> None:
        """Bring a database of the newest schema back to where it was when it was new."""
        tables = [one.name for one in reversed(METADATA.sorted_tables)]
        rows = "; ".join(f"DELETE FROM {one}" for one in tables)  # noqa: S608  our own

        async def run() -> None:
            connection = await asyncpg.connect(self.url(name), timeout=SECONDS)
            try:
                await connection.execute(LEAVE)
                await connection.execute(f"{rows}; {BEGIN}; ALTER SEQUENCE facts_id_seq RESTART")
            finally:
                await connection.close()

        asyncio.run(run())

    def new_database(self, template: str) -> str:
        """Make a database and return its name."""
        self.number += 1
        name = f"test_{self.number}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template}", "postgres")
        return name

    def drop(self, name: str) -> None:
        self.ask(f"DROP DATABASE {name} WITH (FORCE)", "postgres")


def signalled(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, number)


def certify(directory: Path, user: str | None) -> None:
    """Put a certificate for localhost, which vouches for itself, and its key in *directory*."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    kept = directory / "server.key"
    kept.touch(mode=0o600)
    kept.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    (directory / "server.crt").write_bytes(made.public_bytes(Encoding.PEM))
    if user:
        shutil.chown(kept, user)


def programs() -> Path:
    """Return the directory of the server's programs. The tests fail where there is none."""
    found = shutil.which("postgres")
    newest = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: float(one.parts[-3])
    )
    if found is None and not newest:
        pytest.fail(ABSENT, pytrace=False)
    return Path(found).resolve().parent if found else newest[-1].parent


def free_port() -> int:
    """Return a port that no outgoing connection takes, not even between two starts."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as taken, suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port


def unprivileged() -> str | None:
    """Return the user to run a server as: it refuses to run as root."""
    if os.geteuid():
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Run a server, with a template that has the newest schema; every worker has its own."""
    found = programs()
    place = Path(tempfile.mkdtemp(prefix="northgate-"))
    server = Server(place, found, free_port(), unprivileged())
    try:
        if server.user:
            shutil.chown(place, server.user)
        server.make()
        server.start()
        server.ask(f"CREATE DATABASE {TEMPLATE}", "postgres")
        asyncio.run(_open_and_close(server.url(TEMPLATE)))
        yield server
    finally:
        server.stop()
        shutil.rmtree(place)


async def _open_and_close(url: str) -> None:
    await (await open_database(url)).close()
