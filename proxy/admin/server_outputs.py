"""What the routes of servers, and of what they offer, give."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from proxy.admin.routes import Output
from proxy.upstream.reach import Network
from proxy.upstream.terms import SessionMode
from storage.definitions import State

Enforced = Literal["enforce", "observe"]
"""Whether what the policy denies is refused, or recorded and done all the same."""


class CatalogueDocument(Output):
    """What is known of a server's offer; `taken_at` is null until this process has asked it."""

    known: bool
    tools: int
    prompts: int
    resources: int
    last_failure: str | None
    taken_at: int | None


class ServerDocument(Output):
    """A server. What has a default is shown to whoever manages servers."""

    name: str
    transport: Literal["http"]
    url: str = ""
    description: str
    network: Network = "public"
    session_mode: SessionMode
    headers: list[str] = Field(default_factory=list)
    has_bearer: bool = False
    enabled: bool
    enforcement: Enforced
    observed_until: int | None
    source: Literal["settings", "registered"]
    registered_at: int | None
    registered_by: str | None = None
    catalogue: CatalogueDocument


class ServersPage(Output):
    servers: list[ServerDocument]
    next: str | None


class OneServer(Output):
    server: ServerDocument


class EnforcementDocument(Output):
    """How the policy is enforced on a server; `observed_until` is null where nothing ends it."""

    name: str
    enforcement: Enforced
    observed_until: int | None


class Affected(Output):
    name: str
    tools_affected: list[str]
    prompts_affected: list[str]


class Names(Output):
    names: list[str]


class ToolDocument(Output):
    """A tool; what has a default is there if the server says it."""

    name: str
    server: str
    enabled: bool
    state: State
    description: Any
    input_schema: Any
    output_schema: Any = None
    annotations: Any = None
    title: Any = None


class ToolsPage(Output):
    tools: list[ToolDocument]
    next: str | None


class PromptDocument(Output):
    name: str
    server: str
    enabled: bool
    state: State
    description: Any
    arguments: Any = None
    title: Any = None


class PromptsPage(Output):
    prompts: list[PromptDocument]
    next: str | None


class ResourceDocument(Output):
    """A resource; `uri` is that of the gateway, `server|uri`."""

    uri: str
    name: Any
    server: str
    enabled: bool
    state: State
    description: Any
    mime_type: Any = None
    title: Any = None


class ResourcesPage(Output):
    resources: list[ResourceDocument]
    next: str | None
