"""The facts of one question that no store holds: who asks, from where, when, about which document.

Only what the policy names is stated: its claims, its networks, its zones, its globs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policies.arguments.globs import glob_check
from policies.model import Entity, Fact, Value

Named = Mapping[str, Mapping[int, frozenset[str]]]
"""The strings that a policy names, by predicate and place; `Demands.named`."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks.

    `acts_for` is the user a client acts for; `claims` come from the token; `address` is the
    peer's, empty where there is none.
    """

    actor: Entity
    acts_for: str | None = None
    claims: tuple[tuple[str, Value], ...] = ()
    address: str = ""


def caller_facts(named: Named, caller: Caller, now: int) -> list[Fact]:
    """Return what holds of *caller* at the Unix second *now*, as far as a policy names it."""
    facts = [_delegation(caller)] if caller.actor.type == "Client" else []
    if "claim" in named:
        known = named["claim"].get(1, frozenset())
        facts += [Fact("claim", (caller.actor, *one)) for one in caller.claims if one[0] in known]
    if "source_address" in named:
        ranges = named["source_address"].get(1, frozenset())
        facts += [
            Fact("source_address", (caller.actor, text))
            for text in sorted(ranges)
            if _is_within(caller.address, text)
        ]
    if "hour_of_day" in named or "weekday" in named:
        facts.extend(_moments(named, now))
    return facts


def document_facts(named: Named, document: Entity, server: Entity, uri: str) -> list[Fact]:
    """Return what the id of *document* itself says, so that it need not have been listed."""
    facts = [Fact("has_relation", (document, "server", server))]
    facts += [
        Fact("uri_matches", (document, glob))
        for glob in sorted(named.get("uri_matches", {}).get(1, ()))
        if "***" not in glob and glob_check(glob)(uri)
    ]
    facts += [
        Fact("uri_under", (document, prefix))
        for prefix in sorted(named.get("uri_under", {}).get(1, ()))
        if uri == prefix or uri.startswith(prefix if prefix.endswith("/") else f"{prefix}/")
    ]
    return facts


def _delegation(caller: Caller) -> Fact:
    if caller.acts_for is None:
        return Fact("acts_alone", (caller.actor,))
    return Fact("acts_for", (caller.actor, Entity("User", caller.acts_for)))


def _is_within(address: str, text: str) -> bool:
    network = _network(text)
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        # So a socket for both kinds writes a peer that every rule knows by its IPv4 address.
        peer = peer.ipv4_mapped
    return network is not None and peer in network


@lru_cache(maxsize=1024)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None


def _moments(named: Named, now: int) -> Iterator[Fact]:
    for zone in sorted(named.get("hour_of_day", {}).get(0, ())):
        moment = _local(zone, now)
        if moment is not None:
            yield Fact("hour_of_day", (zone, moment.hour))
    for zone in sorted(named.get("weekday", {}).get(0, ())):
        moment = _local(zone, now)
        if moment is not None:
            yield Fact("weekday", (zone, moment.isoweekday()))


def _local(zone: str, now: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OverflowError, OSError):
        return None
