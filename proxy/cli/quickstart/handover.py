"""What the reader takes along: where to connect, with what, and what to try next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.cli.quickstart import texts
from proxy.cli.quickstart.place import Place
from proxy.cli.serving import program
from proxy.wire.methods import MODERN_VERSIONS

_LIST: Final = "tools/list"


@dataclass(frozen=True, slots=True)
class Access:
    """The agent's endpoint and token; `life` is in seconds."""

    url: str
    token: str
    life: int


def client_configuration(access: Access) -> str:
    """Return the settings that MCP clients commonly read."""
    server = {
        "type": "streamable-http",
        "url": access.url,
        "headers": {"Authorization": f"Bearer {access.token}"},
    }
    return json.dumps({"mcpServers": {texts.SERVER: server}}, indent=2)


def curl_line(access: Access) -> str:
    """Return a shell's line that asks for the tools, in the form of 2026-07-28."""
    version = max(MODERN_VERSIONS)
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": _LIST, "params": {"_meta": meta}}
    words = ["curl", "-sS", access.url]
    for header in (
        f"Authorization: Bearer {access.token}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        f"MCP-Protocol-Version: {version}",
        f"Mcp-Method: {_LIST}",
    ):
        words += ["-H", header]
    return shlex.join([*words, "-d", json.dumps(body, separators=(",", ":"))])


def next_commands(place: Place, decision_id: str) -> Iterator[str]:
    """Yield command lines to try; *decision_id* is that of a record, or empty."""
    data, policies, facts = (_word(one) for one in (place.data, place.policies, place.facts))
    call = 'allow(Client{"demo-agent"}, "call", Tool{"demo__add_note"})'
    name = program()
    yield f"{name} record list --data-dir {data}"
    if decision_id:
        yield f"{name} record show {decision_id} --data-dir {data}"
    yield f"{name} policy explain {policies} --facts {facts} {shlex.quote(call)}"
    yield f"{name} policy test {policies}"


def _word(path: Path) -> str:
    """Return *path* for a shell, from the working directory where it is below that."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
