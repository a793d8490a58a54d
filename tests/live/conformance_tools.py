"""Tools that the official conformance suite calls, but for those that take several rounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Any, Final

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    ClientCapabilities,
    ContentBlock,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitResult,
    SamplingCapability,
    SamplingMessage,
    TextContent,
)
from pydantic import Field

from tests.live.conformance_offers import AUDIO, IMAGE, embedded, test_simple_prompt

_A_MOMENT: Final = 0.05


# Tools that answer at once.


def test_simple_text() -> str:
    """Return text."""
    return "This is a simple text response for testing."


def test_image_content() -> list[ContentBlock]:
    """Return an image."""
    return [IMAGE]


def test_audio_content() -> list[ContentBlock]:
    """Return a sound."""
    return [AUDIO]


def test_embedded_resource() -> list[ContentBlock]:
    """Return a resource inside the result."""
    return [
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ]


def test_multiple_content_types() -> list[ContentBlock]:
    """Return text, an image and a resource."""
    held = json.dumps({"test": "data", "value": 123})
    return [
        TextContent(text="Multiple content types test:"),
        IMAGE,
        embedded("test://mixed-content-resource", "application/json", held),
    ]


def test_error_handling() -> str:
    """Fail, always."""
    raise ToolError("This tool intentionally returns an error for testing")


def test_mirrored_header(
    region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
) -> str:
    """Take an argument that a header repeats."""
    return f"Region: {region}"


def json_schema_2020_12_tool() -> str:
    """Tool with JSON Schema 2020-12 features."""
    return "Arguments of many kinds were taken."


_SCHEMA_2020_12: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


# Tools that tell the client something before they answer.


async def test_tool_with_logging(ctx: Context) -> str:
    """Log three times."""
    await ctx.info("Tool execution started")
    await asyncio.sleep(_A_MOMENT)
    await ctx.info("Tool processing data")
    await asyncio.sleep(_A_MOMENT)
    await ctx.info("Tool execution completed")
    return "Logged three times."


async def test_logging_tool(ctx: Context) -> str:
    """Log, if the request wants it."""
    await ctx.info("Said only to who asked for it")
    return "Logged, perhaps."


async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100)
        await asyncio.sleep(_A_MOMENT)
    return "Done."


async def test_reconnection(ctx: Context) -> str:
    """Close the stream before answering, so that the client must come back for the answer."""
    # The stream takes a moment to begin, and one that never began cannot be resumed.
    await asyncio.sleep(2 * _A_MOMENT)
    await ctx.close_sse_stream()
    await asyncio.sleep(_A_MOMENT)
    return "Reconnection test completed successfully."


# Tools that ask the client something. All of these are of the legacy era.


async def test_sampling(prompt: str, ctx: Context) -> str:
    """Ask the client's model."""
    message = SamplingMessage(role="user", content=TextContent(text=prompt))
    answer = await ctx.request_context.session.send_request(
        CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=100)),
        CreateMessageResult,
        metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
    )
    said = answer.content.text if isinstance(answer.content, TextContent) else answer.content.type
    return f"LLM response: {said}"


def _form(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


async def _elicited(ctx: Context, message: str, form: dict[str, Any]) -> ElicitResult:
    session = ctx.request_context.session
    return await session.elicit_form(message, form, related_request_id=ctx.request_id)


def _shown(answer: ElicitResult) -> str:
    return f"action={answer.action}, content={json.dumps(answer.content)}"


async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask the user for a name and an address."""
    form = _form(
        {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        },
        "username",
        "email",
    )
    return f"User response: {_shown(await _elicited(ctx, message, form))}"


async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask the user with a default for each kind of value."""
    states = ["active", "inactive", "pending"]
    form = _form(
        {
            "name": {"type": "string", "default": "John Doe"},
            "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5},
            "status": {"type": "string", "enum": states, "default": "active"},
            "verified": {"type": "boolean", "default": True},
        }
    )
    answer = await _elicited(ctx, "Please look at the defaults", form)
    return f"Elicitation completed: {_shown(answer)}"


async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask the user to choose, in each of the ways there are."""

    def titled(noun: str) -> list[dict[str, str]]:
        return [
            {"const": f"value{number}", "title": f"{ordinal} {noun}"}
            for number, ordinal in enumerate(("First", "Second", "Third"), 1)
        ]

    options = ["option1", "option2", "option3"]
    form = _form(
        {
            "untitledSingle": {"type": "string", "enum": options},
            "titledSingle": {"type": "string", "oneOf": titled("Option")},
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
            "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}},
        }
    )
    return f"Elicitation completed: {_shown(await _elicited(ctx, 'Please choose', form))}"


# Tools of the modern era.


async def test_missing_capability(ctx: Context) -> str:
    """Refuse who has not declared sampling."""
    needed = ClientCapabilities(sampling=SamplingCapability())
    if not ctx.session.check_client_capability(needed):
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This tool needs sampling",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return "Sampling is declared."


async def test_trigger_tool_change(ctx: Context) -> str:
    """Offer one more tool, or take it back."""
    server, extra = ctx.mcp_server, "test_extra"
    if extra in {tool.name for tool in await server.list_tools()}:
        server.remove_tool(extra)
    else:
        server.add_tool(test_simple_text, name=extra)
    await ctx.notify_tools_changed()
    return "The tools have changed."


async def test_trigger_prompt_change(ctx: Context) -> str:
    """Offer one more prompt, or take it back."""
    server, extra = ctx.mcp_server, "test_extra_prompt"
    if extra in {prompt.name for prompt in await server.list_prompts()}:
        server.remove_prompt(extra)
    else:
        server.prompt(extra, description="Say little.")(test_simple_prompt)
    await ctx.notify_prompts_changed()
    return "The prompts have changed."


# Tools of which tasks may be made, if the client can have tasks. One of them does without.


def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


def slow_compute(seconds: float, label: str = "") -> str:
    """Pretend to have computed for so long."""
    return f"Computed {label} for {seconds} seconds."


def job(filename: str = "") -> str:
    """Do something that takes a while."""
    raise ToolError(f"There is no doing this at once. {filename}")


_JOBS: Final = (
    "failing_job", "protocol_error_job", "confirm_delete", "multi_input", "test_tool_with_task"
)  # fmt: skip


_TOOLS: Final[tuple[Callable[..., Any], ...]] = (
    test_simple_text, test_image_content, test_audio_content, test_embedded_resource,
    test_multiple_content_types, test_error_handling, test_mirrored_header,
    test_tool_with_logging, test_logging_tool, test_tool_with_progress, test_reconnection,
    test_sampling, test_elicitation, test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums, test_missing_capability, test_trigger_tool_change,
    test_trigger_prompt_change, greet, slow_compute,
)  # fmt: skip


def schema_tool() -> Tool:
    """Return the tool whose schema no function has."""
    tool = Tool.from_function(json_schema_2020_12_tool)
    return tool.model_copy(update={"parameters": _SCHEMA_2020_12})


def offer_tools(server: MCPServer) -> None:
    """Let *server* offer these, but for `schema_tool`, which it takes when it is made."""
    for tool in _TOOLS:
        server.add_tool(tool)
    for name in _JOBS:
        server.add_tool(job, name=name)
