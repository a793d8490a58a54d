"""The reference of all settings, written from the tree itself."""

from __future__ import annotations

from proxy.config.shape import Leaf, leaves


def reference() -> str:
    """Return a Markdown table of every setting: name, type, default, description, variable."""
    rows = [
        "| setting | type | default | what it is | variable |",
        "|---|---|---|---|---|",
        *(_row(leaf) for leaf in leaves()),
    ]
    return "\n".join(rows) + "\n"


def _row(leaf: Leaf) -> str:
    default = f"`{leaf.shown}`" if leaf.shown else "none"
    cells = (f"`{leaf.key}`", leaf.wanted, default, leaf.description, f"`{leaf.variable}`")
    return f"| {' | '.join(cells)} |"
