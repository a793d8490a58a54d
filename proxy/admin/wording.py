"""How requests and answers write actors, resources and moments: `client:ci`, `server:github`."""

from __future__ import annotations

import re
from datetime import datetime
from math import floor
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from policies.model import Entity
from policies.naming import glob_form
from proxy.wire import uris
from proxy.wire.names import MAX_ID, SEPARATOR, check_item, check_server, identified, split

MATCHING: Final = "matching"
"""What a resource begins with that is a pattern of ids."""

LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""

_ACTORS: Final = {"client": "Client", "user": "User", "team": "Team"}
_RESOURCES: Final = {
    "server": "Server",
    "tool": "Tool",
    "prompt": "Prompt",
    "document": "Document",
    "toolset": "Toolset",
}
_PREFIXES: Final = {type_: word for word, type_ in (_ACTORS | _RESOURCES).items()}
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_IDENTITY: Final = re.compile(r"[\x21-\x7e]{1,384}")
_MOST_TEXT: Final = 512
_LIFE: Final = re.compile(r"([1-9][0-9]{0,8})([smhd]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DOTS: Final = frozenset({".", ".."})


ACTOR_FORM: Final = rf"({'|'.join(_ACTORS)}):{_IDENTITY.pattern}"
RESOURCE_FORM: Final = rf"({'|'.join((*_RESOURCES, MATCHING))}):.+"
"""What actors and resources look like; of the latter there is more to be said."""


def checked_name(text: str) -> str:
    """Return *text* if it names an identity, or a toolset, in an address of ours.

    Raises `ValueError` with a sentence, as everything here does.
    """
    if _NAME.fullmatch(text) is None or text in _DOTS:
        raise ValueError("A name is 1 to 128 letters, digits, dots, hyphens and underscores.")
    return text


def checked_text(text: str) -> str:
    if not all(one.isprintable() for one in text):
        raise ValueError("Write one line of plain text.")
    return text


def spelt(pattern: str, *, longest: int | None = None) -> WithJsonSchema:
    """Return how a text that a function checks is described to others."""
    limit = {} if longest is None else {"maxLength": longest}
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **limit})


Name = Annotated[str, AfterValidator(checked_name), spelt(rf"(?!\.\.?$){_NAME.pattern}")]
Text = Annotated[
    str,
    Field(max_length=_MOST_TEXT),
    AfterValidator(checked_text),
    spelt(r"([^\p{C}\p{Z}]| )*", longest=_MOST_TEXT),
]


def actor_of(text: str) -> Entity:
    """Return the entity that `client:ci`, `user:ann` or `team:ops` means."""
    word, _, name = text.partition(":")
    if word not in _ACTORS or _IDENTITY.fullmatch(name) is None:
        raise ValueError("Write client:NAME, user:NAME or team:NAME.")
    return Entity(_ACTORS[word], name)


def resource_of(text: str) -> Entity | str:
    """Return the entity that `server:github` or the like means, or the glob of `matching:GLOB`."""
    word, _, name = text.partition(":")
    if word == MATCHING:
        return glob_of(name)
    if word not in _RESOURCES:
        raise ValueError(
            "Write server:NAME, tool:SERVER__NAME, prompt:SERVER__NAME, document:SERVER|URI, "
            "toolset:NAME or matching:GLOB."
        )
    return _named(_RESOURCES[word], name)


def glob_of(text: str) -> str:
    if not 0 < len(text.encode(errors="replace")) <= MAX_ID or not text.isprintable():
        raise ValueError("A pattern is 1 to 384 printable characters.")
    problem = glob_form(text)
    if problem is not None:
        raise ValueError(problem)
    return text


def item_of(type_: str, text: str) -> Entity:
    """Return the tool or prompt with the id *text*."""
    server, name = split(text)
    # Whether an irregular name is accepted is up to the settings; a grant on it alone does no harm.
    check_item(name, verbatim=(name,))
    return identified(type_, f"{server}{SEPARATOR}{name}")


def written(entity: Entity) -> str:
    """Return *entity* as `actor_of` and `resource_of` read it."""
    return f"{_PREFIXES.get(entity.type, entity.type)}:{entity.id}"


def seconds_of(text: str) -> int | None:
    """Return how many seconds a life such as 90, 30m, 2h or 7d has; None if it is none."""
    found = _LIFE.fullmatch(text)
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def moment_of(text: str) -> int:
    """Return the Unix second that an ISO 8601 time with its zone means, rounded down."""
    try:
        moment: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("Write a time with its zone, such as 2027-01-31T18:00:00Z.")
    return floor(moment.timestamp())


def _named(type_: str, name: str) -> Entity:
    match type_:
        case "Server":
            return Entity(type_, check_server(name))
        case "Document":
            server, _, uri = name.partition("|")
            return uris.document(server, uri)
        case "Toolset":
            return Entity(type_, checked_name(name))
    return item_of(type_, name)
