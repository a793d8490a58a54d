"""What an endpoint says about its tokens: audiences, metadata (RFC 9728) and challenges."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from proxy.identity.claims import SCOPE

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_ORIGIN = re.compile(
    r"(?P<origin>https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r"(?P<prefix>(?:/[A-Za-z0-9._~-]+)*)"
)
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """One endpoint as OAuth sees it.

    Everything comes from the settings and the route, nothing from a request: whoever writes a
    `Host` header must not choose where clients fetch their tokens. Raises `ValueError` for a
    *public_url* that is not an origin with an optional path, and for an irregular *path*.
    """

    public_url: str
    path: str

    def __post_init__(self) -> None:
        if _ORIGIN.fullmatch(self.public_url) is None:
            raise ValueError("The public URL is http or https, without a slash at its end.")
        if _PATH.fullmatch(self.path) is None:
            raise ValueError("An endpoint's path has plain segments only.")

    @property
    def url(self) -> str:
        """The resource identifier: what clients type, and the audience of its tokens."""
        return self.public_url + self.path

    @property
    def metadata_url(self) -> str:
        """Where its metadata is: the well-known part goes before the path (section 3.1)."""
        found = _ORIGIN.fullmatch(self.public_url)
        if found is None:
            raise ValueError("unreachable: checked when built")
        return found["origin"] + _WELL_KNOWN + found["prefix"] + self.path

    def audiences(self, *, gateway_wide: bool) -> frozenset[str]:
        """Return the audiences that open it; `public_url` is one if *gateway_wide*."""
        return frozenset({self.url, self.public_url} if gateway_wide else {self.url})

    def metadata(
        self, authorization_servers: Iterable[str], scopes: Iterable[str], name: str = ""
    ) -> dict[str, Any]:
        """Return the metadata document (section 2), to be served without a token."""
        document: dict[str, Any] = {
            "resource": self.url,
            "authorization_servers": list(authorization_servers),
            "scopes_supported": list(scopes),
            "bearer_methods_supported": ["header"],
        }
        return document | ({"resource_name": name} if name else {})

    def challenge(self, scopes: Iterable[str], error: str = "") -> str:
        """Return the value of `WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1).

        *error* is the code of RFC 6750 section 3.1, empty if no credential was sent. Raises
        `ValueError` for a scope or error that could not stand in quotes.
        """
        scope = " ".join(scopes)
        parts = [f'resource_metadata="{self.metadata_url}"']
        if scope:
            parts.append(f'scope="{_quotable(scope)}"')
        if error:
            parts.append(f'error="{_quotable(error)}"')
        return "Bearer " + ", ".join(parts)


def _quotable(text: str) -> str:
    if SCOPE.fullmatch(text) is None:
        raise ValueError("A scope is visible ASCII without quotes and backslashes.")
    return text
