"""Copies a journal from its beginning to the database, again and again until it is killed."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from storage.engine import open_database
from storage.journal import Chain
from storage.shipping.ledger import ShippingLedger
from storage.shipping.portions import feed, portion
from storage.shipping.resuming import resumed


async def main(url: str, directory: Path) -> None:
    chain = Chain("n", 0)
    ledger = ShippingLedger(await open_database(url), time.time)
    own = feed(directory, chain)
    cursor = await resumed(ledger, directory, own)
    os.write(1, b"begun\n")
    while True:
        found = portion(directory, chain, cursor, most=5)
        if found is not None:
            await ledger.take(own, found)
        cursor = None if found is None else found.cursor


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
