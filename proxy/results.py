"""What of an upstream's result may reach the caller, and in what form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from proxy.asked import Asked
from proxy.call import Call
from proxy.identity.handles import LONGEST_HANDLE, Handles, Kind
from proxy.introduction import UnusableResultError, introduction
from proxy.judgement import Judge
from proxy.listening import SUBSCRIPTION_KEY
from proxy.listing import (
    Recognised,
    UnlistableError,
    filtered,
    identified,
    next_cursor,
    private,
    type_of,
)
from proxy.opening import has_tasks
from proxy.question import SET_LOG_LEVEL, Origin, document_question, going_on
from proxy.rounds import Rounds
from proxy.tasks import ForeignTaskError, Tasks
from proxy.templates import completed
from proxy.wire.methods import Judgment, Party, find
from storage.errors import StateError

_CONTINUED: Final = frozenset({Judgment.CALL_TOOL, Judgment.GET_PROMPT, Judgment.READ_DOCUMENT})


Fitter = Callable[[Asked, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Results:
    """Makes results fit for the one who asked."""

    judge: Judge
    verbatim: frozenset[str]
    recognised: Recognised
    handles: Handles
    rounds: Rounds
    tasks: Tasks

    async def fitted(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return *result*, the answer to *asked*, as the caller may see it.

        Raises `UnusableResultError` and `UnlistableError` for one that cannot be passed on,
        `InputRefusedError` for one that asks for what it may not, `UnrecordedError`, and
        `UndecidedError` where it could not be judged.
        """
        row = asked.judged.method
        if row is None:
            return result
        fitter = self._fitters().get(row.judgment)
        if asked.judged.is_modern and result.get("resultType", "complete") != "complete":
            result = await self._incomplete(asked, row.judgment, result)
        elif fitter is not None:
            result = await fitter(asked, result)
        if "_meta" in result:
            result = result | {"_meta": await self.tasks.related(asked.call, result["_meta"])}
        return result

    def _fitters(self) -> Mapping[Judgment, Fitter]:
        return {
            Judgment.FILTER_LIST: self._list,
            Judgment.CONNECT: self._introduction,
            Judgment.READ_DOCUMENT: self._contents,
            Judgment.CALL_TOOL: self._called,
            Judgment.TASK: self._task,
            Judgment.TASK_LIST: self._task_list,
            Judgment.COMPLETE: self._completion,
            Judgment.LISTEN: self._heard,
        }

    async def _incomplete(
        self, asked: Asked, judgment: Judgment, result: dict[str, Any]
    ) -> dict[str, Any]:
        """Return a modern *result* that is not the last word. Raises as `fitted` does."""
        kind = result["resultType"]
        if kind == "input_required" and judgment in _CONTINUED:
            return await self.rounds.fitted(asked.call, asked.continuing, result)
        if kind == "task" and judgment is Judgment.CALL_TOOL and has_tasks(asked.params):
            return await self._begun(asked, result)
        raise UnusableResultError("a result of a kind that was not asked for")

    async def _introduction(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        call, result = asked.call, introduction(asked.judged, result)
        has_level = "logging" in result["capabilities"]
        if has_level and not (await self.judge.on_server(call, SET_LOG_LEVEL)).allowed:
            # Some clients set a level as soon as they may, and give up if they may not.
            del result["capabilities"]["logging"]
        return result

    def _paged(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return *result* with a cursor that is the caller's alone, if there is a next page.

        Raises `UnlistableError` for one that nobody could ask for the rest with.
        """
        cursor = next_cursor(result)
        if cursor is None:
            return result
        about = asked.method.encode()
        sealed = self.handles.seal(Kind.CURSOR, asked.call.holder, cursor, about)
        if len(sealed) > LONGEST_HANDLE:
            raise UnlistableError("nextCursor")
        return result | {"nextCursor": sealed}

    async def _list(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        call, server, row = asked.call, asked.call.server, asked.judged.method
        listed = None if row is None else row.listed
        if server is None or listed is None:
            raise UnusableResultError("not registered")
        items = identified(result, listed, server, self.verbatim, self.recognised)
        entities = [entity for entity, _ in items]
        if listed == "resourceTemplates":
            seen = await self.judge.shown_templates(call, server, entities)
        else:
            seen = await self.judge.shown(call, type_of(listed), entities)
        shown = [item for entity, item in items if entity in seen]
        return self._paged(asked, filtered(result, listed, shown, modern=asked.judged.is_modern))

    async def _contents(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return what was read, without contents of another document that may not be read."""
        contents = result.get("contents")
        if type(contents) is not list or not all(type(one) is dict for one in contents):
            raise UnusableResultError("the contents cannot be read")
        result = private(result) if asked.judged.is_modern else result
        kept = [one for one in contents if await self._is_readable(asked, one.get("uri"))]
        return result | {"contents": kept}

    async def _is_readable(self, asked: Asked, uri: object) -> bool:
        call = asked.call
        if type(uri) is not str or uri == asked.question.subject:
            return uri == asked.question.subject
        return await self.judge.may(call, document_question("read", call.server_name, uri))

    async def _completion(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return a completion of a template without values that lead to what may not be seen."""
        completion = result.get("completion")
        if asked.question.resource.type != "Document":
            return result
        if type(completion) is not dict:
            raise UnusableResultError("the completion cannot be read")
        values = completion.get("values")
        if type(values) is not list or not all(type(one) is str for one in values):
            raise UnusableResultError("the completion cannot be read")
        call, text = asked.call, asked.question.subject
        led = [(one, completed(call.server_name, text, asked.params, one)) for one in values]
        documents = [document for _, document in led if document is not None]
        seen = await self.judge.shown(call, "Document", documents)
        kept = [one for one, document in led if document is None or document in seen]
        # How many there are in all would tell of those that are hidden.
        told = {name: value for name, value in completion.items() if name != "total"}
        return result | {"completion": told | {"values": kept}}

    async def _heard(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return what ends a subscription, under the mark that the client knows it by."""
        meta = result.get("_meta")
        kept = meta if type(meta) is dict else {}
        return result | {"_meta": {**kept, SUBSCRIPTION_KEY: asked.id}}

    async def _called(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a tool, or the task that it has become."""
        knows_tasks = find(Party.CLIENT, "tasks/get", asked.judged.version) is not None
        if asked.judged.is_modern or not knows_tasks or "task" not in result:
            return result
        return result | {"task": await self._begun(asked, result["task"])}

    async def _begun(self, asked: Asked, task: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
        if type(task) is not dict:
            raise UnusableResultError("a task cannot be read")
        tool, is_listed = asked.question.subject, not asked.judged.is_modern
        try:
            handle = await self.tasks.began(
                asked.call, task, tool, asked.origin, is_listed=is_listed
            )
        except ValueError as error:
            raise UnusableResultError(str(error)) from error
        except (ForeignTaskError, StateError) as error:
            raise UnusableResultError(f"whose a task is could not be kept: {error}") from error
        return task | {"taskId": handle}

    async def _task(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return what is told of a task under the id that its owner knows it by."""
        if "inputRequests" in result:
            inputs = await self.rounds.inputs(
                asked.call, asked.capabilities, result["inputRequests"]
            )
            result = result | {"inputRequests": inputs}
        return result | {"taskId": asked.params["taskId"]} if "taskId" in result else result

    async def _task_list(self, asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
        """Return a list of tasks without those that are not the caller's."""
        tasks = result.get("tasks")
        if type(tasks) is not list or not all(type(one) is dict for one in tasks):
            raise UnlistableError("tasks")
        named = [one for one in tasks if type(one.get("taskId")) is str]
        try:
            owned = await self.tasks.owned(asked.call, [one["taskId"] for one in named])
        except StateError as error:
            raise UnusableResultError("whose the tasks are could not be read") from error
        own = {
            task_id: task.handle
            for task_id, task in owned.items()
            if await self._is_callable(asked.call, task.origin)
        }
        shown = [one | {"taskId": own[one["taskId"]]} for one in named if one["taskId"] in own]
        return self._paged(asked, result | {"tasks": shown})

    async def _is_callable(self, call: Call, origin: Origin) -> bool:
        return await self.judge.may(call, going_on(call.server_name, origin, self.verbatim))
