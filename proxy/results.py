"""What of an upstream's result may reach the caller, and in what form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policies.model import Entity, Fact
from policies.pdp import DecisionPoint
from proxy.call import Call
from proxy.listing import (
    Recognised,
    filtered,
    identified,
    private,
    type_of,
    without_other_lists,
)
from proxy.question import SET_LOG_LEVEL, USES, Question, document_id
from proxy.wire.headers import Judged
from proxy.wire.methods import LEGACY_VERSIONS, VERSIONS, Judgment
from proxy.wire.names import UnnameableError

# What is not in here is not carried: a client must not be told that it could use it.
_CARRIED: Final = frozenset({"tools", "prompts", "resources", "completions", "logging"})

# Capabilities by which an upstream may ask something of the client: they are withheld.
_WITHHELD: Final = frozenset({"sampling", "elicitation", "roots", "tasks"})


class UnusableResultError(Exception):
    """A result that cannot be passed on. The text is for the log."""


class Results:
    """Makes results fit for the one who asked."""

    def __init__(
        self, point: DecisionPoint, verbatim: frozenset[str], recognised: Recognised
    ) -> None:
        self._point = point
        self._verbatim = verbatim
        self._recognised = recognised

    async def fitted(
        self, call: Call, judged: Judged, asked: Question, result: dict[str, Any]
    ) -> dict[str, Any]:
        """Return *result*, the answer to *asked*, as the caller may see it.

        Raises `UnusableResultError` and `UnlistableError` for one that cannot be passed on, and
        `UndecidedError` where it could not be judged.
        """
        row = judged.method
        if judged.is_modern and result.get("resultType", "complete") != "complete":
            # Nothing was offered that the upstream might ask for, so there is nothing to continue.
            raise UnusableResultError("a result asks for something")
        if row is None:
            return result
        match row.judgment:
            case Judgment.FILTER_LIST if row.listed is not None:
                return await self._list(call, judged, row.listed, result)
            case Judgment.CONNECT:
                return await self._introduction(call, judged, result)
            case Judgment.READ_DOCUMENT:
                return await self._contents(call, judged, asked, result)
        return result

    async def _introduction(
        self, call: Call, judged: Judged, result: dict[str, Any]
    ) -> dict[str, Any]:
        result = _introduction(judged, result)
        if "logging" in result["capabilities"]:
            # Some clients set a level as soon as they may, and give up if they may not.
            request = call.request(SET_LOG_LEVEL, call.entity)
            if not (await self._point.decide(request, call.grounds)).allowed:
                del result["capabilities"]["logging"]
        return result

    async def _list(
        self, call: Call, judged: Judged, listed: str, result: dict[str, Any]
    ) -> dict[str, Any]:
        server = call.server
        if server is None:
            raise UnusableResultError("not registered")
        items = identified(result, listed, server, self._verbatim, self._recognised)
        visible = await self._visible(call, type_of(listed), [entity for entity, _ in items])
        shown = [item for entity, item in items if entity in visible]
        return filtered(result, listed, shown, modern=judged.is_modern)

    async def _visible(self, call: Call, type_: str, entities: list[Entity]) -> set[Entity]:
        facts: list[Fact] = []
        if type_ == "Document":
            for entity in entities:
                uri = entity.id.partition("|")[2]
                facts += call.document_facts(entity, uri)
        request = call.request(USES[type_], call.entity, tuple(facts))
        return set(await self._point.visible(request, entities, call.grounds))

    async def _contents(
        self, call: Call, judged: Judged, asked: Question, result: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what was read, without contents of another document that may not be read."""
        contents = result.get("contents")
        if type(contents) is not list or not all(type(one) is dict for one in contents):
            raise UnusableResultError("the contents cannot be read")
        result = private(result) if judged.is_modern else result
        kept = [one for one in contents if await self._is_readable(call, asked, one.get("uri"))]
        return result | {"contents": kept}

    async def _is_readable(self, call: Call, asked: Question, uri: object) -> bool:
        if type(uri) is not str or uri == asked.subject:
            return uri == asked.subject
        try:
            document = document_id(call.server_name, uri)
        except UnnameableError:
            return False
        facts = tuple(call.document_facts(document, uri))
        decision = await self._point.decide(call.request("read", document, facts), call.grounds)
        return decision.allowed


def withheld(capabilities: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's *capabilities* without those by which an upstream could ask for things."""
    return {name: value for name, value in capabilities.items() if name not in _WITHHELD}


def _introduction(judged: Judged, result: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `initialize` or `server/discover`, restricted to what is carried."""
    capabilities = result.get("capabilities")
    if type(capabilities) is not dict:
        raise UnusableResultError("the capabilities cannot be read")
    carried: dict[str, Any] = {
        name: {} for name, value in capabilities.items() if name in _CARRIED and value is not None
    }
    result = without_other_lists(result) | {"capabilities": carried}
    if not judged.is_modern:
        if result.get("protocolVersion") not in LEGACY_VERSIONS:
            raise UnusableResultError("no version of the protocol that is known here")
        return result
    versions = result.get("supportedVersions")
    known = [one for one in versions if one in VERSIONS] if type(versions) is list else []
    if not known:
        raise UnusableResultError("no version of the protocol that is known here")
    return private(result) | {"supportedVersions": known}
