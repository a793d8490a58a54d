"""Tools, prompts and resources, used by hand: as any call, in the name of whoever asks for it."""

from __future__ import annotations

from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from proxy.admin.errors import ApiError
from proxy.admin.outcomes import (
    FAILURES,
    LateAnswerError,
    MisnamedError,
    NeedsClientError,
    NoAnswerError,
    UnknownPromptError,
    UnknownResourceError,
    UnknownToolError,
    result_of,
)
from proxy.admin.routes import Access, Input, Route, Visit
from proxy.calling import Calling, ClientNeededError, Wish
from proxy.listener.answers import Answer
from proxy.loopback import TooMuchError
from proxy.wire.names import UnnameableError, check_server, split

_LONGEST_NAME: Final = 384
_LONGEST_URI: Final = 2048


class Sent(Input):
    """What goes on to a server, so that nothing may be in it that cannot be written there."""

    @field_validator("*")
    @classmethod
    def _is_json(cls, value: object) -> object:
        try:
            orjson.dumps(value)
        except TypeError:
            raise ValueError("It has a number over 64 bits, or half a character, in it.") from None
        return value


class ToolCall(Sent):
    """A tool and its arguments: in `arguments`, or else beside the name."""

    model_config = ConfigDict(
        json_schema_extra={
            "additionalProperties": True,
            "oneOf": [
                {"required": ["arguments"], "maxProperties": 2},
                {"not": {"required": ["arguments"]}},
            ],
        }
    )

    name: str = Field(min_length=1, max_length=_LONGEST_NAME)
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "arguments" in value or "name" not in value:
            return value
        beside = {key: one for key, one in value.items() if key != "name"}
        return {"name": value["name"], "arguments": beside}


class Rendering(Sent):
    """A prompt and its arguments, which are texts."""

    name: str = Field(min_length=1, max_length=_LONGEST_NAME)
    arguments: dict[str, str] = Field(default_factory=dict)


class Reading(Sent):
    """A resource: its server, `|`, and its URI there."""

    uri: str = Field(min_length=1, max_length=_LONGEST_URI)


class Given(BaseModel):
    """What a server gave, as it gave it."""

    model_config = ConfigDict(extra="allow")


class Called(Given):
    content: list[dict[str, Any]] = Field(default_factory=list)
    structuredContent: Any = None  # noqa: N815  as the protocol has it
    isError: bool = False  # noqa: N815  as the protocol has it


class Rendered(Given):
    description: str = ""
    messages: list[dict[str, Any]] = Field(default_factory=list)


class Read(Given):
    contents: list[dict[str, Any]] = Field(default_factory=list)


class Invoking:
    """Makes the calls of callers who have no MCP client at hand.

    Whoever has a token for the control plane may ask; the policy is asked about the tool, prompt or
    resource itself, and the record is that of the call.
    """

    def __init__(self, calling: Calling) -> None:
        self._calling = calling

    def routes(self) -> tuple[Route[Any], ...]:
        anyone = Access.IDENTIFIED
        return (
            Route(
                "POST",
                "/api/v0/tools/invoke",
                anyone,
                ToolCall,
                self.invoke,
                summary="Call a tool; without `arguments`, all beside `name` are its arguments",
                gives=Called,
                fails=(*FAILURES, UnknownToolError),
            ),
            Route(
                "POST",
                "/api/v0/prompts/render",
                anyone,
                Rendering,
                self.render,
                summary="Render a prompt",
                gives=Rendered,
                fails=(*FAILURES, UnknownPromptError),
            ),
            Route(
                "POST",
                "/api/v0/resources/read",
                anyone,
                Reading,
                self.read,
                summary="Read a resource, which is named server|uri",
                gives=Read,
                fails=(*FAILURES, UnknownResourceError),
            ),
        )

    async def invoke(self, visit: Visit, call: ToolCall) -> Answer:
        server, name = _split(call.name)
        wish = Wish(server, "tools/call", {"name": name, "arguments": call.arguments})
        return await self._answered(visit, wish, UnknownToolError)

    async def render(self, visit: Visit, rendering: Rendering) -> Answer:
        server, name = _split(rendering.name)
        wish = Wish(server, "prompts/get", {"name": name, "arguments": rendering.arguments})
        return await self._answered(visit, wish, UnknownPromptError)

    async def read(self, visit: Visit, reading: Reading) -> Answer:
        server, bar, uri = reading.uri.partition("|")
        if not bar or not uri:
            raise MisnamedError
        wish = Wish(_server(server), "resources/read", {"uri": uri})
        return await self._answered(visit, wish, UnknownResourceError)

    async def _answered(self, visit: Visit, wish: Wish, unknown: type[ApiError]) -> Answer:
        try:
            outcome = await self._calling.call(visit.principal, visit.address, wish)
        except TimeoutError:
            raise LateAnswerError from None
        except ClientNeededError:
            raise NeedsClientError from None
        except TooMuchError:
            raise NoAnswerError from None
        return Answer(200, orjson.dumps(result_of(outcome, unknown)))


def _split(name: str) -> tuple[str, str]:
    try:
        return split(name)
    except UnnameableError:
        raise MisnamedError from None


def _server(name: str) -> str:
    try:
        return check_server(name)
    except UnnameableError:
        raise MisnamedError from None
