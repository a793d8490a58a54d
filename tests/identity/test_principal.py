"""A principal is whole or is not (T06)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from proxy.identity.principal import ActorType, Principal

WHOLE: dict[str, Any] = {
    "type": ActorType.CLIENT,
    "id": "ci",
    "issuer": "https://gateway.example",
    "subject": "client:ci",
    "client_id": "ci",
    "token_id": "t",
    "expires_at": 1,
    "audience": "https://gateway.example",
}


@pytest.mark.parametrize("name", WHOLE)
def test_no_part_may_be_missing(name: str) -> None:
    with pytest.raises(TypeError):
        Principal(**{other: value for other, value in WHOLE.items() if other != name})


@pytest.mark.parametrize("value", ["", None, 0])
@pytest.mark.parametrize("name", WHOLE)
def test_no_part_may_be_empty(name: str, value: object) -> None:
    with pytest.raises(ValueError, match="principal"):
        Principal(**WHOLE | {name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Client"},
        {"expires_at": True},
        {"expires_at": 1.5},
        {"acts_for": ""},
        {"type": ActorType.USER, "acts_for": "alice"},
    ],
)
def test_no_part_may_contradict(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"principal|Only a client"):
        Principal(**WHOLE | changes)


def test_a_principal_does_not_change() -> None:
    principal = Principal(**WHOLE)

    with pytest.raises(FrozenInstanceError):
        principal.id = "admin"  # type: ignore[misc]
    assert hash(principal) == hash(Principal(**WHOLE))
