"""The client of the Python SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from warnings import catch_warnings, simplefilter

import httpx2
from mcp import Client, MCPError, types
from mcp.client.session import ClientRequestContext, IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPDeprecationWarning
from pydantic import BaseModel, TypeAdapter

from tests.live.agents import RefusedError

_PATIENCE: Final = 30.0
_REFERENCE: Final = TypeAdapter[types.PromptReference | types.ResourceTemplateReference](
    types.PromptReference | types.ResourceTemplateReference
)


@asynccontextmanager
async def connected(
    url: str,
    token: str | None = None,
    *,
    mode: str = "auto",
    declares: Mapping[str, Any] | None = None,
) -> AsyncIterator[PythonAgent]:
    """Connect to *url*. *mode* is `auto`, `legacy` or the one modern version to speak."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    witness = Witness()
    declares = declares or {}
    async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
        client = Client(
            streamable_http_client(url, http_client=http),
            mode=mode,
            read_timeout_seconds=_PATIENCE,
            message_handler=witness.told_of,
            sampling_callback=witness.sampled if "sampling" in declares else None,
            elicitation_callback=witness.elicited if "elicitation" in declares else None,
            list_roots_callback=witness.listed_roots if "roots" in declares else None,
        )
        async with client:
            yield PythonAgent(client, witness)


@dataclass
class Witness:
    """Keeps what a server asks and tells, and answers it always the same."""

    asked: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def told_of(self, message: IncomingMessage) -> None:
        # Progress goes to whoever made the call, and a failure to whoever waits.
        if not isinstance(message, types.ProgressNotification | Exception):
            async with self._news:
                self.told.append(_plain(message))
                self._news.notify_all()

    async def hears_of(self, method: str) -> None:
        """Return once the server has told *method*. Raises `TimeoutError`."""
        async with asyncio.timeout(_PATIENCE), self._news:
            await self._news.wait_for(lambda: any(one["method"] == method for one in self.told))

    async def sampled(
        self, context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        del context
        self.asked.append({"method": "sampling/createMessage", "params": _plain(params)})
        said = types.TextContent(text="Four.")
        return types.CreateMessageResult(role="assistant", model="fixed", content=said)

    async def elicited(
        self, context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        del context
        self.asked.append({"method": "elicitation/create", "params": _plain(params)})
        if isinstance(params, types.ElicitRequestURLParams):
            return types.ElicitResult(action="accept")
        required = params.requested_schema.get("required", [])
        return types.ElicitResult(action="accept", content=dict.fromkeys(required, "Ada"))

    async def listed_roots(self, context: ClientRequestContext) -> types.ListRootsResult:
        del context
        self.asked.append({"method": "roots/list", "params": {}})
        root = {"uri": "file:///srv/work", "name": "work"}
        return types.ListRootsResult.model_validate({"roots": [root]})


@dataclass(frozen=True)
class PythonAgent:
    client: Client
    witness: Witness

    @property
    def version(self) -> str:
        return self.client.protocol_version

    @property
    def offers(self) -> dict[str, Any]:
        return _plain(self.client.server_capabilities)

    async def ask(self, what: str, **question: object) -> dict[str, Any]:
        try:
            with catch_warnings():
                # Until what is deprecated is gone, servers are asked for it.
                simplefilter("ignore", MCPDeprecationWarning)
                answer: dict[str, Any] = await getattr(self, f"_{what}")(**question)
        except MCPError as error:
            raise RefusedError(error.code, error.message, error.data) from error
        return answer

    async def _tools(self) -> dict[str, Any]:
        return _plain(await self.client.list_tools())

    async def _prompts(self) -> dict[str, Any]:
        return _plain(await self.client.list_prompts())

    async def _resources(self) -> dict[str, Any]:
        return _plain(await self.client.list_resources())

    async def _templates(self) -> dict[str, Any]:
        return _plain(await self.client.list_resource_templates())

    async def _call(
        self, name: str, arguments: dict[str, Any] | None = None, *, reports: bool = False
    ) -> dict[str, Any]:
        reported: list[Any] = []

        async def report(progress: float, total: float | None, message: str | None) -> None:
            del message
            reported.append({"progress": progress, "total": total})

        heard = report if reports else None
        result = await self.client.call_tool(name, arguments, progress_callback=heard)
        return _plain(result) | {"progress": reported}

    async def _read(self, uri: str) -> dict[str, Any]:
        return _plain(await self.client.read_resource(uri))

    async def _prompt(self, name: str, arguments: dict[str, str] | None = None) -> dict[str, Any]:
        return _plain(await self.client.get_prompt(name, arguments))

    async def _complete(self, ref: dict[str, str], argument: dict[str, str]) -> dict[str, Any]:
        meant = _REFERENCE.validate_python(ref)
        return _plain(await self.client.complete(meant, argument))

    async def _subscribe(self, uri: str) -> dict[str, Any]:
        return _plain(await self.client.subscribe_resource(uri))

    async def _unsubscribe(self, uri: str) -> dict[str, Any]:
        return _plain(await self.client.unsubscribe_resource(uri))

    async def _level(self, level: types.LoggingLevel) -> dict[str, Any]:
        return _plain(await self.client.set_logging_level(level))

    async def _ping(self) -> dict[str, Any]:
        return _plain(await self.client.send_ping())

    async def _seen(self, method: str | None = None) -> dict[str, Any]:
        if method is not None:
            await self.witness.hears_of(method)
        return {"asked": self.witness.asked, "told": self.witness.told}


def _plain(model: BaseModel) -> dict[str, Any]:
    plain: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain
