"""What an upstream offers: every tool, prompt, resource and template, and a hash of each.

What no policy could speak of, and what clients must not be shown, is dropped and reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import orjson

from proxy.upstream.conversation import METHOD_NOT_FOUND, Conversation, RefusedRequestError
from proxy.wire.lookalikes import ITEM, lookalike
from proxy.wire.names import MAX_ID, prompt, tool
from proxy.wire.parameters import mirrored
from proxy.wire.uris import document

MAX_PAGES: Final = 100
"""Pages of one list."""

MAX_ITEMS: Final = 10_000
"""Items of one list."""

MAX_TEMPLATE: Final = 2000
"""Bytes of a URI template."""

_MAX_SHOWN: Final = MAX_ID

OfferKind = Literal["tool", "prompt", "resource", "template"]


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that is offered. `name` is a URI or a URI template where it is no tool or prompt.

    `hash` is that of `definition_hash`, `body` the whole definition as the upstream gave it.
    """

    kind: OfferKind
    name: str
    hash: str
    body: Mapping[str, Any]


class Dropped(NamedTuple):
    """Something that is offered and must not be used. `name` is as the upstream wrote it, cut."""

    kind: OfferKind
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Offers:
    """All that one upstream offered, in its order; no two `items` are of one kind and name."""

    versions: tuple[str, ...]
    capabilities: Mapping[str, Any]
    items: tuple[Offer, ...]
    dropped: tuple[Dropped, ...]


class OffersError(Exception):
    """An upstream's lists are not lists, or have no end. `detail` is for logs alone."""

    code = "upstream_offers_unusable"
    public = (
        "The server behind the gateway does not list what it offers as it should; "
        "ask your administrator to look at it."
    )

    def __init__(self, method: str, detail: str) -> None:
        self.method = method
        self.detail = detail
        super().__init__(f"{method}: {detail}")


@dataclass(frozen=True, slots=True)
class _List:
    """One list: the capability that promises it, and where its items and their names are.

    `members` are those that may mislead a model or change what a call means.
    """

    kind: OfferKind
    capability: str
    method: str
    member: str
    named: str
    members: tuple[str, ...]


_LISTS: Final = (
    _List(
        "tool", "tools", "tools/list", "tools", "name",
        ("name", "title", "description", "inputSchema", "outputSchema", "annotations"),
    ),
    _List(
        "prompt", "prompts", "prompts/list", "prompts", "name",
        ("name", "title", "description", "arguments"),
    ),
    _List(
        "resource", "resources", "resources/list", "resources", "uri",
        ("uri", "name", "title", "description", "mimeType"),
    ),
    _List(
        "template", "resources", "resources/templates/list", "resourceTemplates", "uriTemplate",
        ("uriTemplate", "name", "title", "description", "mimeType"),
    ),
)  # fmt: skip
_HASHED: Final = MappingProxyType({each.kind: each.members for each in _LISTS})


async def take_offers(
    conversation: Conversation, server: str, *, verbatim: Collection[str] = ()
) -> Offers:
    """Return what the upstream called *server* offers, having walked all its lists to their ends.

    *verbatim* are names that the operator accepts as they are. A list that was not declared, or
    whose method is not found, is empty. Of items with one name all are dropped: which of them a
    call would reach is anybody's guess. Raises `OffersError`, `RefusedRequestError` and
    `UpstreamError`; then nothing is known.
    """
    items: list[Offer] = []
    dropped: list[Dropped] = []
    for each in _LISTS:
        if conversation.capabilities.get(each.capability) is None:
            continue
        for sifted in _sift(each, await _walk(conversation, each), server, verbatim):
            if isinstance(sifted, Offer):
                items.append(sifted)
            else:
                dropped.append(sifted)
    capabilities = MappingProxyType(dict(conversation.capabilities))
    return Offers(conversation.versions, capabilities, tuple(items), tuple(dropped))


def definition_hash(kind: OfferKind, body: Mapping[str, Any]) -> str:
    """Return SHA-256, in hexadecimal digits, of what *body* says to a model or promises a caller.

    It is taken over canonical JSON of the members of that kind that are there, so neither the order
    of keys nor any other member, such as an icon, changes it; any byte of these members does.
    """
    written = orjson.dumps([kind, promised(kind, body)], option=orjson.OPT_SORT_KEYS)
    return sha256(written).hexdigest()


def promised(kind: OfferKind, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of *body* that its hash is taken over."""
    return {member: body[member] for member in _HASHED[kind] if member in body}


def traits(body: Mapping[str, Any]) -> frozenset[str]:
    """Return what the annotations of a tool claim, as the names of facts.

    A hint that is absent, or not a boolean, has MCP's default: not read-only, not idempotent, open
    world, and destructive unless read-only. A tool that claims to be read-only and destructive is
    taken at its worse word, as destructive alone.
    """
    annotations = body.get("annotations")
    hints = annotations if isinstance(annotations, Mapping) else {}
    claims_read_only = hints.get("readOnlyHint") is True
    destructive = hints.get("destructiveHint")
    is_destructive = destructive if isinstance(destructive, bool) else not claims_read_only
    held = {
        "is_read_only": claims_read_only and not is_destructive,
        "is_destructive": is_destructive,
        "is_idempotent": hints.get("idempotentHint") is True,
        "is_open_world": hints.get("openWorldHint") is not False,
    }
    return frozenset(name for name, holds in held.items() if holds)


async def _walk(conversation: Conversation, wanted: _List) -> list[Any]:
    """Return the items of all pages."""
    items: list[Any] = []
    cursors: set[str] = set()
    params: dict[str, Any] | None = None
    for _ in range(MAX_PAGES):
        try:
            page = await conversation.ask(wanted.method, params)
        except RefusedRequestError as error:
            if error.rpc_code == METHOD_NOT_FOUND and not cursors:
                return []
            raise
        items += _items(wanted, page)
        if len(items) > MAX_ITEMS:
            raise OffersError(wanted.method, f"over {MAX_ITEMS} items")
        cursor = page.get("nextCursor")
        if cursor is None:  # the empty string is a cursor
            return items
        if not isinstance(cursor, str) or cursor in cursors:
            raise OffersError(wanted.method, "a cursor that is no string, or came before")
        cursors.add(cursor)
        params = {"cursor": cursor}
    raise OffersError(wanted.method, f"over {MAX_PAGES} pages")


def _items(wanted: _List, page: Mapping[str, Any]) -> list[Any]:
    items = page.get(wanted.member)
    if not isinstance(items, list):
        raise OffersError(wanted.method, f"no list of {wanted.member}")
    return items


def _sift(
    wanted: _List, items: Iterable[Any], server: str, verbatim: Collection[str]
) -> Iterator[Offer | Dropped]:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        name = item.get(wanted.named) if isinstance(item, dict) else None
        if isinstance(name, str) and name:
            by_name.setdefault(name, []).append(item)
        else:
            yield Dropped(wanted.kind, "", "It has no name.")
    for name, (item, *others) in by_name.items():
        why = (
            f"{1 + len(others)} items have this name."
            if others
            else _objection(wanted.kind, name, item, server, verbatim)
        )
        if why is None:
            yield Offer(wanted.kind, name, definition_hash(wanted.kind, item), item)
        else:
            yield Dropped(wanted.kind, name[:_MAX_SHOWN], why)


def _objection(
    kind: OfferKind, name: str, item: Mapping[str, Any], server: str, verbatim: Collection[str]
) -> str | None:
    """Return a sentence that says why *item* must not be used, or None if it may be."""
    if lookalike(item, ITEM) is not None:
        return "A member's name differs from a protocol name only in case, form or NUL."
    try:
        match kind:
            case "tool":
                tool(server, name, verbatim=verbatim)
                mirrored(item.get("inputSchema"))
            case "prompt":
                prompt(server, name, verbatim=verbatim)
            case "resource":
                document(server, name)
            case "template" if len(name.encode()) > MAX_TEMPLATE or "\0" in name:
                return f"A URI template has at most {MAX_TEMPLATE} bytes, and no NUL."
    except ValueError as error:  # an `UnnameableError` is one
        return str(error)
    return None
