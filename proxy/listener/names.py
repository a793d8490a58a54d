"""Under which names a listener is called, and from which web pages."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
_USUAL_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Names:
    """Values of `Host`, in lower case, as `host` or `host:port`, and values of `Origin`.

    Both are compared whole: a port that is written is another name than one that is not.
    """

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()

    def listening(self, host: str, port: int) -> Names:
        """Return the names of a listener at this address: these, and its own.

        The names of the loopback interface mean the same, so one of them brings the others.
        """
        own = f"[{host}]" if ":" in host else host
        is_local = _is_loopback(host) or self._has_loopback()
        bases = (own, *_LOOPBACK) if is_local else (own,)
        return replace(self, hosts=self.hosts | frozenset(_with_port(bases, port)))

    def _has_loopback(self) -> bool:
        return any(name.removesuffix(_port(name)) in _LOOPBACK for name in self.hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _port(name: str) -> str:
    """Return the `:port` at the end of *name*, empty if it has none."""
    head, colon, port = name.rpartition(":")
    return f":{port}" if colon and port.isdigit() and (":" not in head or "]" in head) else ""


def _with_port(bases: Iterable[str], port: int) -> Iterator[str]:
    for base in bases:
        yield f"{base}:{port}"
        if port == _USUAL_PORT:
            yield base
