"""The answer to `initialize` or `server/discover`, restricted to what is carried here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.listing import private
from proxy.opening import TASKS_EXTENSION
from proxy.wire.headers import Judged
from proxy.wire.methods import LEGACY_VERSIONS, VERSIONS

# What is not in here is not carried: a client must not be told that it could use it. Of each, the
# members that may be told of.
_CARRIED: Final = {
    "tools": frozenset({"listChanged"}),
    "prompts": frozenset({"listChanged"}),
    "resources": frozenset({"listChanged", "subscribe"}),
    "completions": frozenset[str](),
    "logging": frozenset[str](),
    "tasks": frozenset({"list", "cancel", "requests"}),
    "extensions": frozenset({TASKS_EXTENSION}),
}
_CHANGES: Final = frozenset({"tools", "prompts", "resources"})


class UnusableResultError(Exception):
    """A result that cannot be passed on. The text is for the log."""


def introduction(judged: Judged, result: dict[str, Any]) -> dict[str, Any]:
    """Return *result* without what is not carried. Raises `UnusableResultError`."""
    capabilities = result.get("capabilities")
    if type(capabilities) is not dict:
        raise UnusableResultError("the capabilities cannot be read")
    carried = _carried(capabilities, is_modern=judged.is_modern)
    result = result | {"capabilities": carried}
    if not judged.is_modern:
        if result.get("protocolVersion") not in LEGACY_VERSIONS:
            raise UnusableResultError("no version of the protocol that is known here")
        return result
    versions = result.get("supportedVersions")
    known = [one for one in versions if one in VERSIONS] if type(versions) is list else []
    if not known:
        raise UnusableResultError("no version of the protocol that is known here")
    return private(result) | {"supportedVersions": known}


def _carried(capabilities: Mapping[str, Any], *, is_modern: bool) -> dict[str, Any]:
    carried: dict[str, Any] = {}
    for name, members in _CARRIED.items():
        value = capabilities.get(name)
        if type(value) is not dict:
            continue
        carried[name] = {key: inner for key, inner in value.items() if key in members}
        if name in _CHANGES and not is_modern:
            # What a caller may see changes with the policy, whatever the upstream does.
            carried[name]["listChanged"] = True
    return carried
