"""The policies of the month, one after another, and the edits whose effect is foretold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files
from typing import Final

from policies.bundle import Bundle, load, read_sources

_OWN: Final = "month.polar"
_TESTS: Final = re.compile(rb"^test .*?^}\n", re.DOTALL | re.MULTILINE)

_RULES: Final = """
has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "moded") and argument(tool, "mode", "read");

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "branched")
  and argument_matches(tool, "branch", "release/*");

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "outward")
  and argument_not_host(tool, "url", "*.inside.example");

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "quiet")
  and not argument_present(tool, "force");

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "scoped") and claim(actor, "scope", "write");

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "near")
  and source_address(actor, "10.0.0.0/8");

has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "viewer", tool) and id_matches(tool, "*__read*") and is_read_only(tool);

has_permission(actor: Actor, "get", prompt: Prompt) if
  has_role(actor, "viewer", prompt) and argument(prompt, "language", "en");

has_permission(actor: Actor, "read", document: Document) if
  has_role(actor, "viewer", document) and uri_under(document, "file:///srv/public");
"""

_HOURS: Final = """
has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "timed")
  and hour_of_day("Europe/Berlin", hour) and hour >= 8 and hour < 18;
"""
_DRY: Final = """
has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "moded") and argument(tool, "dry_run", true);
"""
_WEEKDAYS: Final = """
has_permission(actor: Actor, "call", tool: Tool) if
  has_role(actor, "caller", tool) and has_tag(tool, "moded")
  and argument(tool, "mode", "write") and weekday("UTC", 1);
"""

MONTH: Final = (
    _RULES,
    _RULES + _HOURS,
    _RULES + _HOURS + _DRY,
    _RULES + _HOURS + _DRY + _WEEKDAYS,
)
"""What is added to the shipped rules, from the beginning and after each change."""

EDITS: Final[Mapping[str, tuple[str, str]]] = {
    "a rule removed": (_DRY, ""),
    "a condition added": (
        "and is_served(resource);",
        'and is_served(resource)\n  and not has_tag(resource, "frozen");',
    ),
    "a condition negated": ("not argument_present", "argument_present"),
    "an argument test of another value": ('"release/*"', '"hotfix/*"'),
    "an argument test of another key": (
        'argument(tool, "mode", "read")',
        'argument(tool, "method", "read")',
    ),
    "a role that servers pass on no more": (
        'toolset: Toolset };\n\n  role if role on "server";\n\n  "call"',
        'toolset: Toolset };\n\n  "call"',
    ),
    "a wider glob": ('id_matches(tool, "*__read*")', 'id_matches(tool, "*__*e*")'),
    "a lower limit": ("and amount <= limit;", "and amount <= limit\n  and amount <= 100;"),
    "leases that never end": (
        "resource, until)\n  and @current_unix_time < until;",
        "resource, _);",
    ),
    "tools that need no approval": (
        'definition_state(tool, "approved")\n  and server matches',
        "server matches",
    ),
    "a server that not every user sees": (
        '"connect" if sees(actor, resource) or global "user" or global "admin";',
        '"connect" if sees(actor, resource) or global "admin";',
    ),
    "another claim": ('claim(actor, "scope", "write")', 'claim(actor, "sub", "client:agent-1")'),
}
"""What each edit of the last policy puts in the place of what."""


@cache
def month_policies() -> tuple[Bundle, ...]:
    """Return the policies of the month, in the order in which they are in force."""
    shipped = _shipped()
    return tuple(_loaded({**shipped, _OWN: rules}) for rules in MONTH)


def edited() -> dict[str, Bundle]:
    """Return the policy of each edit. Raise `ValueError` for one that edits nothing."""
    last = {**_shipped(), _OWN: MONTH[-1]}
    return {name: _loaded(_edit(last, *change)) for name, change in EDITS.items()}


def _edit(sources: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    changed = {name: text.replace(old, new) for name, text in sources.items()}
    if changed == sources:
        raise ValueError(f"no rule says {old!r}")
    return changed


def _shipped() -> dict[str, str]:
    # The tests in these files prove nothing here, and take most of the time to read.
    with as_file(files("policies") / "rules") as rules:
        return {
            name: _TESTS.sub(b"", content).decode()
            for name, content in read_sources([rules]).items()
            if isinstance(content, bytes)
        }


def _loaded(sources: Mapping[str, str]) -> Bundle:
    return load(sources, portable=False, tested=False)
