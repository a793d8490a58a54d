"""Encryption at rest under one master key, and the type that keeps a secret out of sight."""

from __future__ import annotations

import fcntl
import hmac
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from proxy.identity.compact import canonical_bytes, canonical_text

MASTER_KEY_VARIABLE = "NORTHGATE_MASTER_KEY"

_KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = "v1"


class MasterKeyError(Exception):
    """The master key cannot be had, or is not the one that sealed what is to be opened."""


class DamagedError(Exception):
    """What was kept under the master key was changed since."""


class Secret:
    """Bytes that never show: not in `repr`, text, pickles or copies. `reveal` is the only way."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("A secret is neither copied nor pickled.")

    def reveal(self) -> bytes:
        return self._content


class MasterKey:
    """Seals and authenticates what is kept; each purpose has a key of its own (RFC 5869)."""

    __slots__ = ("_secret", "id")

    def __init__(self, secret: Secret) -> None:
        """Take 32 random bytes. Raises `MasterKeyError` for another length."""
        if len(secret.reveal()) != _KEY_BYTES:
            raise MasterKeyError("A master key is 32 random bytes, written as 43 base64url signs.")
        self._secret = secret
        self.id = self._derived("identify")[:6].hex()

    def __repr__(self) -> str:
        return f"MasterKey({self.id})"

    def seal(self, purpose: str, content: Secret, about: bytes) -> str:
        """Return *content* encrypted with AES-256-GCM; it opens with the same *about* only."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._derived(purpose)).encrypt(nonce, content.reveal(), about)
        return f"{_VERSION}.{self.id}.{canonical_text(nonce + sealed)}"

    def open(self, purpose: str, sealed: str, about: bytes) -> Secret:
        """Return what `seal` was given.

        Raises `MasterKeyError` if another master key sealed it, `DamagedError` if it was changed
        or sealed about something else.
        """
        version, _, rest = sealed.partition(".")
        master_id, _, text = rest.partition(".")
        if version != _VERSION:
            raise DamagedError("This is not sealed in a form that this version reads.")
        self.require(master_id)
        try:
            content = canonical_bytes(text)
            nonce, encrypted = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
            opened = AESGCM(self._derived(purpose)).decrypt(nonce, encrypted, about)
        except (InvalidTag, ValueError):
            raise DamagedError("A sealed value was changed, or belongs elsewhere.") from None
        return Secret(opened)

    def mark(self, purpose: str, content: bytes) -> str:
        """Return an HMAC-SHA256 of *content*, in hexadecimal digits."""
        return hmac.digest(self._derived(purpose), content, "sha256").hex()

    def key_for(self, purpose: str) -> Secret:
        """Return 32 bytes that are the same for the same *purpose*, and tell nothing of others."""
        return Secret(self._derived(purpose))

    def require(self, master_id: str) -> None:
        """Raise `MasterKeyError` unless *master_id* is this key's own."""
        if master_id != self.id:
            raise MasterKeyError(
                f"This was sealed under the master key {master_id[:12]!r}, and the one given is "
                f"{self.id!r}. Put the right master key back; nothing was changed."
            )

    def _derived(self, purpose: str) -> bytes:
        info = f"northgate/{_VERSION}/{purpose}".encode()
        return HKDF(SHA256(), _KEY_BYTES, salt=None, info=info).derive(self._secret.reveal())


def master_key(path: Path, environ: Mapping[str, str]) -> MasterKey:
    """Return the master key: `NORTHGATE_MASTER_KEY` of *environ* if set, else what *path* holds.

    A file that does not exist is created, readable by its owner alone. Raises `MasterKeyError` for
    a value that is no key, and for a file that others may read.
    """
    given = environ.get(MASTER_KEY_VARIABLE)
    if given is not None:
        return _parsed(given, MASTER_KEY_VARIABLE)
    try:
        if not path.exists():
            _create(path)
        return _parsed(private_text(path), str(path))
    except OSError as error:
        raise MasterKeyError(f"The master key {path}: {error.strerror}.") from error


def private_text(path: Path) -> str:
    """Return the text of a file that nobody but its owner may touch.

    Raises `MasterKeyError` if others may, and `OSError` if it cannot be read.
    """
    with path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
            raise MasterKeyError(f"{path} is open to others than its owner: chmod 600 it.")
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Make *path* hold *text*, durably, whole or not at all, and for its owner alone (0600).

    One writer at a time. Raises `OSError`, and then what was there is untouched.
    """
    fresh = path.with_name(f"{path.name}.new")
    _write_new(fresh, text)
    fresh.replace(path)
    _sync_directory(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes, and other threads, from changing *path* until the block ends."""
    # A file of its own: what is changed is replaced, and a lock would stay with the old one.
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create(path: Path) -> None:
    """Create a master key, unless another process is quicker; then its key stands."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        _write_new(fresh, canonical_text(secrets.token_bytes(_KEY_BYTES)) + "\n")
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _write_new(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _parsed(text: str, origin: str) -> MasterKey:
    try:
        return MasterKey(Secret(canonical_bytes(text.strip())))
    except (ValueError, MasterKeyError):
        raise MasterKeyError(
            f"{origin} holds no master key: 32 random bytes, written as 43 base64url signs."
        ) from None
