"""`northgate fact ...`: what administrators state by hand, from the policy's closed list."""

from __future__ import annotations

import json as text
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from proxy.cli.control.api import Api, given
from proxy.cli.control.credentials import Credentials
from proxy.cli.control.endings import CommandError
from proxy.cli.control.rows import moment, print_table
from proxy.cli.policy import console

_PATH: Final = "/api/v0/facts"
_TYPES: Final = {
    "client": "Client",
    "user": "User",
    "team": "Team",
    "server": "Server",
    "tool": "Tool",
    "prompt": "Prompt",
    "document": "Document",
    "toolset": "Toolset",
}
_WORDS: Final = {type_: word for word, type_ in _TYPES.items()}
_ENTITY: Final = re.compile(r"([A-Z][A-Za-z0-9_]*):(.+)", re.DOTALL)
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
_TRUTHS: Final = {"true": True, "false": False}


def add(
    credentials: Credentials, predicate: str, words: Sequence[str], *, why: str | None, json: bool
) -> None:
    """State a fact."""
    _change(credentials, "POST", predicate, words, why=why, json=json, done="holds now")


def delete(
    credentials: Credentials, predicate: str, words: Sequence[str], *, why: str | None, json: bool
) -> None:
    """Withdraw a fact."""
    _change(credentials, "DELETE", predicate, words, why=why, json=json, done="holds no more")


def list_them(credentials: Credentials, wanted: Mapping[str, str | None], *, json: bool) -> None:
    """Print the facts that are *wanted*, the oldest first."""
    found = list(Api.of(credentials).pages(_PATH, "facts", given(wanted)))
    if json:
        console.print_json({"facts": found})
        return
    head = ("FACT", "FROM", "SINCE", "BY", "WHY")
    print_table(head, map(_line, found))


def value_of(word: str) -> object:
    """Return the argument that *word* means: an entity, a number, a truth, or else a text.

    Text that would be read as something else is written as in JSON, with its quotes.
    """
    prefix, colon, name = word.partition(":")
    if colon and prefix in _TYPES and name:
        return {"type": _TYPES[prefix], "id": name}
    if found := _ENTITY.fullmatch(word):
        return {"type": found[1], "id": found[2]}
    if _NUMBER.fullmatch(word):
        return int(word)
    if word.startswith('"'):
        try:
            read = text.loads(word)
        except ValueError:
            message = f"This is no text as JSON writes it: {word}"
            raise CommandError("bad-argument", message, "Close the quotes.") from None
        if isinstance(read, str):
            return read
    return _TRUTHS.get(word, word)


def word_of(value: object) -> str:
    """Return *value* as `value_of` reads it."""
    match value:
        case {"type": str(type_), "id": str(id_)}:
            return f"{_WORDS.get(type_, type_)}:{id_}"
        case bool():
            return "true" if value else "false"
        case str() if _means_itself(value):
            return value
    return text.dumps(value)


def _means_itself(word: str) -> bool:
    """Tell whether *word* means itself."""
    return not word.startswith('"') and value_of(word) == word


def _change(
    credentials: Credentials,
    method: str,
    predicate: str,
    words: Sequence[str],
    *,
    why: str | None,
    json: bool,
    done: str,
) -> None:
    document = {"predicate": predicate, "args": [value_of(one) for one in words]}
    answer = Api.of(credentials).call(method, _PATH, document=document | given({"why": why}))
    if json:
        console.print_json(answer)
        return
    console.out().print(console.visible(f"{_shown(answer)}: this {done}."))


def _shown(fact: Mapping[str, Any]) -> str:
    return shlex.join([fact["predicate"], *map(word_of, fact["args"])])


def _line(fact: Mapping[str, Any]) -> list[str]:
    since = moment(fact["added_at"])
    return [_shown(fact), fact["origin"], since, fact["added_by"], fact["why"]]
