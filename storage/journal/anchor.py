"""What is kept elsewhere to prove a journal, or a copy of one: a few lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from storage.journal.checkpoints import Checkpoint, read_checkpoint
from storage.journal.frame import Chain

ANCHOR_VERSION = 1


class AnchorError(ValueError):
    """A text that is no anchor. The message says why, as the rest of a sentence."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The keys that sign a journal, and the last checkpoint of each of its chains."""

    keys: frozenset[str]
    checkpoints: Mapping[Chain, Checkpoint]

    @classmethod
    def of(cls, checkpoints: Iterable[Checkpoint]) -> Self:
        each = {one.chain: one for one in checkpoints}
        return cls(frozenset(one.key for one in each.values()), each)

    @classmethod
    def parsed(cls, text: bytes) -> Self:
        """Return the anchor that `written` made *text* of; raise `AnchorError` if it is none."""
        try:
            document = json.loads(text)
            version, keys, lines = (document[key] for key in ("v", "keys", "checkpoints"))
        except (ValueError, LookupError, TypeError, RecursionError):
            raise AnchorError("it is no anchor, or not all of one") from None
        if version != ANCHOR_VERSION:
            raise AnchorError("a newer version wrote it; use that one")
        if not _are_texts(keys) or not _are_texts(lines):
            raise AnchorError("it is no anchor")
        found = [read_checkpoint(f"{line}\n".encode()) for line in lines]
        signed = [one for one in found if one is not None and one.key in keys]
        if len(signed) < len(lines) or not signed:
            raise AnchorError("a checkpoint in it is not signed by a key in it")
        return cls(frozenset(keys), {one.chain: one for one in signed})

    def written(self) -> str:
        document = {
            "v": ANCHOR_VERSION,
            "keys": sorted(self.keys),
            "checkpoints": [
                one.line.decode().removesuffix("\n") for _, one in sorted(self.checkpoints.items())
            ],
        }
        return json.dumps(document, indent=2) + "\n"


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
