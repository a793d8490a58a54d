"""The tasks extension (`io.modelcontextprotocol/tasks`) with jobs for the conformance suite."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.server import require_client_extension
from mcp.types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    ElicitResult,
    RequestParams,
)

from tests.live.conformance_rounds import asking, needs

TASKS: Final = "io.modelcontextprotocol/tasks"
VERSIONS: Final = frozenset({"2026-07-28"})

_LIFE_MILLISECONDS: Final = 60_000
_POLL_MILLISECONDS: Final = 100
# The suite's seconds last this long: nobody learns more from waiting.
_SECOND: Final = 0.05

Answers = Mapping[str, Any]
Job = Callable[["Task", Mapping[str, Any]], Awaitable[str]]


class Task:
    """One call of a tool, under way or over."""

    def __init__(self, job: Job, arguments: Mapping[str, Any]) -> None:
        self.id = uuid4().hex
        self._status = "working"
        self._end: dict[str, Any] = {}
        self._inputs: dict[str, Any] = {}
        self._answers: dict[str, Any] = {}
        self._answered = asyncio.Event()
        self._began = self._changed = _now()
        self._run = asyncio.create_task(self._work(job, arguments))

    def created(self) -> dict[str, Any]:
        """Return the result of the call that began this."""
        return {"resultType": "task", **self._summary()}

    def detailed(self) -> dict[str, Any]:
        asked = {"inputRequests": self._inputs} if self._inputs else {}
        return {"resultType": "complete", **self._summary(), **asked, **self._end}

    async def ask(self, requests: Mapping[str, Any]) -> Answers:
        """Return what the client answers to *requests*, once it has answered them all."""
        self._inputs = dict(requests)
        self._become("input_required")
        await self._answered.wait()
        return self._answers

    def answer(self, responses: Answers) -> None:
        """Take those of *responses* that were asked for."""
        for key in self._inputs.keys() & responses.keys():
            del self._inputs[key]
            self._answers[key] = responses[key]
        if self._status == "input_required" and not self._inputs:
            self._become("working")
            self._answered.set()

    def cancel(self) -> None:
        if self._status in ("working", "input_required"):
            self._run.cancel()
            self._inputs = {}
            self._become("cancelled")

    async def _work(self, job: Job, arguments: Mapping[str, Any]) -> None:
        try:
            text, is_error = await job(self, arguments), False
        except ToolError as error:
            text, is_error = str(error), True
        except MCPError as error:
            self._end = {"error": error.error.model_dump(exclude_none=True)}
            self._become("failed")
            return
        content = [{"type": "text", "text": text}]
        self._end = {"result": {"content": content, "isError": is_error}}
        self._become("completed")

    def _become(self, status: str) -> None:
        self._status, self._changed = status, _now()

    def _summary(self) -> dict[str, Any]:
        return {
            "taskId": self.id,
            "status": self._status,
            "createdAt": self._began,
            "lastUpdatedAt": self._changed,
            "ttlMs": _LIFE_MILLISECONDS,
            "pollIntervalMs": _POLL_MILLISECONDS,
        }


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def _compute(_task: Task, arguments: Mapping[str, Any]) -> str:
    await asyncio.sleep(arguments["seconds"] * _SECOND)
    return f"Computed {arguments.get('label')}."


async def _fail(_task: Task, _arguments: Mapping[str, Any]) -> str:
    await asyncio.sleep(_SECOND)
    raise ToolError("This job fails, always.")


async def _break(_task: Task, _arguments: Mapping[str, Any]) -> str:
    await asyncio.sleep(_SECOND)
    raise MCPError(INTERNAL_ERROR, "This job breaks, always.")


async def _confirm(task: Task, arguments: Mapping[str, Any]) -> str:
    filename = arguments.get("filename")
    answers = await task.ask({"sure": _wire(f"Delete {filename}?", "confirm", "boolean")})
    return f"{filename}: {answers['sure'].get('action')}"


async def _ask_twice(task: Task, _arguments: Mapping[str, Any]) -> str:
    answers = await task.ask({name: _wire(f"Who is {name}?", "name") for name in ("a", "b")})
    return ", ".join(sorted(answers))


async def _greet(_task: Task, arguments: Mapping[str, Any]) -> str:
    return f"Hello, {arguments['name']}!"


def _wire(message: str, name: str, type_: str = "string") -> dict[str, Any]:
    asked = asking(message, name, type_)
    return asked.model_dump(mode="json", by_alias=True, exclude_none=True)


_OPTIONAL: Final = "slow_compute"
_AFTER_A_ROUND: Final = "test_tool_with_task"
_JOBS: Final[Mapping[str, Job]] = MappingProxyType(
    {
        _OPTIONAL: _compute,
        "failing_job": _fail,
        "protocol_error_job": _break,
        "confirm_delete": _confirm,
        "multi_input": _ask_twice,
        _AFTER_A_ROUND: _greet,
    }
)


class TaskParams(RequestParams):
    task_id: str


class AnswerParams(TaskParams):
    input_responses: dict[str, Any]


class TaskExtension(Extension):
    """Makes tasks of calls of some tools, for clients that can have them."""

    identifier = TASKS

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def methods(self) -> Sequence[MethodBinding]:
        return [
            MethodBinding("tasks/get", TaskParams, self._get, VERSIONS),
            MethodBinding("tasks/update", AnswerParams, self._update, VERSIONS),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, VERSIONS),
        ]

    async def intercept_tool_call(
        self, params: CallToolRequestParams, ctx: ServerRequestContext[Any], call_next: CallNext
    ) -> HandlerResult:
        job, arguments = _JOBS.get(params.name), params.arguments or {}
        if job is None or ctx.protocol_version not in VERSIONS:
            return await call_next(ctx)
        if params.name == _OPTIONAL and not _declared(ctx):
            return await call_next(ctx)
        require_client_extension(ctx, TASKS)
        if params.name == _AFTER_A_ROUND:
            answer = (params.input_responses or {}).get("user_name")
            if not isinstance(answer, ElicitResult):
                return needs(user_name=asking("What is your name?", "name"))
            arguments = answer.content or {}
        task = Task(job, arguments)
        self._tasks[task.id] = task
        return task.created()

    async def _get(self, ctx: ServerRequestContext[Any], params: TaskParams) -> HandlerResult:
        return self._task(ctx, params).detailed()

    async def _update(self, ctx: ServerRequestContext[Any], params: AnswerParams) -> HandlerResult:
        self._task(ctx, params).answer(params.input_responses)
        return {"resultType": "complete"}

    async def _cancel(self, ctx: ServerRequestContext[Any], params: TaskParams) -> HandlerResult:
        self._task(ctx, params).cancel()
        return {"resultType": "complete"}

    def _task(self, ctx: ServerRequestContext[Any], params: TaskParams) -> Task:
        require_client_extension(ctx, TASKS)
        if ctx.request is None or ctx.request.headers.get("mcp-name") != params.task_id:
            raise MCPError(HEADER_MISMATCH, "Mcp-Name is not the task's id")
        task = self._tasks.get(params.task_id)
        if task is None:
            raise MCPError(INVALID_PARAMS, "Unknown task")
        return task


def _declared(ctx: ServerRequestContext[Any]) -> bool:
    capabilities = ctx.session.client_capabilities
    return TASKS in ((capabilities and capabilities.extensions) or {})
