"""`northgate record list`."""

from __future__ import annotations

import json as json_format
import sys
from datetime import UTC, datetime
from pathlib import Path

from proxy.cli.policy import console
from proxy.cli.policy.console import counted
from proxy.cli.policy.endings import Code
from proxy.cli.record.asked import Asked
from proxy.cli.record.filters import beginning, wanted
from proxy.cli.record.reading import latest, records
from proxy.cli.record.tables import print_table


def run(data_dir: Path, asked: Asked, *, limit: int, json: bool) -> int:
    now = datetime.now(UTC)
    found = records(data_dir, since=beginning(asked, now))
    listed = latest(found, wanted(asked, now), limit)
    if json:
        for entry in listed.entries:
            sys.stdout.write(json_format.dumps(entry.document) + "\n")
        return Code.GOOD
    if not listed.entries:
        console.err().print("No such record.")
        return Code.GOOD
    print_table(console.out(), asked.kind, listed.entries)
    if listed.count > len(listed.entries):
        more = listed.count - len(listed.entries)
        console.err().print(f"{counted(more, 'older record')} not shown; --limit shows more.")
    return Code.GOOD
