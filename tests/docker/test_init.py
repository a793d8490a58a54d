"""init.sh: secrets at random, for their owner alone, never written over."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from proxy.config import load
from proxy.identity.sealing import MASTER_KEY_VARIABLE, master_key
from tests.docker.composed import environment, init, initialised, variables

NEW = "NORTHGATE_NEW_MASTER_KEY"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(place: Path) -> dict[str, str]:
    return {one.name: one.read_text() for one in (place / "secrets").iterdir()}


def test_secrets_are_out_of_reach_of_others_on_the_host(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        secrets = initialised(tmp_path) / "secrets"
    finally:
        os.umask(before)

    assert mode(secrets) == 0o700
    assert {one.name: mode(one) for one in secrets.iterdir()} == {
        "master_key.env": 0o600,
        "database.env": 0o600,
        # Read in containers by users that the host does not know; the directory is closed.
        "postgres_password": 0o444,
        "grafana_password": 0o444,
    }


def test_no_two_secrets_are_alike_and_all_are_of_32_bytes(tmp_path: Path) -> None:
    places = [initialised(tmp_path / name) for name in ("one", "two")]
    made = [
        secret
        for place in places
        for secret in (
            environment("gateway-1", place)[MASTER_KEY_VARIABLE],
            *(contents(place)[name].strip() for name in ("postgres_password", "grafana_password")),
        )
    ]

    assert len(set(made)) == 6
    assert {len(one) for one in made} == {43}


def test_the_gateway_takes_the_master_key_and_the_password_that_the_database_has(
    tmp_path: Path,
) -> None:
    place = initialised(tmp_path)
    given = environment("gateway-1", place)

    key = master_key(tmp_path / "absent", given)
    url = load(None, given).database.url.reveal().decode()

    assert len(key.key_for("a test").reveal()) == 32
    password = contents(place)["postgres_password"].strip()
    assert url == f"postgresql://northgate:{password}@postgres:5432/northgate"


@pytest.mark.parametrize("words", [(), ("nonsense",), ("adopt-master-key",)])
def test_what_is_there_stays_as_it_is(tmp_path: Path, words: tuple[str, ...]) -> None:
    place = initialised(tmp_path)
    before = contents(place)

    done = init(place, *words)

    assert done.returncode == 1
    assert done.stderr
    assert contents(place) == before


def test_there_is_no_next_master_key_before_the_first(tmp_path: Path) -> None:
    place = initialised(tmp_path)
    (place / "secrets" / "master_key.env").rename(tmp_path / "elsewhere")

    assert init(place, "next-master-key").returncode == 1
    assert not (place / "secrets" / "next_master_key.env").exists()


def test_the_next_master_key_takes_the_place_of_the_one_in_use_which_is_kept(
    tmp_path: Path,
) -> None:
    place = initialised(tmp_path)
    secrets = place / "secrets"
    first = variables(secrets / "master_key.env")[MASTER_KEY_VARIABLE]

    assert init(place, "next-master-key").returncode == 0
    second = variables(secrets / "next_master_key.env")[NEW]
    assert mode(secrets / "next_master_key.env") == 0o600
    assert init(place, "next-master-key").returncode == 1
    assert variables(secrets / "next_master_key.env") == {NEW: second}

    assert init(place, "adopt-master-key").returncode == 0
    assert variables(secrets / "master_key.env") == {MASTER_KEY_VARIABLE: second}
    assert mode(secrets / "master_key.env") == 0o600
    assert not (secrets / "next_master_key.env").exists()
    [kept] = secrets.glob("master_key.*Z.env")
    assert variables(kept) == {MASTER_KEY_VARIABLE: first}
    assert first != second
