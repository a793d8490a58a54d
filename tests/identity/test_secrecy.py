"""No key and no token shows where it should not (T09, T34)."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.identity.bearer import bearer
from proxy.identity.keptring import KeptKeyring
from proxy.identity.keyring import Plane as KeyPlane
from proxy.identity.keyring import from_record, to_record
from proxy.identity.keys import Algorithm, read_private
from proxy.identity.refusal import RefusedError
from proxy.identity.sealing import MASTER_KEY_VARIABLE, MasterKey, Secret, master_key
from storage.engine import open_database
from storage.secrets import SecretLedger
from tests.identity.forge import forged
from tests.identity.workshop import AUDIENCES, Clock, Plane, encoded, text_of
from tests.storage.state.places import FilePlace

MASTER_BYTES = bytes(range(100, 132))


class Room:
    """One of everything, and what of it must stay unseen."""

    def __init__(self, directory: Path, runner: asyncio.Runner, secrets: SecretLedger) -> None:
        self.plane = Plane()
        self.issued = self.plane.issue()
        self.token = text_of(self.issued)
        self.principal = self.plane.verify(self.token)
        self.master = MasterKey(Secret(MASTER_BYTES))
        self.path = directory
        self.runner = runner
        opening = KeptKeyring.opened(secrets, KeyPlane.DATA, self.master, Clock())
        self.ring = runner.run(opening)
        self.signing = self.ring.signing_key()
        self.private = self.signing.private_bytes()

    def things(self) -> dict[str, object]:
        return {
            "secret": self.private,
            "master": self.master,
            "signing key": self.signing,
            "keyring": self.ring.keyring,
            "kept key": self.ring.keyring.keys[0],
            "trusted key": self.ring.keyring.trusted(0)[0],
            "kept keyring": self.ring,
            "record": to_record(self.ring.keyring, self.master),
            "jwks": self.ring.keyring.jwks(0),
            "issuer": self.plane.issuer,
            "issued": self.issued,
            "verifier": self.plane.verifier,
            "principal": self.principal,
            "refusal": refusal(self.token[:-4]),
        }

    def canaries(self) -> set[bytes]:
        seed = self.private.reveal()[-32:]
        found = {self.token.encode(), self.token.split(".")[2].encode()}
        for secret in (seed, MASTER_BYTES):
            found |= {secret, secret.hex().encode(), encoded(secret).encode()}
            found.add(repr(secret)[2:-1].encode())
        return found


def refusal(token: str) -> RefusedError:
    try:
        Plane().verifier.verify(token, AUDIENCES)
    except RefusedError as refused:
        return refused
    raise AssertionError


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    place = FilePlace(tmp_path)
    with asyncio.Runner() as runner:
        database = runner.run(open_database(place.url))
        yield Room(place.file.parent, runner, SecretLedger(database, Clock()))
        runner.run(database.close())


SHOWN: dict[str, Callable[[object], str | bytes]] = {
    "repr": repr,
    "str": str,
    "format": lambda thing: f"{thing}",
    "percent": lambda thing: "%s %r" % (thing, thing),  # noqa: UP031  as a logger formats
    "pickle": pickle.dumps,
    "copy": lambda thing: repr(copy.copy(thing)),
    "json": lambda thing: json.dumps(thing, default=repr),
    "asdict": lambda thing: repr(dataclasses.asdict(thing)),  # type: ignore[call-overload]
    "vars": lambda thing: repr(vars(thing)),
}


@pytest.mark.parametrize("way", SHOWN)
def test_nothing_in_the_room_shows_a_key_or_a_token(room: Room, way: str) -> None:
    shown: dict[str, bytes] = {}
    for name, thing in room.things().items():
        with suppress(TypeError, AttributeError):  # what cannot be shown in this way shows nothing
            text = SHOWN[way](thing)
            shown[name] = text if isinstance(text, bytes) else text.encode()

    leaks = {name for name, text in shown.items() for canary in room.canaries() if canary in text}

    assert leaks == set()


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_secrets_are_neither_pickled_nor_copied(
    room: Room, way: Callable[[object], object]
) -> None:
    for thing in (room.private, room.signing):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            way(thing)


@pytest.mark.parametrize("name", ["secret", "master", "signing key", "issued"])
def test_what_holds_a_secret_cannot_be_pickled(room: Room, name: str) -> None:
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(room.things()[name])


def failures(room: Room) -> Iterator[Callable[[], object]]:
    token, master = room.token, room.master
    for _, bad in forged(room.plane.key, token):
        yield lambda bad=bad: room.plane.verify(bad)  # type: ignore[misc]
    yield lambda: room.plane.verifier.verify(token, frozenset[str]())
    yield lambda: bearer([("Authorization", f"Bearer {token}, Bearer {token}")])
    yield lambda: bearer([("Authorization", token)])
    yield lambda: bearer([("Authorization", f"Bearer {token}")], f"access_token={token}")
    yield lambda: bearer([("Cookie", f"access_token={token}")])
    yield lambda: read_private(Algorithm.ES256, room.private)
    yield lambda: read_private(Algorithm.EDDSA, Secret(room.private.reveal()[:-1]))
    yield lambda: room.ring.keyring.signing_key(MasterKey(Secret(bytes(32))))
    yield lambda: MasterKey(Secret(MASTER_BYTES + b"x"))
    yield lambda: master_key(
        room.path / "master.key", {MASTER_KEY_VARIABLE: encoded(MASTER_BYTES) + "x"}
    )
    yield lambda: master.open("purpose", master.seal("purpose", room.private, b"a"), b"b")
    record = to_record(room.ring.keyring, master)
    yield lambda: from_record(record, KeyPlane.CONTROL, master)
    yield lambda: from_record(record, KeyPlane.DATA, MasterKey(Secret(bytes(32))))


def test_no_failure_quotes_a_key_or_a_token(room: Room) -> None:
    texts = []
    for number, fail in enumerate(failures(room)):
        with pytest.raises(Exception) as caught:  # noqa: PT011  whatever it is, its text counts
            fail()
        chain = "".join(traceback.format_exception(caught.value))
        texts.append((number, f"{caught.value} {caught.value!r} {caught.value.args} {chain}"))

    assert len(texts) > 200
    leaks = {n for n, text in texts for canary in room.canaries() if canary in text.encode()}
    assert leaks == set()


def test_the_room_logs_no_key_and_no_token(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for fail in failures(room):
            with suppress(Exception):
                fail()
        room.plane.verify(room.token)
        room.runner.run(room.ring.write(room.ring.plan_rotation()))

    # The driver of the database tells of statements, in which everything is sealed.
    assert {one.name for one in caplog.records} == {"aiosqlite"}
    assert not any(canary in caplog.text.encode() for canary in room.canaries())


def test_no_file_of_the_room_holds_a_key_or_a_token(room: Room) -> None:
    room.runner.run(room.ring.write(room.ring.plan_rotation()))
    contents = [path.read_bytes() for path in room.path.iterdir()]

    assert contents
    assert not any(canary in content for content in contents for canary in room.canaries())
