"""Names of servers, tools, prompts and documents, and the ids by which a policy knows them.

A name is compared code point by code point and never normalised: what is not plainly one thing is
refused instead, so that no spelling of a name reaches an upstream past the rule that names it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from policies.model import Entity

MAX_NAME: Final = 128
"""Characters of a name."""

MAX_ID: Final = 384
"""Bytes of a policy id in UTF-8."""

SEPARATOR: Final = "__"

_SERVER: Final = re.compile(r"[A-Za-z0-9_-]+")
_ITEM: Final = re.compile(r"[A-Za-z0-9_.-]+")


class UnnameableError(ValueError):
    """A name that no policy can speak of: what bears it can be neither listed nor used.

    The text is a sentence for whoever chose the name.
    """


def check_server(name: str) -> str:
    """Return *name* if a server may bear it, so that `server__tool` splits at the first `__`.

    Raises `UnnameableError`.
    """
    if not 0 < len(name) <= MAX_NAME or _SERVER.fullmatch(name) is None:
        raise UnnameableError("A server's name is 1 to 128 letters, digits, hyphens, underscores.")
    if SEPARATOR in name or name.endswith("_"):
        raise UnnameableError("A server's name has no `__` in it and no `_` at its end.")
    return name


def check_item(name: str, *, verbatim: Collection[str] = ()) -> str:
    """Return *name* if a tool or prompt may bear it.

    Letters, digits, `_`, `.` and `-`, unless an operator listed the name *verbatim*; even then at
    most 128 printable characters. Raises `UnnameableError`.
    """
    if not 0 < len(name) <= MAX_NAME:
        raise UnnameableError("A name is 1 to 128 characters.")
    if _ITEM.fullmatch(name) is None and not (name in verbatim and name.isprintable()):
        raise UnnameableError(
            "A name is letters, digits, `_`, `.` and `-`, unless the operator lists it verbatim."
        )
    return name


def tool(server: str, name: str, *, verbatim: Collection[str] = ()) -> Entity:
    """Return `Tool{"server__name"}`. Raises `UnnameableError`."""
    return _item("Tool", server, name, verbatim)


def prompt(server: str, name: str, *, verbatim: Collection[str] = ()) -> Entity:
    """Return `Prompt{"server__name"}`. Raises `UnnameableError`."""
    return _item("Prompt", server, name, verbatim)


def split(name: str) -> tuple[str, str]:
    """Return server and own name of an aggregated `server__name`. Raises `UnnameableError`."""
    server, separator, item = name.partition(SEPARATOR)
    if not separator or not item:
        raise UnnameableError("The name has no server before `__`; write server__name.")
    return check_server(server), item


def identified(type_: str, id_: str) -> Entity:
    """Return the entity, if its id is 1 to 384 bytes of UTF-8. Raises `UnnameableError`."""
    try:
        size = len(id_.encode())
    except UnicodeEncodeError:
        raise UnnameableError("The name holds half a surrogate pair.") from None
    if not 0 < size <= MAX_ID:
        raise UnnameableError("Server and name together are over 384 bytes.")
    return Entity(type_, id_)


def _item(type_: str, server: str, name: str, verbatim: Collection[str]) -> Entity:
    check_server(server)
    check_item(name, verbatim=verbatim)
    return identified(type_, f"{server}{SEPARATOR}{name}")
