"""Definitions: what servers offer, in what state it is, and approving it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson
from pydantic import Field

from proxy.admin.errors import ChangedDefinitionError, UnknownDefinitionError, UnknownServerError
from proxy.admin.outputs import DefinitionDocument, DefinitionsPage
from proxy.admin.routes import Input, Route, Visit
from proxy.audit import Audit, principal_document
from proxy.catalogues import Catalogues, Reviewed
from proxy.listener.answers import Answer
from proxy.upstream.offers import promised
from storage.definitions import Definition, Kind, State
from storage.errors import DefinitionChangedError, DefinitionUnknownError

APPROVE: Final = "approve"
APPROVED: Final = "definition.approved"
"""What records call the change."""

MOST_BYTES: Final = 1024**2
"""Of the definitions on one page, unless a single one has more."""

_PAGE: Final = 50
_LARGEST_PAGE: Final = 500
_MOST_NAME: Final = 2048

Key = tuple[str, str, str]
"""Server, kind and name of a definition, by which they are ordered."""


class Wanted(Input):
    """Which definitions to list. `after` is what the page before gave as `next`."""

    server: str | None = Field(None, min_length=1, max_length=128)
    state: State | None = None
    kind: Kind | None = None
    name: str | None = Field(None, min_length=1, max_length=_MOST_NAME)
    limit: int = Field(_PAGE, ge=1, le=_LARGEST_PAGE)
    after: str | None = Field(None, max_length=3000, pattern=r"^[^|]+\|[a-z]+\|")

    def admits(self, one: Definition) -> bool:
        return (
            self.state in {None, one.state}
            and self.kind in {None, one.kind}
            and self.name in {None, one.name}
        )


class Approval(Input):
    """What was reviewed, with the hash that it then had."""

    server: str = Field(min_length=1, max_length=128)
    kind: Kind
    name: str = Field(min_length=1, max_length=_MOST_NAME)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$")


class Definitions:
    """What the servers of *catalogues* offer."""

    def __init__(self, catalogues: Catalogues, audit: Audit) -> None:
        self._catalogues = catalogues
        self._audit = audit

    def routes(self) -> tuple[Route[Any], ...]:
        path = "/api/v0/definitions"
        return (
            Route(
                "GET",
                path,
                APPROVE,
                Wanted,
                self.listed,
                summary="List what servers offer, and in what state it is",
                gives=DefinitionsPage,
                fails=(UnknownServerError,),
            ),
            Route(
                "POST",
                f"{path}/approve",
                APPROVE,
                Approval,
                self.approve,
                summary="Approve a definition as it was reviewed",
                gives=DefinitionDocument,
                fails=(UnknownDefinitionError, ChangedDefinitionError),
            ),
        )

    async def listed(self, visit: Visit, wanted: Wanted) -> Answer:
        del visit
        known = self._catalogues.definitions
        if wanted.server is not None and wanted.server not in known:
            raise UnknownServerError
        servers = sorted(known) if wanted.server is None else [wanted.server]
        found = sorted(
            (one for server in servers for one in known[server] if wanted.admits(one)), key=_key
        )
        if wanted.after is not None:
            last = tuple(wanted.after.split("|", 2))
            found = [one for one in found if _key(one) > last]
        shown = list(_page(found[: wanted.limit]))
        more = "|".join(_key(found[len(shown) - 1])) if len(found) > len(shown) else None
        return Answer(200, orjson.dumps({"definitions": shown, "next": more}))

    async def approve(self, visit: Visit, approval: Approval) -> Answer:
        author = principal_document(visit.principal)

        async def record(before: Definition) -> None:
            was, becomes = _told(before), _told(before) | {"state": "approved"}
            await self._audit.changed(author, APPROVED, before=was, after=becomes)

        reviewed = Reviewed(approval.server, approval.kind, approval.name, approval.hash)
        try:
            approved = await self._catalogues.approve(reviewed, record)
        except DefinitionUnknownError:
            raise UnknownDefinitionError from None
        except DefinitionChangedError:
            raise ChangedDefinitionError from None
        return Answer(200, orjson.dumps(_shown(approved)))


def _key(one: Definition) -> Key:
    return one.server, one.kind, one.name


def _page(found: Iterable[Definition]) -> Iterator[orjson.Fragment]:
    size = 0
    for one in found:
        written = orjson.dumps(_shown(one))
        if size and size + len(written) > MOST_BYTES:
            return
        size += len(written)
        yield orjson.Fragment(written)


def _shown(one: Definition) -> dict[str, Any]:
    """Return *one* with all that whoever approves it should have read."""
    definition = promised(one.kind, one.body)
    return _told(one) | {"description": definition.get("description"), "definition": definition}


def _told(one: Definition) -> dict[str, Any]:
    """Return *one* as records name it."""
    return {
        "server": one.server,
        "kind": one.kind,
        "name": one.name,
        "state": one.state,
        "hash": one.hash,
    }
