"""Names that another program may take for a protocol name: other case, other form, NUL.

Some peers match the members of an object ignoring case (CVE-2026-27896) or stop at NUL
(GHSA-q382-vc8q-7jhj). `Name` beside `name` would then let us judge one tool and them run another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from unicodedata import normalize

# What the dotted capital becomes in lower case; peers that fold letter by letter drop the dot.
_DOTTED_I = "i\u0307"

# No character that folds to ASCII takes more than this many of its own to do so, so a longer name
# cannot fold onto a known one and need not be normalised.
_MAX_SHRINKAGE = 8


class Known:
    """The protocol's names in one object; `below` the objects among them whose names we know."""

    __slots__ = ("_folds", "_longest", "_prefix", "below", "names")

    def __init__(self, *names: str, prefix: str = "", **below: Known) -> None:
        self.below: Mapping[str, Known] = below
        self.names = frozenset(names) | below.keys()
        self._folds = frozenset(map(_folded, self.names))
        self._longest = _MAX_SHRINKAGE * max(map(len, (*self.names, prefix)))
        self._prefix = prefix

    def with_below(self, name: str, known: Known) -> Known:
        """Return the same names and *name*, which need not be a Python identifier."""
        return Known(*self.names, prefix=self._prefix, **{**self.below, name: known})

    def imitates(self, key: str) -> bool:
        """Say whether *key* is none of the names but may be read as one, or as their prefix."""
        if key in self.names:
            return False
        folds = _folds(key, self._longest)
        if any(fold in self._folds for fold in folds):
            return True
        prefix = self._prefix
        return bool(prefix) and not key.startswith(prefix) and _begins(key, prefix)


def lookalike(members: Mapping[str, Any], known: Known) -> str | None:
    """Return a key in *members*, or in an object below it, that imitates a known one."""
    for key, value in members.items():
        if key not in known.names:
            if known.imitates(key):
                return key
        elif type(value) is dict and (below := known.below.get(key)) is not None:
            found = lookalike(value, below)
            if found is not None:
                return found
    return None


def _folds(key: str, longest: int) -> Iterator[str]:
    if "\0" not in key:
        readings: tuple[str, ...] = (key,)
    else:
        readings = (key.replace("\0", ""), key.partition("\0")[0])
    return (_folded(reading) for reading in readings if len(reading) <= longest)


def _begins(key: str, prefix: str) -> bool:
    start = key.replace("\0", "")[: _MAX_SHRINKAGE * len(prefix)]
    return _folded(start).startswith(prefix)


def _folded(name: str) -> str:
    if name.isascii():
        return name.lower()
    # Upper case first: it alone joins the dotless i to the others.
    folded = normalize("NFKC", name).upper().casefold()
    return normalize("NFKC", folded).replace(_DOTTED_I, "i")


_CAPABILITIES: Final = Known(
    "sampling", "elicitation", "roots", "tasks", "experimental", "extensions",
    "tools", "prompts", "resources", "logging", "completions",
)  # fmt: skip
_IDENTITY: Final = Known("name", "title", "version")
_META_PREFIX: Final = "io.modelcontextprotocol/"
_META: Final = (
    Known(
        "progressToken", "traceparent", "tracestate", "baggage",
        f"{_META_PREFIX}protocolVersion", f"{_META_PREFIX}logLevel",
        f"{_META_PREFIX}subscriptionId", f"{_META_PREFIX}related-task",
        f"{_META_PREFIX}serverInfo", f"{_META_PREFIX}model-immediate-response",
        prefix=_META_PREFIX,
    )
    .with_below(f"{_META_PREFIX}clientCapabilities", _CAPABILITIES)
    .with_below(f"{_META_PREFIX}clientInfo", _IDENTITY)
)  # fmt: skip

PARAMS: Final = Known(
    "name", "arguments", "uri", "cursor", "level", "requestId", "reason", "taskId",
    "inputResponses", "requestState", "protocolVersion", "progressToken", "progress", "total",
    "message", "data", "logger", "messages", "systemPrompt", "includeContext", "maxTokens",
    "modelPreferences", "stopSequences", "temperature", "metadata", "tools", "toolChoice",
    "mode", "requestedSchema", "url", "elicitationId", "status", "statusMessage",
    _meta=_META,
    ref=Known("type", "name", "uri"),
    argument=Known("name", "value"),
    context=Known("arguments"),
    task=Known("ttl", "taskId"),
    capabilities=_CAPABILITIES,
    clientInfo=_IDENTITY,
    notifications=Known(
        "toolsListChanged", "promptsListChanged", "resourcesListChanged",
        "resourceSubscriptions", "taskIds",
    ),
)  # fmt: skip
"""The names that may stand in `params`, of any method in any version."""

RESULT: Final = Known(
    "tools", "prompts", "resources", "resourceTemplates", "contents", "content", "messages",
    "structuredContent", "isError", "nextCursor", "completion", "resultType", "inputRequests",
    "requestState", "supportedVersions", "instructions", "ttlMs", "cacheScope",
    "protocolVersion", "tasks", "task", "taskId", "status", "roots", "action", "role", "model",
    "description", "stopReason",
    _meta=_META,
    capabilities=_CAPABILITIES,
    serverInfo=_IDENTITY,
)  # fmt: skip
"""The names that may stand in `result`, of any method in any version."""

ERROR: Final = Known("code", "message", "data")

ITEM: Final = Known(
    "name", "title", "description", "inputSchema", "outputSchema", "annotations", "execution",
    "icons", "uri", "uriTemplate", "mimeType", "size", "arguments",
    _meta=_META,
)  # fmt: skip
"""The names that may stand in an item of a list: a tool, prompt, resource or template."""
