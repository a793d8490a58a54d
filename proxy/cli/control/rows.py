"""The lines of tables."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.text import Text

from proxy.cli.policy import console


def row(*cells: str, style: str = "") -> list[Text]:
    """Return the cells of one line, fit for a terminal."""
    return [Text(console.visible(cell), style=style) for cell in cells]


def moment(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
