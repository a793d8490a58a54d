"""A client, made with the `mcp` package, for the client scenarios of the conformance suite."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

import httpx2
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    Root,
    TextContent,
    Tool,
)
from pydantic import FileUrl, ValidationError

Doing = Callable[[Client, Mapping[str, Any]], Awaitable[None]]

MODERN: Final = "2026-07-28"
_PATIENCE: Final = 20.0

# A value for each type that a required argument may have.
_EXAMPLES: Final = {"string": "example", "integer": 1, "number": 1.5, "boolean": True}


async def act(
    scenario: str, revision: str, url: str, context: Mapping[str, Any], token: str | None = None
) -> None:
    """Do at *url* what *scenario* wants, in the era of *revision*. *context* is the scenario's."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=_PATIENCE, trust_env=False) as http,
        Client(
            streamable_http_client(url, http_client=http),
            mode="auto" if revision == MODERN else "legacy",
            read_timeout_seconds=_PATIENCE,
            sampling_callback=_sample,
            elicitation_callback=_elicit,
            list_roots_callback=_list_roots,
        ) as client,
    ):
        await SCENARIOS[scenario](client, context)


async def _list_only(client: Client, _context: Mapping[str, Any]) -> None:
    await client.list_tools()


async def _call_all(client: Client, _context: Mapping[str, Any]) -> None:
    for tool in (await client.list_tools()).tools:
        await client.call_tool(tool.name, _arguments(tool))


async def _call_all_leniently(client: Client, _context: Mapping[str, Any]) -> None:
    for tool in (await client.list_tools()).tools:
        # The package takes nothing without a type for a result; the suite minds only another call.
        with suppress(ValidationError):
            await client.call_tool(tool.name)


async def _add(client: Client, _context: Mapping[str, Any]) -> None:
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 2, "b": 3})


async def _use_everything(client: Client, context: Mapping[str, Any]) -> None:
    await _call_all(client, context)
    for resource in (await client.list_resources()).resources:
        await client.read_resource(resource.uri)
    for prompt in (await client.list_prompts()).prompts:
        await client.get_prompt(prompt.name)


async def _call_as_told(client: Client, context: Mapping[str, Any]) -> None:
    await client.list_tools()
    for call in context["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def _echo_schema(client: Client, _context: Mapping[str, Any]) -> None:
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    schema = tools["json_schema_2020_12_tool"].input_schema
    await client.call_tool("json_schema_echo", {"schema": schema})


def _arguments(tool: Tool) -> dict[str, Any]:
    properties = tool.input_schema.get("properties", {})
    wanted = tool.input_schema.get("required", ())
    return {name: _EXAMPLES[properties[name]["type"]] for name in wanted}


# The package prescribes the names of what these take.


async def _sample(
    context: ClientRequestContext,  # noqa: ARG001
    params: CreateMessageRequestParams,  # noqa: ARG001
) -> CreateMessageResult:
    said = TextContent(text="What a model would say.")
    return CreateMessageResult(role="assistant", content=said, model="none")


async def _elicit(
    context: ClientRequestContext,  # noqa: ARG001
    params: ElicitRequestParams,
) -> ElicitResult:
    """Accept, with the default of each field, and yes where there is none."""
    if not isinstance(params, ElicitRequestFormParams):
        return ElicitResult(action="decline")
    fields = params.requested_schema.get("properties", {})
    content = {name: field.get("default", True) for name, field in fields.items()}
    return ElicitResult(action="accept", content=content)


async def _list_roots(context: ClientRequestContext) -> ListRootsResult:  # noqa: ARG001
    return ListRootsResult(roots=[Root(uri=FileUrl("file:///nowhere"))])


SCENARIOS: Final[Mapping[str, Doing]] = MappingProxyType(
    {
        "initialize": _list_only,
        "tools_call": _add,
        "elicitation-sep1034-client-defaults": _call_all,
        "sse-retry": _call_all,
        "request-metadata": _list_only,
        "http-standard-headers": _use_everything,
        "http-custom-headers": _call_as_told,
        "http-invalid-tool-headers": _call_all,
        "json-schema-ref-no-deref": _list_only,
        "json-schema-2020-12-preservation": _echo_schema,
        "sep-2322-client-request-state": _call_all_leniently,
    }
)
"""What the client does in each scenario that it knows."""
