"""The one-time secret in its file."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.identity.bootstrap import Bootstrap
from proxy.identity.sealing import MasterKeyError


def _begun(path: Path) -> str:
    return Bootstrap(path).begin().reveal().decode()


def test_the_file_is_its_owners_alone_and_does_not_hold_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap"

    secret = _begun(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret not in path.read_text()
    assert secret not in repr(Bootstrap(path).begin())


def test_a_secret_is_spent_once_by_whichever_object_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap"
    secret = _begun(path)

    assert Bootstrap(path).is_open
    assert Bootstrap(path).spend(secret)
    assert not Bootstrap(path).spend(secret)
    assert not Bootstrap(path).is_open


def test_of_many_threads_one_spends_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap"

    for _ in range(20):
        secret = _begun(path)
        with ThreadPoolExecutor(8) as threads:
            spent = list(threads.map(lambda text: Bootstrap(path).spend(text), [secret] * 8))
        assert spent.count(True) == 1


def test_a_new_secret_ends_the_one_that_waited(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap"

    first, second = _begun(path), _begun(path)

    assert not Bootstrap(path).spend(first)
    assert Bootstrap(path).is_open
    assert Bootstrap(path).spend(second)


@pytest.mark.parametrize("damage", ["", "é", "0" * 64])
def test_a_file_that_was_damaged_lets_nobody_in(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bootstrap"
    secret = _begun(path)
    path.write_text(damage, encoding="utf-8")

    assert not Bootstrap(path).spend(secret)
    assert not Bootstrap(path).spend(damage)


def test_a_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "bootstrap"
    secret = _begun(path)
    path.chmod(0o644)

    with pytest.raises(MasterKeyError):
        Bootstrap(path).spend(secret)
