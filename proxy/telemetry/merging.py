"""The metrics of several workers as one text, for a scraper that reaches any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_HELP: Final = b"# HELP "


def merged(texts: Mapping[int, bytes]) -> bytes:
    """Return *texts*, in the text format of Prometheus and by number of worker, as one.

    Each family is told once, and each sample has the label `worker`.
    """
    families: dict[bytes, dict[bytes, None]] = {}
    family: dict[bytes, None] = {}
    for number, text in sorted(texts.items()):
        label = b'worker="%d"' % number
        for line in text.split(b"\n"):
            if line.startswith(_HELP):
                name = line.removeprefix(_HELP).partition(b" ")[0]
                family = families.setdefault(name, {})
            if line:
                family[line if line.startswith(b"#") else _labelled(line, label)] = None
    return b"".join(b"%b\n" % line for lines in families.values() for line in lines)


def _labelled(sample: bytes, label: bytes) -> bytes:
    name, brace, rest = sample.partition(b"{")
    # A brace after a blank would be within the value of no label of this name.
    if brace and b" " not in name:
        return b"%b{%b,%b" % (name, label, rest)
    name, _, value = sample.partition(b" ")
    return b"%b{%b} %b" % (name, label, value)
