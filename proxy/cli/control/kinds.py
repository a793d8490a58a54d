"""The kinds of identities, and of what servers offer, as commands name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of identity, and the lists that each of it has, by the heads of their columns."""

    noun: str
    lists: Mapping[str, str]

    @property
    def path(self) -> str:
        return f"/api/v0/{self.noun}s"


CLIENT: Final = Kind("client", {"ALLOWED": "allow_list", "TEAMS": "teams"})
USER: Final = Kind("user", {"ROLES": "roles", "TEAMS": "teams"})
TEAM: Final = Kind("team", {})


@dataclass(frozen=True, slots=True)
class Offered:
    """A kind of what servers offer, and the member by which people tell one from another."""

    noun: str
    identified: str

    @property
    def path(self) -> str:
        return f"/api/v0/{self.noun}s"


TOOL: Final = Offered("tool", "name")
PROMPT: Final = Offered("prompt", "name")
RESOURCE: Final = Offered("resource", "uri")
