"""What an operator says of one upstream, and what of that may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson

from proxy.identity.sealing import MasterKey, Secret
from proxy.upstream.addresses import Upstream
from proxy.upstream.presented import Presented
from proxy.upstream.reach import Network, located

SessionMode = Literal["stateful", "stateless"]

HIDDEN: Final = "(hidden)"
"""Stands for the query of a URL, which may hold a secret."""

_PURPOSE: Final = "upstream"


@dataclass(frozen=True, slots=True)
class Profile:
    """What may be told of an upstream. `headers` are names, and `url` is without its query."""

    url: str
    has_query: bool = False
    network: Network = "public"
    session_mode: SessionMode = "stateful"
    description: str = ""
    headers: tuple[str, ...] = ()
    has_bearer: bool = False

    @property
    def shown_url(self) -> str:
        return f"{self.url}?{HIDDEN}" if self.has_query else self.url


@dataclass(frozen=True, slots=True)
class Terms:
    """How an upstream is reached, and what is presented to it."""

    url: str = field(repr=False)
    network: Network = "public"
    session_mode: SessionMode = "stateful"
    description: str = ""
    presented: Presented = field(default_factory=Presented)

    @property
    def profile(self) -> Profile:
        url, mark, _ = self.url.partition("?")
        return Profile(
            url=url,
            has_query=bool(mark),
            network=self.network,
            session_mode=self.session_mode,
            description=self.description,
            headers=tuple(sorted(self.presented.headers)),
            has_bearer=self.presented.bearer is not None,
        )

    def located(self) -> Upstream:
        """Return where it is. Raises `AddressError`."""
        return located(self.url, self.network)


def settings_of(profile: Profile) -> str:
    """Return *profile* as text to be kept."""
    return orjson.dumps(profile, option=orjson.OPT_SORT_KEYS).decode()


def profile_of(settings: str) -> Profile:
    """Return what `settings_of` was given."""
    document = orjson.loads(settings)
    return Profile(**(document | {"headers": tuple(document["headers"])}))


def sealed(terms: Terms, master: MasterKey, about: str) -> str | None:
    """Return what is secret of *terms*, to be opened with the same *about*; None for nothing."""
    secret: dict[str, Any] = {}
    if terms.presented.bearer is not None:
        secret["bearer"] = terms.presented.bearer.reveal().decode()
    if terms.presented.headers:
        names = terms.presented.headers
        secret["headers"] = {name: value.reveal().decode() for name, value in names.items()}
    query = terms.url.partition("?")[2]
    if query:
        secret["query"] = query
    if not secret:
        return None
    return master.seal(_PURPOSE, Secret(orjson.dumps(secret)), about.encode())


def opened(profile: Profile, text: str | None, master: MasterKey, about: str) -> Terms:
    """Return the terms of *profile* with what `sealed` made *text* of.

    Raises `MasterKeyError` and `DamagedError`.
    """
    found: dict[str, Any] = {}
    if text is not None:
        found = orjson.loads(master.open(_PURPOSE, text, about.encode()).reveal())
    query, bearer = found.get("query"), found.get("bearer")
    headers = found.get("headers", {})
    presented = Presented(
        None if bearer is None else Secret(bearer.encode()),
        {name: Secret(value.encode()) for name, value in headers.items()},
    )
    return Terms(
        url=profile.url if query is None else f"{profile.url}?{query}",
        network=profile.network,
        session_mode=profile.session_mode,
        description=profile.description,
        presented=presented,
    )
