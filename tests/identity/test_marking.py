"""How secrets of clients are known again, and everything kept under another master key (T09)."""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

import pytest

from proxy.identity.keyfile import FileKeyring, read_keyring
from proxy.identity.keyring import KeyState, Plane
from proxy.identity.marking import Marks, marking_key, read_marking_key
from proxy.identity.rekeying import rekey
from proxy.identity.sealing import DamagedError, MasterKey, MasterKeyError, Secret
from tests.identity.workshop import MASTER, Clock

OTHER = MasterKey(Secret(bytes(32)))
THIRD = MasterKey(Secret(b"3" * 32))


def test_a_secret_is_known_by_its_mark_under_one_key_alone() -> None:
    marks, others = Marks(Secret(b"a" * 32)), Marks(Secret(b"b" * 32))
    secret = marks.new_secret().reveal().decode()

    assert marks.mark(secret) == marks.mark(secret)
    assert len({marks.mark(secret), marks.mark(secret + "x"), others.mark(secret)}) == 3
    assert secret not in marks.mark(secret)
    assert len({marks.new_secret().reveal() for _ in range(100)}) == 100


@pytest.mark.parametrize("odd", ["", "\0", "\ud800", "x" * 10_000])
def test_whatever_is_shown_has_a_mark(odd: str) -> None:
    assert len(Marks(Secret(b"a" * 32)).mark(odd)) == 64


def test_the_key_is_the_same_at_every_start_and_is_kept_sealed(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "credentials.json"

    first, second = (marking_key(path, MASTER).reveal() for _ in range(2))

    assert first == second
    assert first not in path.read_bytes()
    assert first.hex() not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_gateways_that_share_a_master_key_mark_alike(tmp_path: Path) -> None:
    keys = [marking_key(tmp_path / name / "k", MASTER).reveal() for name in ("a", "b")]

    assert keys[0] == keys[1] != marking_key(tmp_path / "c" / "k", OTHER).reveal()


def test_a_key_that_was_changed_or_is_anothers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "k"
    marking_key(path, MASTER)

    with pytest.raises(MasterKeyError):
        marking_key(path, OTHER)
    path.write_text(path.read_text().strip()[:-4] + "AAAA")
    with pytest.raises(DamagedError):
        marking_key(path, MASTER)
    path.write_text("")
    with pytest.raises(DamagedError):
        marking_key(path, MASTER)


class Kept:
    """Both keyrings and the marking key of a gateway, in files."""

    def __init__(self, directory: Path) -> None:
        self.rings = {plane: directory / f"{plane.value}.json" for plane in Plane}
        self.marking = directory / "credentials.json"
        for plane, path in self.rings.items():
            ring = FileKeyring(path, plane, MASTER, Clock())
            ring.write(ring.plan_rotation())
            ring.reload()
            ring.write(ring.plan_preparation())
        self.key = marking_key(self.marking, MASTER).reveal()

    @property
    def files(self) -> list[Path]:
        return [*self.rings.values(), self.marking]

    def rekey(self, old: MasterKey = MASTER, new: MasterKey = OTHER) -> list[Path]:
        return rekey(self.rings, self.marking, old, new)

    def contents(self) -> list[bytes]:
        return [path.read_bytes() for path in self.files]


def test_under_a_new_master_key_everything_is_as_it_was(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    before = {plane: read_keyring(path, plane, MASTER) for plane, path in kept.rings.items()}

    assert kept.rekey() == kept.files

    for plane, path in kept.rings.items():
        after = read_keyring(path, plane, OTHER)
        assert after.jwks(0) == before[plane].jwks(0)
        assert [key.state for key in after.keys] == [key.state for key in before[plane].keys]
        key, old = after.signing_key(OTHER), before[plane].signing_key(MASTER)
        assert key.private_bytes().reveal() == old.private_bytes().reveal()
        waiting = after.rotate(0, 0).signing_key(OTHER)
        prepared = before[plane].in_state(KeyState.PREPARED)
        assert prepared is not None
        assert waiting.key_id == prepared.key_id
        with pytest.raises(MasterKeyError):
            read_keyring(path, plane, MASTER)
    assert read_marking_key(kept.marking, OTHER).reveal() == kept.key


@pytest.mark.parametrize("done", [0, 1, 2])
def test_whoever_was_interrupted_does_it_again(tmp_path: Path, done: int) -> None:
    kept = Kept(tmp_path)
    before = kept.contents()
    kept.rekey()
    for path, content in list(zip(kept.files, before, strict=True))[done:]:
        path.write_bytes(content)

    assert kept.rekey() == kept.files[done:]
    assert kept.rekey() == []


ROTATED = str.maketrans(ascii_uppercase, ascii_uppercase[1:] + "A")
"""Of sealed text, which is random, hardly any is the same in these letters."""


@pytest.mark.parametrize("number", [0, 1, 2])
def test_where_one_file_cannot_be_read_none_is_written(tmp_path: Path, number: int) -> None:
    kept = Kept(tmp_path)
    path = kept.files[number]
    path.write_text(path.read_text().translate(ROTATED))
    before = kept.contents()

    with pytest.raises((DamagedError, MasterKeyError)):
        kept.rekey()

    assert kept.contents() == before


def test_a_wrong_old_master_key_changes_nothing(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    before = kept.contents()

    with pytest.raises(MasterKeyError):
        kept.rekey(THIRD)

    assert kept.contents() == before


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.marking.unlink()

    assert kept.rekey() == list(kept.rings.values())
    assert not kept.marking.exists()
