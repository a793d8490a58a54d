"""Signed checkpoints: records whose line carries a signature of itself.

As a line names the hash of the one before, a signature vouches for all that stands before it in
its chain. A checkpoint also lists the newest segment of every chain that is there, so that no
chain, and no end of one, goes missing unnoticed while another is kept. Signatures are Ed25519
(RFC 8032) over the line as it is without its last key, `signature`; keys and signatures are
base64url without padding.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from storage.journal.frame import VERSION, Chain, Kind, parsed
from storage.journal.segments import Segment, named

HEAD = b'{"v":%d,"kind":"checkpoint",' % VERSION
"""How the line of every checkpoint begins."""

_CONTEXT = b"northgate checkpoint\n"
_MARK = b',"signature":"'


class Signer:
    """Signs checkpoints; `key` is the public key that proves them."""

    __slots__ = ("_private", "key")

    def __init__(self, seed: bytes) -> None:
        """Take the 32 secret bytes of a key."""
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = _text(self._private.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.key})"

    def payload(self, newest: Iterable[Segment]) -> dict[str, object]:
        """Return what a checkpoint holds where *newest* are the last segments of all chains."""
        return {"key": self.key, "chains": [one.file for one in newest]}

    def signed(self, line: bytes) -> bytes:
        """Return *line*, one of a checkpoint, with its signature."""
        body = line.removesuffix(b"}\n")
        signature = self._private.sign(_CONTEXT + body)
        return b'%b%b%b"}\n' % (body, _MARK, _text(signature).encode())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A line that `key` signed: all up to record `seq` of `chain` was so at `time`.

    `newest` are the last segments of all chains there were.
    """

    chain: Chain
    seq: int
    time: str
    key: str
    newest: tuple[Segment, ...]
    line: bytes = field(repr=False)

    @property
    def segment(self) -> Segment | None:
        """The segment that the line is in."""
        return next((one for one in self.newest if one.chain == self.chain), None)


def read_checkpoint(line: bytes) -> Checkpoint | None:
    """Return the checkpoint that *line* is; None unless it is signed by the key it names."""
    body, mark, rest = line.rpartition(_MARK)
    record = parsed(line, 0, 0)
    if not mark or record is None or record.kind is not Kind.CHECKPOINT:
        return None
    key, listed = record.payload.get("key"), record.payload.get("chains")
    if not isinstance(key, str) or not isinstance(listed, list):
        return None
    if not _is_signed(body, rest.removesuffix(b'"}\n'), key):
        return None
    newest = tuple(filter(None, map(named, listed)))
    return Checkpoint(record.chain, record.seq, record.time, key, newest, line)


def newest_of(found: Iterable[Sequence[Segment]]) -> tuple[Segment, ...]:
    """Return the last of each chain's segments."""
    return tuple(own[-1] for own in found)


def _is_signed(body: bytes, signature: bytes, key: str) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(_bytes(key.encode()))
        public.verify(_bytes(signature), _CONTEXT + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: bytes) -> bytes:
    content = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    if _text(content).encode() != text:
        raise ValueError("another spelling of the same bytes")
    return content
