"""The body of a token request, read strictly (RFC 6749 section 3.2 and appendix B)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from proxy.listener.incoming import Incoming
from proxy.oauth.errors import MalformedRequestError

LONGEST: Final = 16 * 1024
"""Bytes of a body: an assertion has 8 KiB at most."""

_MOST_PARAMETERS: Final = 16
_MEDIA: Final = frozenset(
    {
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded;charset=utf-8",
    }
)
_STRAY: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


async def read(incoming: Incoming) -> dict[str, str]:
    """Return the parameters that *incoming* brings; an empty one is as good as none.

    Raises `MalformedRequestError`, and what reading a body raises.
    """
    body = await incoming.body()
    lines = [(name.lower(), value) for name, value in incoming.headers]
    media = [value.replace(" ", "").lower() for name, value in lines if name == "content-type"]
    is_plain = not any(name == "content-encoding" for name, _ in lines)
    if incoming.query or not is_plain or len(media) != 1 or media[0] not in _MEDIA:
        raise MalformedRequestError
    return parameters(body)


def parameters(body: bytes) -> dict[str, str]:
    """Return the parameters in *body*. Raises `MalformedRequestError`."""
    if not body or len(body) > LONGEST:
        raise MalformedRequestError
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise MalformedRequestError from None
    found = dict(pairs)
    # Of a parameter that comes twice, one reader takes the first and another the last.
    if len(found) != len(pairs) or _STRAY.search(text):
        raise MalformedRequestError
    return {name: value for name, value in found.items() if value}
