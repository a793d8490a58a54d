"""The canary sings: a secret in what was written is found, whatever it is wrapped in."""

from __future__ import annotations

import gzip
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.identity.sealing import Secret
from tests.canary import Canary
from tests.conftest import CANARY


def signed() -> bytes:
    # Of the form alone, and in pieces, so that this file is none of those that hold one.
    return b".".join([b"eyJhbGciOiJFZERTQSJ9", b"eyJzdWIiOiJjbGllbnQifQ", b"s" * 86])


@pytest.mark.parametrize("wrap", [lambda one: one, gzip.compress], ids=["plain", "packed"])
@pytest.mark.parametrize("name", ["data/journal/seg-1", "data/northgate.db", "gateway.log"])
def test_a_secret_of_this_process_is_found(
    tmp_path: Path, name: str, wrap: Callable[[bytes], bytes]
) -> None:
    canary = Canary()
    canary.secrets.add(b"4f-made_in-this-process")
    path = tmp_path / "a-test" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(wrap(json.dumps({"said": "Bearer 4f-made_in-this-process"}).encode()))

    assert list(canary.search(tmp_path)) == [f"{path} holds a secret of this process"]
    assert not list(canary.search(tmp_path))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (signed(), "a signed token"),
        (b"-----BEGIN " + b"PRIVATE KEY-----", "a private key"),
        (b"-----BEGIN EC " + b"PRIVATE KEY-----", "a private key"),
    ],
)
def test_what_another_process_made_is_found_by_its_form(content: bytes, kind: str) -> None:
    assert list(Canary().found_in(b'{"a":"' + content + b'"}')) == [kind]


def test_every_secret_of_a_test_is_noted() -> None:
    made = secrets.token_urlsafe(32).encode()

    kept = Secret(made)

    assert kept.reveal() in CANARY.secrets
    assert list(CANARY.found_in(b"x " + made)) == ["a secret of this process"]


def test_settings_of_a_test_may_hold_a_secret(tmp_path: Path) -> None:
    canary = Canary()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "northgate.toml").write_bytes(signed())

    assert not list(canary.search(tmp_path))
