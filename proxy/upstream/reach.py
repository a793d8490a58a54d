"""From an upstream's settings to where its connections may go."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

from proxy.upstream.addresses import Reach, Upstream, reach, upstream

Network = Literal["public", "private", "loopback"]


def located(url: str, network: Network) -> Upstream:
    """Return the upstream at *url*, whose addresses may be public or in *network*.

    An address that the URL itself names, or `localhost`, is allowed where it is: whoever wrote it
    knew. Raises `AddressError`.
    """
    named = _named(url)
    return upstream(
        url,
        loopback=network == "loopback" or named is Reach.LOOPBACK,
        private=network == "private" or named is Reach.PRIVATE,
    )


def _named(url: str) -> Reach | None:
    host = url.partition("://")[2].partition("/")[0]
    host = host.rpartition("]")[0].removeprefix("[") if "]" in host else host.partition(":")[0]
    if host == "localhost":
        return Reach.LOOPBACK
    try:
        return reach(ip_address(host))
    except ValueError:
        return None
