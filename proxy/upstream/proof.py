"""Asking an upstream for all it offers before anybody relies on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from proxy.upstream.conversation import Conversation, Credential, RefusedRequestError, converse
from proxy.upstream.failures import UpstreamError
from proxy.upstream.http import Pool
from proxy.upstream.offers import Dropped, Offer, Offers, OffersError, take_offers

_NEEDED: Final = "tools"
_WELCOME: Final = ("prompts", "resources")


async def prove(
    pool: Pool,
    credential: Credential,
    server: str,
    *,
    deadline: float,
    verbatim: Collection[str] = (),
) -> Offers:
    """Return what the upstream offers that shall be called *server*, within *deadline* seconds.

    Its tools it has to list; prompts and resources that it fails to list it does not offer yet.
    Raises `UpstreamError`, `RefusedRequestError` and `OffersError`.
    """
    items: list[Offer] = []
    dropped: list[Dropped] = []
    async with converse(pool, credential, deadline=deadline) as conversation:
        found = [await take_offers(_only(conversation, _NEEDED), server, verbatim=verbatim)]
        for capability in _WELCOME:
            with suppress(UpstreamError, RefusedRequestError, OffersError):
                part = _only(conversation, capability)
                found.append(await take_offers(part, server, verbatim=verbatim))
        for one in found:
            items += one.items
            dropped += one.dropped
        capabilities: Mapping[str, Any] = MappingProxyType(dict(conversation.capabilities))
        return Offers(conversation.versions, capabilities, tuple(items), tuple(dropped))


def _only(conversation: Conversation, capability: str) -> Conversation:
    """Return *conversation* as if the upstream had declared *capability* alone."""
    declared = conversation.capabilities
    return replace(
        conversation,
        capabilities={capability: declared[capability]} if capability in declared else {},
    )
