"""What no database can keep is refused by all of them, and sought in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from policies.model import Fact
from storage.definitions import DefinitionLedger, Seen
from storage.engine import Database
from storage.errors import DefinitionUnknownError, FactRefusedError, TextRefusedError
from storage.facts import Change, FactLedger
from storage.tasks import OwnedTask, TaskLedger
from storage.tokens import IssuedRecord, TokenLedger
from storage.words import MOST_BYTES
from tests.storage.state.places import Place, opened, ticking

NUL, HALF = "a\0b", "a\ud800"
# As long as may be, but for the short names beside it, and of nothing that could be compressed.
LONG = "".join(chr(0x10000 + 7919 * number % 65_536) for number in range(MOST_BYTES // 4 - 4))
TOO_LONG = LONG + 16 * "a"
ISSUED = IssuedRecord("t1", "data", "client:ci", "ci", "http://h", 1, 9, "user:alice", "k1")
TASK = OwnedTask("github", "t1", "User:alice", "tool=search", 9_000.0)
TOOL = Seen("tool", "search", "A", {})
CHANGE = Change((Fact("p", ("a",)),), (), "grant", "alice", "needed")

Story = Callable[[Database, str], Awaitable[object]]


def all_of(names: Iterable[str], word: str) -> dict[str, Any]:
    return dict.fromkeys(names, word)


def record(**changes: str) -> Story:
    names = {name: "client:{}" if name == "subject" else "{}" for name in changes}
    return lambda database, word: TokenLedger(database, ticking()).record(
        replace(ISSUED, **{name: shape.format(word) for name, shape in names.items()})  # type: ignore[arg-type]
    )


def change(**where: Any) -> Story:  # noqa: ANN401
    return lambda database, word: FactLedger(database, ticking()).change(
        replace(CHANGE, **{name: made(word) for name, made in where.items()})
    )


def own(**where: Any) -> Story:  # noqa: ANN401
    return lambda database, word: TaskLedger(database, ticking()).own(
        replace(TASK, **all_of(where, word))
    )


def take(server: str = "github", **where: Any) -> Story:  # noqa: ANN401
    return lambda database, word: DefinitionLedger(database, ticking()).take(
        server or word, [replace(TOOL, **all_of(where, word))], trust="none"
    )


def revoke(*, by: bool) -> Story:
    return lambda database, word: TokenLedger(database, ticking()).revoke(
        "t1", word if by else "user:bob", "leaked" if by else word
    )


KEYS: dict[str, tuple[Story, type[Exception]]] = {
    "token": (record(jti=""), TextRefusedError),
    "subject": (record(subject=""), TextRefusedError),
    "predicate": (change(add=lambda word: (Fact(word, ()),)), FactRefusedError),
    "origin": (change(origin=str), FactRefusedError),
    "task": (own(task_id=1), ValueError),
    "task's server": (own(server=1), ValueError),
    "tool": (take(name=1), TextRefusedError),
    "server": (take(server=""), TextRefusedError),
}
OTHERS: dict[str, tuple[Story, type[Exception]]] = {
    "client": (record(client_id=""), TextRefusedError),
    "audience": (record(audience=""), TextRefusedError),
    "issuer": (record(issued_by=""), TextRefusedError),
    "key": (record(key_id=""), TextRefusedError),
    "revoker": (revoke(by=True), TextRefusedError),
    "why revoked": (revoke(by=False), TextRefusedError),
    "who": (change(by=str), FactRefusedError),
    "why": (change(why=str), FactRefusedError),
    "owner": (own(owner=1), TextRefusedError),
    "task's origin": (own(origin=1), TextRefusedError),
    "hash": (take(hash=1), TextRefusedError),
}


def told(place: Place, story: Story, word: str) -> object:
    async def run() -> object:
        async with opened(place) as database:
            return await story(database, word)

    return asyncio.run(run())


@pytest.mark.parametrize("word", [NUL, HALF], ids=["nul", "half"])
@pytest.mark.parametrize("name", [*KEYS, *OTHERS])
def test_a_text_that_is_none_is_refused_wherever_it_stands(
    place: Place, name: str, word: str
) -> None:
    story, error = (KEYS | OTHERS)[name]

    with pytest.raises(error):
        told(place, story, word)


@pytest.mark.parametrize("name", KEYS)
def test_what_tells_rows_apart_has_a_length_that_every_index_takes(place: Place, name: str) -> None:
    story, error = KEYS[name]

    with pytest.raises(error):
        told(place, story, TOO_LONG)


@pytest.mark.parametrize("name", KEYS)
def test_up_to_that_length_everything_is_kept(place: Place, name: str) -> None:
    story, _ = KEYS[name]

    told(place, story, LONG)


@pytest.mark.parametrize("word", ["é\u2028😀", "'; --", "", " a ", "a" * 10_000])
def test_other_words_come_back_as_they_were(place: Place, word: str) -> None:
    async def run() -> tuple[str, str | None]:
        async with opened(place) as database:
            ledger = TokenLedger(database, ticking())
            await ledger.record(replace(ISSUED, audience=word))
            await ledger.revoke("t1", "user:bob", word)
            found = await ledger.find("t1")
            assert found
            return found.issued.audience, found.revoked_why

    assert asyncio.run(run()) == (word, word)


SOUGHT: dict[str, tuple[Story, object]] = {
    "token": (lambda database, word: TokenLedger(database, ticking()).find(word), None),
    "revoked": (
        lambda database, word: TokenLedger(database, ticking()).revoke(word, "user:bob", "x"),
        None,
    ),
    "subject": (
        lambda database, word: TokenLedger(database, ticking()).listed(subject=word, limit=9),
        [],
    ),
    "page": (
        lambda database, word: TokenLedger(database, ticking()).listed(before=word, limit=9),
        [],
    ),
    "server": (lambda database, word: DefinitionLedger(database, ticking()).offered(word), []),
    "owner": (
        lambda database, word: TaskLedger(database, ticking()).owned("github", word, ["t1"]),
        {},
    ),
    "task": (
        lambda database, word: TaskLedger(database, ticking()).owned("github", "a", [word]),
        {},
    ),
    "task's server": (
        lambda database, word: TaskLedger(database, ticking()).owned(word, "a", ["t1"]),
        {},
    ),
}


@pytest.mark.parametrize("word", [NUL, HALF, TOO_LONG], ids=["nul", "half", "long"])
@pytest.mark.parametrize("name", SOUGHT)
def test_what_cannot_be_kept_is_sought_in_vain(place: Place, name: str, word: str) -> None:
    story, nothing = SOUGHT[name]

    assert told(place, story, word) == nothing


@pytest.mark.parametrize("word", [NUL, HALF, TOO_LONG], ids=["nul", "half", "long"])
def test_what_cannot_be_kept_was_never_offered(place: Place, word: str) -> None:
    async def story(database: Database, word: str) -> None:
        await DefinitionLedger(database, ticking()).approve("github", "tool", word, "A")

    with pytest.raises(DefinitionUnknownError):
        told(place, story, word)
