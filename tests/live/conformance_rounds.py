"""Tools and a prompt that need several rounds: what the modern era has for asking the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

InputRequest = CreateMessageRequest | ElicitRequest | ListRootsRequest


def asking(message: str, name: str, type_: str = "string") -> ElicitRequest:
    """Return a form with the one field *name*."""
    form = {"type": "object", "properties": {name: {"type": type_}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))


def _sampling(text: str, most: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[message], max_tokens=most)
    )


def needs(state: str | None = None, /, **requests: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=requests, request_state=state)


def _accepted(ctx: Context, key: str) -> Mapping[str, Any] | None:
    """Return what the user wrote into the form *key*, or None if that is not there."""
    answer = (ctx.input_responses or {}).get(key)
    if isinstance(answer, ElicitResult) and answer.action == "accept":
        return answer.content or {}
    return None


def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Greet by a name that has to be asked for."""
    content = _accepted(ctx, "user_name")
    if content is None:
        return needs(user_name=asking("What is your name?", "name"))
    return f"Hello, {content.get('name')}!"


def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
    """Repeat what the client's model says."""
    answer = (ctx.input_responses or {}).get("capital_question")
    if not isinstance(answer, CreateMessageResult):
        return needs(capital_question=_sampling("What is the capital of France?", 100))
    return answer.content.text if isinstance(answer.content, TextContent) else answer.content.type


def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
    """Repeat the client's roots."""
    answer = (ctx.input_responses or {}).get("client_roots")
    if not isinstance(answer, ListRootsResult):
        return needs(client_roots=ListRootsRequest())
    return ", ".join(str(root.uri) for root in answer.roots)


_ROUND: Final = "the first round was asked"


def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
    """Want its own state back."""
    if ctx.request_state != _ROUND or _accepted(ctx, "confirm") is None:
        return needs(_ROUND, confirm=asking("Please confirm", "ok", "boolean"))
    return "state-ok"


def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
    """Want its own state back, unchanged: the server's seal tells."""
    if ctx.request_state != _ROUND:
        return needs(_ROUND, confirm=asking("Please confirm", "ok", "boolean"))
    return "The state was not changed."


def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
    """Ask for everything there is to ask for, at once."""
    wanted: dict[str, InputRequest] = {
        "user_name": asking("What is your name?", "name"),
        "greeting": _sampling("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if not wanted.keys() <= (ctx.input_responses or {}).keys():
        return needs(_ROUND, **wanted)
    return "Everything was answered."


def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
    """Ask twice."""
    if (color := _accepted(ctx, "step2")) is not None and ctx.request_state:
        return f"{ctx.request_state} likes {color.get('color')}"
    if (name := _accepted(ctx, "step1")) is not None:
        more = asking("Step 2: What is your favorite color?", "color")
        return needs(str(name.get("name")), step2=more)
    return needs("nobody", step1=asking("Step 1: What is your name?", "name"))


def test_input_required_result_capabilities(ctx: Context) -> str | InputRequiredResult:
    """Ask only for what the client has declared."""
    capabilities, wanted = ctx.client_capabilities, dict[str, InputRequest]()
    if capabilities is not None and capabilities.sampling is not None:
        wanted["question"] = _sampling("What can you do?", 100)
    if capabilities is not None and capabilities.elicitation is not None:
        wanted["form"] = asking("What can you do?", "answer")
    if ctx.input_responses or not wanted:
        return "Nothing more to ask."
    return needs(**wanted)


async def test_streaming_elicitation(ctx: Context) -> str | InputRequiredResult:
    """Ask at the end of a stream."""
    await ctx.report_progress(1, 2)
    if _accepted(ctx, "answer") is None:
        return needs(answer=asking("Will you go on?", "answer"))
    return "Went on."


def test_input_required_result_prompt(ctx: Context) -> str | InputRequiredResult:
    """Make a prompt of what has to be asked for."""
    content = _accepted(ctx, "user_context")
    if content is None:
        return needs(user_context=asking("What context should the prompt use?", "context"))
    return f"Use this context: {content.get('context')}"


_TOOLS: Final[tuple[Callable[..., Any], ...]] = (
    test_input_required_result_elicitation, test_input_required_result_sampling,
    test_input_required_result_list_roots, test_input_required_result_request_state,
    test_input_required_result_tampered_state, test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round, test_input_required_result_capabilities,
    test_streaming_elicitation,
)  # fmt: skip


def offer_rounds(server: MCPServer) -> None:
    """Let *server* offer these."""
    for tool in _TOOLS:
        server.add_tool(tool)
    server.prompt()(test_input_required_result_prompt)
