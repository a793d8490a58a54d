"""What servers offer, as each caller may know it: tools, prompts and resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
from pydantic import Field

from policies.model import Entity
from proxy.admin.errors import ApiError, UnknownDefinitionError, UnknownServerError
from proxy.admin.routes import Access, Input, Output, Route, Visit
from proxy.admin.server_outputs import (
    PromptDocument,
    PromptsPage,
    ResourceDocument,
    ResourcesPage,
    ToolDocument,
    ToolsPage,
)
from proxy.admin.sight import Eyes, Sight, UnjudgedError
from proxy.admin.toggles import Toggles
from proxy.catalogues import Catalogues
from proxy.listener.answers import Answer
from proxy.wire.names import MAX_ID, SEPARATOR, UnnameableError, check_server
from proxy.wire.uris import document
from storage.definitions import Definition

MOST_BYTES: Final = 1024**2
"""Of what is on one page, unless a single item has more."""

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_MARK: Final = "|"


class MalformedNameError(ApiError):
    status = 400
    code = "malformed-name"
    public = "Write the name as SERVER__NAME, with two underscores; list what there is to find it."


class MalformedUriError(ApiError):
    status = 400
    code = "malformed-uri"
    public = "Write the URI as SERVER|URI, as lists of resources do."


class ItemPage(Input):
    """Which items to list, by name. `after` is what the page before gave as `next`."""

    server: str | None = Field(None, min_length=1, max_length=128)
    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    after: str = Field("", max_length=MAX_ID)


class ByName(Input):
    name: str = Field(min_length=1, max_length=MAX_ID)


class ByUri(Input):
    uri: str = Field(min_length=1, max_length=MAX_ID)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of items: the type of its entities, what separates its server, and what it gives.

    `members` are those of a definition that are told if they are there, by our names.
    """

    word: str
    entities: str
    separator: str
    gives: type[Output]
    page: type[Output]
    members: Mapping[str, str]


_TOOL: Final = _Kind(
    "tool",
    "Tool",
    SEPARATOR,
    ToolDocument,
    ToolsPage,
    {
        "input_schema": "inputSchema",
        "output_schema": "outputSchema",
        "annotations": "annotations",
        "title": "title",
    },
)
_PROMPT: Final = _Kind(
    "prompt",
    "Prompt",
    SEPARATOR,
    PromptDocument,
    PromptsPage,
    {"arguments": "arguments", "title": "title"},
)
_RESOURCE: Final = _Kind(
    "resource",
    "Document",
    _MARK,
    ResourceDocument,
    ResourcesPage,
    {"mime_type": "mimeType", "title": "title"},
)


class _Item(NamedTuple):
    """One thing that is offered; `id` is its canonical name."""

    id: str
    definition: Definition
    kind: _Kind

    @property
    def entity(self) -> Entity:
        return Entity(self.kind.entities, self.id)


@dataclass(frozen=True, slots=True)
class Items:
    """What *catalogues* know."""

    catalogues: Catalogues
    toggles: Toggles
    sight: Sight

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            *map(self._listing, (_TOOL, _PROMPT, _RESOURCE)),
            *map(self._showing, (_TOOL, _PROMPT)),
            Route(
                "POST",
                "/api/v0/resources/get",
                Access.IDENTIFIED,
                ByUri,
                self.resource,
                summary="Show a resource",
                gives=ResourceDocument,
                fails=(MalformedUriError, UnknownDefinitionError, UnjudgedError),
            ),
        )

    async def listed(self, visit: Visit, page: ItemPage, *, kind: _Kind) -> Answer:
        eyes = await self.sight.of(visit)
        known = self.catalogues.definitions
        names = sorted(known) if page.server is None else [page.server]
        servers = await eyes.servers([name for name in names if name in known])
        if page.server is not None and not servers:
            raise UnknownServerError
        found: list[_Item] = []
        for server in servers:
            found += await self._seen(eyes, kind, server, page.after)
        found.sort(key=lambda one: one.id)
        shown = list(self._page(found[: page.limit]))
        more = found[len(shown) - 1].id if len(found) > len(shown) else None
        return Answer(200, orjson.dumps({f"{kind.word}s": shown, "next": more}))

    async def named(self, visit: Visit, wanted: ByName, *, kind: _Kind) -> Answer:
        server, separator, name = wanted.name.partition(SEPARATOR)
        if not (separator and name and _is_server(server)):
            raise MalformedNameError
        return await self._shown(visit, kind, server, wanted.name)

    async def resource(self, visit: Visit, wanted: ByUri) -> Answer:
        server, _, uri = wanted.uri.partition(_MARK)
        try:
            document(server, uri)
        except UnnameableError:
            raise MalformedUriError from None
        return await self._shown(visit, _RESOURCE, server, wanted.uri)

    def _listing(self, kind: _Kind) -> Route[ItemPage]:
        return Route(
            "GET",
            f"/api/v0/{kind.word}s",
            Access.IDENTIFIED,
            ItemPage,
            partial(self.listed, kind=kind),
            summary=f"List {kind.word}s",
            gives=kind.page,
            fails=(UnknownServerError, UnjudgedError),
        )

    def _showing(self, kind: _Kind) -> Route[ByName]:
        return Route(
            "GET",
            f"/api/v0/{kind.word}",
            Access.IDENTIFIED,
            ByName,
            partial(self.named, kind=kind),
            summary=f"Show a {kind.word}",
            gives=kind.gives,
            fails=(MalformedNameError, UnknownDefinitionError, UnjudgedError),
        )

    async def _shown(self, visit: Visit, kind: _Kind, server: str, id_: str) -> Answer:
        eyes = await self.sight.of(visit)
        wanted = [one for one in self._items(kind, server) if one.id == id_]
        seen = await eyes.items(server, kind.entities, [one.entity for one in wanted])
        if not seen:
            raise UnknownDefinitionError
        return Answer(200, orjson.dumps(self._document(wanted[0])))

    async def _seen(self, eyes: Eyes, kind: _Kind, server: str, after: str) -> Sequence[_Item]:
        items = {one.entity: one for one in self._items(kind, server) if one.id > after}
        return [items[one] for one in await eyes.items(server, kind.entities, list(items))]

    def _items(self, kind: _Kind, server: str) -> Iterator[_Item]:
        for one in self.catalogues.offered(server):
            if one.kind == kind.word:
                yield _Item(f"{server}{kind.separator}{one.name}", one, kind)

    def _page(self, items: Iterable[_Item]) -> Iterator[orjson.Fragment]:
        size = 0
        for one in items:
            written = orjson.dumps(self._document(one))
            if size and size + len(written) > MOST_BYTES:
                return
            size += len(written)
            yield orjson.Fragment(written)

    def _document(self, item: _Item) -> dict[str, Any]:
        one, kind = item.definition, item.kind
        server = Entity("Server", one.server)
        is_off = self.toggles.is_disabled(item.entity) or self.toggles.is_disabled(server)
        document = {
            "server": one.server,
            "enabled": not is_off,
            "state": one.state,
            "description": one.body.get("description"),
        }
        if kind is _RESOURCE:
            document |= {"uri": item.id, "name": one.body.get("name")}
        else:
            document |= {"name": item.id}
        if kind is _TOOL:
            document["input_schema"] = None  # a tool has one, whatever the server says
        told = {ours: one.body[its] for ours, its in kind.members.items() if its in one.body}
        return document | told


def _is_server(name: str) -> bool:
    try:
        check_server(name)
    except UnnameableError:
        return False
    return True
