"""Which requests are for this gateway at all: framing, `Host`, target, method, `Origin`."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import hdrs
from aiohttp.http import HttpVersion10, HttpVersion11, RawRequestMessage

from proxy.listener.incoming import Incoming
from proxy.listener.names import Names
from proxy.listener.refusals import Refusal

METHODS: Final = frozenset({"GET", "POST", "DELETE"})

_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]*")
_DOTS: Final = re.compile(r"/\.{1,2}(?:/|\Z)")
_QUERY: Final = re.compile(r"[!\"$-~]+")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)(.*)")
_LINE: Final = len(": \r\n")


def refuse(incoming: Incoming, names: Names, methods: frozenset[str] = METHODS) -> Refusal | None:
    """Return why this request is none for the gateway, or `None`.

    A target in absolute form is brought into origin form, if it names the same host.
    """
    message = incoming.message
    headers = message.headers
    if (
        message.version is not HttpVersion11
        or hdrs.TRANSFER_ENCODING in headers
        or hdrs.UPGRADE in headers
        or message.method == hdrs.METH_CONNECT
    ):
        framing = _refuse_framing(message)
        if framing is not None:
            return framing
    hosts = headers.getall(hdrs.HOST, ())
    if len(hosts) != 1 or (hosts[0] not in names.hosts and hosts[0].lower() not in names.hosts):
        return Refusal.HOST
    origins = headers.getall(hdrs.ORIGIN, None)
    if origins is not None and (len(origins) != 1 or origins[0] not in names.origins):
        return Refusal.ORIGIN
    if message.method not in methods:
        return Refusal.METHOD
    if "/." not in message.path and _PATH.fullmatch(message.path) is not None:
        return None
    return _refuse_target(incoming, hosts[0])


def _refuse_framing(message: RawRequestMessage) -> Refusal | None:
    if hdrs.UPGRADE in message.headers or message.method == hdrs.METH_CONNECT:
        return Refusal.UPGRADE
    codings = message.headers.getall(hdrs.TRANSFER_ENCODING, [])
    if message.version is HttpVersion10:
        # Chunks are younger than HTTP/1.0: somebody in front of us may see another body.
        return Refusal.MALFORMED if codings else None
    if message.version is not HttpVersion11:
        return Refusal.MALFORMED
    is_plain = [coding.lower() for coding in codings] == ["chunked"]
    return None if is_plain else Refusal.MALFORMED


def _refuse_target(incoming: Incoming, host: str) -> Refusal | None:
    target = incoming.message.path
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        if absolute[1].lower() != host.lower():
            return Refusal.TARGET
        target = absolute[2]
    path, mark, query = target.partition("?")
    if _PATH.fullmatch(path) is None or _DOTS.search(path) is not None:
        return Refusal.TARGET
    if mark and _QUERY.fullmatch(query) is None:
        return Refusal.TARGET
    incoming.path, incoming.query = path, query
    return None


def has_large_head(message: RawRequestMessage, most: int) -> bool:
    """Tell whether target and headers take more than *most* bytes."""
    size = len(message.path)
    for name, value in message.raw_headers:
        size += len(name) + len(value) + _LINE
    return size > most
