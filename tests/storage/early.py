"""A journal that acknowledges too early: the tests of durability have to find it out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from storage.journal import Journal, Kind


class EarlyJournal(Journal):
    """Returns as soon as a record is queued."""

    async def append(self, kind: Kind, payload: Mapping[str, Any]) -> str:
        name = self.append_soon(kind, payload)
        await asyncio.sleep(0)
        return name
