"""Where an upstream may be: a URL in one spelling, and addresses that were judged one by one.

A connection is made to an address that was checked, never to a name: what a resolver says a moment
later changes nothing. Variables that name a proxy are not read.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from proxy.wire.uris import uri_problem

MAX_URL: Final = 2048

_URL: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^:/?]+)(?::([0-9]+))?(/.*)")
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)"
)
_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65535


class Reach(StrEnum):
    """How near an address is. `FORBIDDEN` cannot be allowed by any setting."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    FORBIDDEN = "forbidden"


class AddressError(ValueError):
    """A URL or an address is refused. The text says why, for whoever configured it."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One configured upstream, taken apart.

    `target` is the path with its query, which may hold a secret and so stays out of `repr`.
    `allowed` are the reaches its addresses may have.
    """

    secure: bool
    host: str
    port: int
    target: str = field(repr=False)
    allowed: frozenset[Reach]

    @property
    def authority(self) -> str:
        """The value of `Host` (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.secure else "http"]
        return host if self.port == usual else f"{host}:{self.port}"


Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host name and a port in, addresses as text out. Raises `OSError`."""


def upstream(url: str, *, loopback: bool = False, private: bool = False) -> Upstream:
    """Return *url* taken apart. Raises `AddressError`.

    The URL is canonical as `proxy.wire.uris` says, is http or https, and has no user and no
    fragment. *loopback* and *private* allow such addresses. Plain http is only ever spoken to one
    of these two: nothing sent over it to the open internet is secret.
    """
    problem = (
        uri_problem(url) if len(url) <= MAX_URL else f"A URL has at most {MAX_URL} characters."
    )
    if problem is not None:
        raise AddressError(problem)
    parts = _URL.fullmatch(url)
    if parts is None:
        raise AddressError("The URL of an upstream begins with http:// or https:// and a host.")
    scheme, written, digits, target = parts.groups()
    secure = scheme == "https"
    return Upstream(
        secure=secure,
        host=_host(written),
        port=_port(digits) if digits else _PORTS[scheme],
        target=target,
        allowed=_allowed(secure=secure, loopback=loopback, private=private),
    )


def check(text: str, allowed: Iterable[Reach]) -> str:
    """Return the address to connect to for *text*, an address. Raises `AddressError`.

    An IPv4 address mapped into IPv6 becomes the IPv4 address that it is.
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise AddressError(f"{text!r} is not an address.") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    near = reach(address)
    if near is Reach.FORBIDDEN or near not in allowed:
        raise AddressError(f"The address {address} is {near}, which this upstream may not be.")
    return str(address)


def reach(address: IPv4Address | IPv6Address) -> Reach:
    """Say how near *address* is, by the special-purpose registries of IANA (RFC 6890).

    Forms that carry an IPv4 address (6to4, NAT64, ISATAP) are public only if that address is.
    """
    if isinstance(address, IPv4Address):
        return _reach_4(address)
    if address.ipv4_mapped is not None:
        return _reach_4(address.ipv4_mapped)
    return _reach_6(address)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of *host*. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def locate(
    upstream: Upstream, *, deadline: float, resolver: Resolver = resolve
) -> tuple[str, ...]:
    """Return the addresses of *upstream*, every one checked, at least one.

    One address that is refused refuses them all: a name that points at an upstream and at something
    it may not be is not trusted for either. An address in the URL is not looked up. *deadline* is
    in seconds. Raises `AddressError`, `OSError`, and `TimeoutError` when the resolver is late.
    """
    if _is_literal(upstream.host):
        return (check(upstream.host, upstream.allowed),)
    async with asyncio.timeout(deadline):
        found = await resolver(upstream.host, upstream.port)
    if not found:
        raise AddressError(f"{upstream.host} has no address.")
    return tuple(dict.fromkeys(check(text, upstream.allowed) for text in found))


def _host(written: str) -> str:
    if written.startswith("["):
        return written[1:-1]
    if _NAME.fullmatch(written) is None:
        raise AddressError("The host of an upstream is labels of letters, digits, `-` and `_`.")
    return written


def _port(digits: str) -> int:
    port = int(digits)
    if port > _LAST_PORT:
        raise AddressError(f"A port is at most {_LAST_PORT}.")
    return port


def _allowed(*, secure: bool, loopback: bool, private: bool) -> frozenset[Reach]:
    asked = ((Reach.PUBLIC, secure), (Reach.LOOPBACK, loopback), (Reach.PRIVATE, private))
    allowed = frozenset(near for near, is_allowed in asked if is_allowed)
    if not allowed:
        raise AddressError(
            "An upstream over plain http must be allowed as loopback or private; use https."
        )
    return allowed


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


_LOOPBACK_4: Final = IPv4Network("127.0.0.0/8")
_FORBIDDEN_4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "100.100.100.200/32",  # metadata of a cloud
            "168.63.129.16/32",  # metadata of a cloud
            "169.254.0.0/16",  # link-local, and metadata of most clouds
            "192.0.0.0/24",  # protocol assignments, and metadata of a cloud
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/3",  # multicast, reserved, broadcast
        ),
    )
)
_PRIVATE_4: Final = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"))
)
_LOOPBACK_6: Final = IPv6Address("::1")
_PUBLIC_6: Final = IPv6Network("2000::/3")
_PRIVATE_6: Final = IPv6Network("fc00::/7")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_FORBIDDEN_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
            "fd00:c1::/32",  # metadata of a cloud
            "fd00:ec2::/32",  # metadata of a cloud
            "fd20:ce::/32",  # metadata of a cloud
        ),
    )
)
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


def _reach_4(address: IPv4Address) -> Reach:
    if address in _LOOPBACK_4:
        return Reach.LOOPBACK
    if any(address in network for network in _FORBIDDEN_4):
        return Reach.FORBIDDEN
    if any(address in network for network in _PRIVATE_4):
        return Reach.PRIVATE
    return Reach.PUBLIC


def _reach_6(address: IPv6Address) -> Reach:
    if address == _LOOPBACK_6:
        return Reach.LOOPBACK
    if any(address in network for network in _FORBIDDEN_6):
        return Reach.FORBIDDEN
    carried = _carried(address)
    if carried is not None and _reach_4(carried) is not Reach.PUBLIC:
        return Reach.FORBIDDEN
    if address in _PRIVATE_6:
        return Reach.PRIVATE
    # Whatever is neither global unicast nor named above has no business being an upstream.
    return Reach.PUBLIC if address in _PUBLIC_6 or address in _NAT64 else Reach.FORBIDDEN


def _carried(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address inside (RFC 3056, RFC 6052, RFC 5214)."""
    if address.sixtofour is not None:
        return address.sixtofour
    last = int(address) & 0xFFFFFFFF
    if address in _NAT64 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(last)
    return None
