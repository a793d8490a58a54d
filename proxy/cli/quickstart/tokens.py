"""The agent's token, issued as every other: signed, recorded, kept, and only then given out."""

from __future__ import annotations

from typing import Final

from proxy.admin.issuing import Author, wanted_for
from proxy.app import Gateway
from proxy.cli.quickstart import texts
from proxy.identity.issue import IssuedToken
from proxy.identity.keyring import Plane
from proxy.identity.principal import ActorType

LIFE_SECONDS: Final = 12 * 3600

_AUTHOR: Final = Author({"type": "System", "id": "quickstart"}, "System:quickstart")


async def issued(gateway: Gateway) -> IssuedToken:
    """Return a new token of the agent for *gateway*."""
    life = min(LIFE_SECONDS, gateway.settings.tokens.longest_life_seconds)
    wanted = wanted_for(ActorType.CLIENT, texts.AGENT, gateway.settings.public_url, life)
    return await gateway.issuing.issue(Plane.DATA, wanted, _AUTHOR, "for the demonstration")
