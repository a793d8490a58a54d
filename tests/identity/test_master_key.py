"""The master key: in its file or in a variable, and nowhere else (T09)."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from proxy.identity.sealing import (
    MASTER_KEY_VARIABLE,
    MasterKey,
    MasterKeyError,
    Secret,
    master_key,
)
from tests.identity.workshop import encoded

OTHER_MASTER = MasterKey(Secret(bytes(32)))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


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
