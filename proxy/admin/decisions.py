"""The decisions that were recorded, and what became of each."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field, ValidationInfo

from policies.model import Entity, Reason, Verdict
from proxy.admin.errors import ApiError, InvalidError
from proxy.admin.routes import Input, Nothing, Output, Route, Visit
from proxy.admin.wording import ACTOR_FORM, actor_of, moment_of, resource_of, spelt
from proxy.listener.answers import Answer
from proxy.wire.names import SEPARATOR
from storage.decisions import Decided, DecisionQueries, DecisionUnknownError, Wanted

READ: Final = "read_decisions"
READ_ARGUMENTS: Final = "read_arguments"

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_LONGEST: Final = 512
_ARGUMENTS: Final = "arguments"


class UnknownDecisionError(ApiError):
    status = 404
    code = "unknown-decision"
    public = DecisionUnknownError.public


def _is_actor(text: str) -> str:
    actor_of(text)
    return text


def _is_moment(text: str) -> str:
    moment_of(text)
    return text


def _is_one_resource(text: str) -> str:
    if not isinstance(resource_of(text), Entity):
        raise ValueError("Write one resource, such as tool:github__search or server:github.")  # noqa: TRY004  a sentence for who asked
    return text


def _is_one_tool(text: str, info: ValidationInfo) -> str:
    if info.data.get("resource") is not None:
        raise ValueError("Give a tool or a resource, not both.")
    _is_one_resource(f"tool:{_whole_name(text, info.data.get('server'))}")
    return text


def _whole_name(tool: str, server: str | None) -> str:
    if server is None or tool.startswith(f"{server}{SEPARATOR}"):
        return tool
    return f"{server}{SEPARATOR}{tool}"


_Actor = Annotated[str, AfterValidator(_is_actor), spelt(ACTOR_FORM)]
_Moment = Annotated[str, AfterValidator(_is_moment)]
_Resource = Annotated[str, AfterValidator(_is_one_resource)]
_Word = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
_Id = Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]


class DecisionsWish(Input):
    """Which decisions to list, the newest first.

    `since` and `until` are ISO 8601 times with their zones, down to the second; `principal` is who
    asked and `acts_for` the user behind him; `enforced` is false of denials on servers that are
    observed; `rule` is FILE:LINE of a rule that decided; `after` is the id of the last decision of
    the page before. `tool` is `server__tool`, or the tool's own name beside its `server`: the same
    as a `resource`.
    """

    since: _Moment | None = None
    until: _Moment | None = None
    principal: _Actor | None = None
    acts_for: _Word | None = None
    server: _Word | None = None
    action: _Word | None = None
    resource: _Resource | None = None
    tool: Annotated[_Word, AfterValidator(_is_one_tool)] | None = None
    verdict: Verdict | None = None
    reason: Reason | None = None
    enforced: bool | None = None
    rule: _Word | None = None
    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    after: _Id | None = None

    @property
    def wanted(self) -> Wanted:
        wanted = self.resource
        if self.tool is not None:
            wanted = f"tool:{_whole_name(self.tool, self.server)}"
        resource = None if wanted is None else resource_of(wanted)
        return Wanted(
            since=None if self.since is None else moment_of(self.since),
            until=None if self.until is None else moment_of(self.until),
            principal=None if self.principal is None else actor_of(self.principal),
            acts_for=self.acts_for,
            server=self.server,
            action=self.action,
            resource=resource if isinstance(resource, Entity) else None,
            verdict=self.verdict,
            reason=self.reason,
            enforced=self.enforced,
            rule=self.rule,
        )


class DecidedDocument(Output):
    """A decision as the journal has it, without arguments; no outcome means an unknown one."""

    record: dict[str, Any]
    outcome: dict[str, Any] | None


class DecisionsPage(Output):
    decisions: list[DecidedDocument]
    next: str | None


class ArgumentsDocument(Output):
    """The arguments of what was decided; null where the record keeps none."""

    decision_id: str
    arguments: dict[str, Any] | None


class Decisions:
    """The decisions that were copied to the database."""

    def __init__(self, queries: DecisionQueries) -> None:
        self._queries = queries

    def routes(self) -> tuple[Route[Any], ...]:
        path = "/api/v0/decisions"
        return (
            Route(
                "GET",
                path,
                READ,
                DecisionsWish,
                self.listed,
                summary="List decisions, the newest first",
                gives=DecisionsPage,
            ),
            Route(
                "GET",
                f"{path}/{{decision_id}}",
                READ,
                Nothing,
                self.shown,
                summary="Show a decision and what became of it",
                gives=DecidedDocument,
                fails=(UnknownDecisionError,),
            ),
            Route(
                "GET",
                f"{path}/{{decision_id}}/arguments",
                READ_ARGUMENTS,
                Nothing,
                self.arguments,
                summary="Show the arguments of what was decided",
                gives=ArgumentsDocument,
                fails=(UnknownDecisionError,),
            ),
        )

    async def listed(self, visit: Visit, wish: DecisionsWish) -> Answer:
        del visit
        try:
            found = await self._queries.latest(wish.wanted, limit=wish.limit + 1, after=wish.after)
        except DecisionUnknownError:
            problem = {"field": "after", "problem": DecisionUnknownError.public}
            raise InvalidError(problems=[problem]) from None
        shown = found[: wish.limit]
        document = {
            "decisions": [_shown(one) for one in shown],
            "next": shown[-1].id if len(found) > len(shown) else None,
        }
        return Answer(200, orjson.dumps(document))

    async def shown(self, visit: Visit, _nothing: Nothing) -> Answer:
        return Answer(200, orjson.dumps(_shown(await self._found(visit))))

    async def arguments(self, visit: Visit, _nothing: Nothing) -> Answer:
        found = await self._found(visit)
        document = {"decision_id": found.id, "arguments": found.record.get(_ARGUMENTS)}
        return Answer(200, orjson.dumps(document))

    async def _found(self, visit: Visit) -> Decided:
        try:
            return await self._queries.find(visit.names["decision_id"])
        except DecisionUnknownError:
            raise UnknownDecisionError from None


def _shown(one: Decided) -> dict[str, Any]:
    record = {key: value for key, value in one.record.items() if key != _ARGUMENTS}
    return {"record": record, "outcome": one.outcome}
