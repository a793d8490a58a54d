"""Who knocks at which endpoint: tokens that open it, and what a stranger is told."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from proxy.identity.bearer import bearer
from proxy.identity.keyring import Plane
from proxy.identity.opaque import OpaqueTokens
from proxy.identity.principal import Principal
from proxy.identity.refusal import RefusedError
from proxy.identity.resource import ProtectedResource
from proxy.identity.verify import Verifier
from proxy.listener.incoming import Incoming

_REMEMBERED: Final = 4096


class Endpoints:
    """The endpoints below one public URL.

    *gateway_wide* accepts tokens whose audience is the public URL itself. Nothing here depends on
    which servers exist, so that a stranger learns nothing of it.
    """

    def __init__(
        self, public_url: str, verifier: Verifier, opaque: OpaqueTokens, *, gateway_wide: bool
    ) -> None:
        self._public_url = public_url
        self._verifier = verifier
        self._opaque = opaque
        self._gateway_wide = gateway_wide
        self._resource = lru_cache(maxsize=_REMEMBERED)(self._made)

    def identify(self, incoming: Incoming, path: str) -> Principal:
        """Return who calls the endpoint *path*.

        Raises `RefusedError`, and `KeyUnknownError` where `look_again` may help.
        """
        token = bearer(incoming.headers, incoming.query)
        audiences = self._resource(path)[1]
        known = self._opaque.known(token, Plane.DATA, audiences)
        return known or self._verifier.verify(token, audiences)

    async def look_again(self) -> None:
        """Look for keys that another process made."""
        await self._verifier.look_again()

    def challenge(self, path: str, refused: RefusedError) -> str:
        """Return the `WWW-Authenticate` for a caller who was not identified at *path*."""
        return self._resource(path)[0].challenge((), refused.code)

    def metadata(self, path: str) -> dict[str, Any]:
        """Return the metadata of the protected resource *path* (RFC 9728)."""
        return self._resource(path)[0].metadata([self._public_url], ())

    def _made(self, path: str) -> tuple[ProtectedResource, frozenset[str]]:
        resource = ProtectedResource(self._public_url, path)
        return resource, resource.audiences(gateway_wide=self._gateway_wide)
