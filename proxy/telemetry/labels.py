"""The closed sets that label values come from: whatever is not in its set is counted as other."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from policies.vocabulary import ACTIONS as ACTIONS_BY_TYPE
from proxy.identity.refusal import Reason
from proxy.upstream.failures import Kind
from proxy.wire.methods import TABLE
from proxy.wire.methods import VERSIONS as PROTOCOL_VERSIONS
from proxy.wire.refusals import Fault

OTHER: Final = "other"

OTHER_ERROR: Final = "_OTHER"
"""The semantic conventions' own word for an `error.type` without a name."""

TOOL_ERROR: Final = "tool_error"
"""The `error.type` of a tool that says itself, in a result, that it failed."""

CLIENT_LEFT: Final = "client_left"
"""The `error.type` of a call whose client did not wait for the answer."""

RESPONSE: Final = "response"
"""What a dropped message is that answers nothing."""

METHODS: Final = frozenset(row.name for row in TABLE)
VERSIONS: Final = frozenset(PROTOCOL_VERSIONS)
ACTIONS: Final = frozenset(action for actions in ACTIONS_BY_TYPE.values() for action in actions)
WRONG_SECRET: Final = "wrong_secret"  # noqa: S105  a reason
"""How a wrong bootstrap secret is counted."""

REFUSALS: Final = {WRONG_SECRET} | set(map(str, Reason)) | {fault.name.lower() for fault in Fault}
UPSTREAM_KINDS: Final = frozenset(map(str, Kind))
DROPPED: Final = METHODS | {RESPONSE}
ERRORS: Final = frozenset(
    {
        *(str(fault.value.code) for fault in Fault),
        *("-32603", "-32002", "40301", "40401", "42901", "50201", "50301", "50302", "50401"),
        TOOL_ERROR,
        CLIENT_LEFT,
    }
)
"""The JSON-RPC codes that the gateway answers with or relays, and what failed without one."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The sets that only a running gateway knows: its servers, and why its listener refuses.

    Servers come and go, and a name counts while it is one of theirs.
    """

    servers: Container[str]
    listener_refusals: frozenset[str] = frozenset()

    def server(self, name: str) -> str:
        return name if name in self.servers else OTHER

    def refusal(self, reason: str) -> str:
        known = reason in REFUSALS or reason in self.listener_refusals
        return reason if known else OTHER


def method(name: str) -> str:
    return name if name in METHODS else OTHER


def version(name: str) -> str:
    return name if name in VERSIONS else OTHER


def error(name: str) -> str:
    """Return the `error.type`; empty for what did not fail."""
    return name if not name or name in ERRORS else OTHER_ERROR
