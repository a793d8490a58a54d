"""The keyring in a file, and the master key beside it (T09)."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.identity.keyfile import FileKeyring, KeyringChangedError, Plan
from proxy.identity.keyring import KeyringError, KeyState, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.sealing import (
    MASTER_KEY_VARIABLE,
    DamagedError,
    MasterKey,
    MasterKeyError,
    Secret,
    master_key,
)
from tests.identity.workshop import MASTER, NOW, Clock, encoded

OTHER_MASTER = MasterKey(Secret(bytes(32)))


def opened(directory: Path, clock: Clock | None = None) -> FileKeyring:
    return FileKeyring(directory / "keys" / "data.json", Plane.DATA, MASTER, clock or Clock())


def made(ring: FileKeyring, plan: Plan) -> None:
    ring.write(plan)
    assert ring.reload()


def rotate(ring: FileKeyring, algorithm: Algorithm | None = None) -> None:
    made(ring, ring.plan_rotation(algorithm))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_keyring_has_an_active_key_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    ring = opened(tmp_path)

    assert ring.keyring.in_state(KeyState.ACTIVE) is not None
    assert mode(tmp_path / "keys" / "data.json") == 0o600
    assert mode(tmp_path / "keys") == 0o700
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == [
        "data.json",
        "data.json.lock",
    ]


def test_the_file_does_not_hold_the_private_key(tmp_path: Path) -> None:
    private = opened(tmp_path).signing_key().private_bytes().reveal()
    content = (tmp_path / "keys" / "data.json").read_text()

    assert not any(encoded(private[-size:]) in content for size in (32, 48))
    assert private[-32:].hex() not in content


def test_what_was_changed_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    made(ring, ring.plan_preparation())
    rotate(ring)
    made(ring, ring.plan_preparation())

    again = opened(tmp_path)

    assert again.keyring == ring.keyring
    assert again.signing_key().key_id == ring.signing_key().key_id
    states = [key.state for key in again.keyring.keys]
    assert states == [KeyState.RETIRED, KeyState.ACTIVE, KeyState.PREPARED]


def test_a_rotation_changes_the_key_that_signs(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    before = ring.signing_key().key_id

    rotate(ring)

    assert ring.signing_key().key_id != before
    assert ring.keyring.keys[0].ends_at == NOW + 86_400 + 30


def test_a_revoked_active_key_has_a_successor_at_once(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    before = ring.signing_key().key_id

    made(ring, ring.plan_revocation(before))

    assert ring.signing_key().key_id != before
    assert {key.key_id for key in ring.keyring.trusted(NOW)} == {ring.signing_key().key_id}


def test_a_change_that_is_refused_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    made(ring, ring.plan_preparation())
    before = (tmp_path / "keys" / "data.json").read_bytes()

    with pytest.raises(KeyringError):
        ring.plan_preparation()

    assert (tmp_path / "keys" / "data.json").read_bytes() == before


def test_another_process_sees_a_change_when_it_reads_again(tmp_path: Path) -> None:
    here, there = opened(tmp_path), opened(tmp_path)
    rotate(there)

    was_behind = here.is_behind
    assert here.signing_key().key_id != there.signing_key().key_id
    assert here.reload()
    assert here.signing_key().key_id == there.signing_key().key_id
    assert (was_behind, here.is_behind) == (True, False)
    assert not here.reload()


def test_a_change_planned_on_what_is_no_more_is_not_made(tmp_path: Path) -> None:
    here, there = opened(tmp_path), opened(tmp_path)
    plan = here.plan_rotation()
    rotate(there)
    before = (tmp_path / "keys" / "data.json").read_bytes()

    with pytest.raises(KeyringChangedError):
        here.write(plan)

    assert (tmp_path / "keys" / "data.json").read_bytes() == before


def test_a_plan_changes_nothing_by_itself(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    before = ring.keyring

    plans = [ring.plan_preparation(), ring.plan_rotation(), ring.plan_revocation(key_id(ring))]

    assert all(plan.before == before != plan.after for plan in plans)
    assert (ring.keyring, opened(tmp_path).keyring) == (before, before)


def key_id(ring: FileKeyring) -> str:
    return ring.signing_key().key_id


def test_the_next_key_is_of_the_kind_that_signs_until_another_is_asked_for(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    rotate(ring, Algorithm.ES256)
    rotate(ring)
    assert ring.signing_key().algorithm is Algorithm.ES256

    made(ring, ring.plan_preparation())
    rotate(ring, Algorithm.EDDSA)

    assert ring.signing_key().algorithm is Algorithm.EDDSA
    assert ring.keyring.in_state(KeyState.PREPARED) is None


def test_a_rotation_to_the_kind_that_waits_uses_the_key_that_is_known(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    made(ring, ring.plan_preparation())
    waiting = ring.keyring.in_state(KeyState.PREPARED)
    assert waiting is not None

    rotate(ring, Algorithm.EDDSA)

    assert ring.signing_key().key_id == waiting.key_id


def rotate_often(directory: Path) -> None:
    ring = opened(directory)
    done = 0
    while done < 10:
        with suppress(KeyringChangedError):
            ring.write(ring.plan_rotation())
            done += 1
        ring.reload()


def test_changes_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    opened(tmp_path)
    context = multiprocessing.get_context("forkserver")
    workers = [context.Process(target=rotate_often, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    states = [key.state for key in opened(tmp_path).keyring.keys]

    assert states == [KeyState.RETIRED] * 30 + [KeyState.ACTIVE]


def test_a_keyring_made_by_several_processes_at_once_has_one_active_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    workers = [context.Process(target=opened, args=(tmp_path,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [key.state for key in opened(tmp_path).keyring.keys] == [KeyState.ACTIVE]


def test_a_leftover_of_a_broken_write_is_harmless(tmp_path: Path) -> None:
    ring = opened(tmp_path)
    leftover = tmp_path / "keys" / "data.json.new"
    leftover.write_text("half a")
    leftover.chmod(0o644)

    rotate(ring)

    assert opened(tmp_path).keyring == ring.keyring
    assert mode(tmp_path / "keys" / "data.json") == 0o600


def test_a_wrong_master_key_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    opened(tmp_path)
    path = tmp_path / "keys" / "data.json"
    before = path.read_bytes()

    with pytest.raises(MasterKeyError, match=r"Put the right master key back"):
        FileKeyring(path, Plane.DATA, OTHER_MASTER, Clock())

    assert path.read_bytes() == before


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"master": 1}', "\xff"])
def test_a_file_that_is_no_keyring_is_never_replaced_by_a_new_one(
    tmp_path: Path, content: str
) -> None:
    opened(tmp_path)
    path = tmp_path / "keys" / "data.json"
    path.write_text(content)

    with pytest.raises((DamagedError, MasterKeyError)):
        opened(tmp_path)

    assert path.read_text() == content


def test_a_keyring_that_others_may_read_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "keys" / "data.json").chmod(0o640)

    with pytest.raises(MasterKeyError, match="chmod 600"):
        opened(tmp_path)


def test_a_keyring_is_made_with_the_algorithm_asked_for(tmp_path: Path) -> None:
    ring = FileKeyring(
        tmp_path / "k.json", Plane.CONTROL, MASTER, Clock(), algorithm=Algorithm.ES256
    )

    assert ring.signing_key().algorithm is Algorithm.ES256


def test_a_keyring_of_the_other_plane_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)

    with pytest.raises(DamagedError):
        FileKeyring(tmp_path / "keys" / "data.json", Plane.CONTROL, MASTER, Clock())


def test_a_master_key_is_created_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "master.key"

    first, second = master_key(path, {}), master_key(path, {})

    assert first.id == second.id
    assert mode(path) == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["master.key"]


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "master.key"

    found = master_key(path, {MASTER_KEY_VARIABLE: encoded(bytes(32))})

    assert found.id == OTHER_MASTER.id
    assert not path.exists()


@pytest.mark.parametrize(
    "text", ["", "short", encoded(bytes(31)), encoded(bytes(33)), "\u00e9" * 43]
)
def test_a_value_that_is_no_master_key_is_refused_without_being_shown(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "master.key"
    path.write_text(text)
    path.chmod(0o600)

    for environ in ({}, {MASTER_KEY_VARIABLE: text}):
        with pytest.raises(MasterKeyError, match="no master key") as caught:
            master_key(path, environ)
        assert not text or text not in str(caught.value)


@pytest.mark.parametrize("bits", [0o644, 0o660, 0o601, 0o604])
def test_a_master_key_that_others_may_touch_is_refused(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "master.key"
    master_key(path, {})
    path.chmod(bits)

    with pytest.raises(MasterKeyError, match="chmod 600"):
        master_key(path, {})


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(MasterKeyError, match="master key"):
        master_key(tmp_path / "file" / "master.key", {})


def test_a_full_disk_leaves_the_old_keyring_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = opened(tmp_path)
    before = ring.keyring

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            ring.write(ring.plan_rotation())

    assert ring.keyring == before
    assert opened(tmp_path).keyring == before
    assert json.loads((tmp_path / "keys" / "data.json").read_text())["plane"] == "data"
