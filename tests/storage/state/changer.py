"""Change facts in the database at argv[1], as argv[2], and tell each version, until killed."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time

from policies.model import Fact
from storage.engine import open_database
from storage.facts import Change, FactLedger


async def main(url: str, name: str) -> None:
    ledger = FactLedger(await open_database(url), time.time)
    for number in itertools.count():
        fact = Fact("counted", (name, number))
        applied = await ledger.change(Change((fact,), (), "grant", name, "counting"))
        print(applied.version, number, flush=True)  # noqa: T201  the test reads it


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
