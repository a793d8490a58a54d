"""The token endpoint (RFC 6749 section 4.4) and what it says of itself (RFC 8414)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

import orjson

from policies.model import Entity
from policies.polar.runtime import UndecidedError
from proxy.admin.issuing import Author, Issuing, wanted_for
from proxy.admin.tokens import Terms
from proxy.audit import UnrecordedError
from proxy.identity.claims import SCOPE
from proxy.identity.keyring import Plane
from proxy.identity.keys import Algorithm
from proxy.identity.principal import ActorType
from proxy.limits import Admission, Admissions
from proxy.listener.answers import Answer
from proxy.listener.incoming import Incoming
from proxy.oauth import form
from proxy.oauth.clients import METHODS, Clients, presented
from proxy.oauth.errors import (
    NEVER_KEPT,
    UNAVAILABLE,
    MalformedRequestError,
    OAuthError,
    OtherGrantError,
    TooFastError,
    WrongMethodError,
    WrongScopeError,
    WrongTargetError,
)
from proxy.observer import Observer
from storage.credentials import Credential
from storage.errors import StateError

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105  a path
AUTHORIZE_PATH: Final = "/oauth/authorize"
LIFE_SECONDS: Final = 3_600
"""Of a token, if the settings allow as much: a new one costs a request."""

_GRANT: Final = "client_credentials"
_MOST_WORDS: Final = 32
_LONGEST_WORD: Final = 128
_NETWORK_BITS: Final = 64


class AuthorizationServer:
    """Issues tokens to clients that prove who they are, each for itself alone.

    *admissions* are those of addresses and of clients that ask for tokens, and of nothing else.
    """

    def __init__(
        self,
        terms: Terms,
        clients: Clients,
        issuing: Issuing,
        admissions: Admissions,
        observer: Observer,
    ) -> None:
        self._terms = terms
        self._clients = clients
        self._issuing = issuing
        self._admissions = admissions
        self._observer = observer

    def metadata(self) -> dict[str, Any]:
        """Return the metadata document, to be served to anybody."""
        url = self._terms.public_url
        return {
            "issuer": url,
            "token_endpoint": f"{url}{TOKEN_PATH}",
            "jwks_uri": f"{url}/.well-known/jwks.json",
            "grant_types_supported": [_GRANT],
            "token_endpoint_auth_methods_supported": list(METHODS),
            "token_endpoint_auth_signing_alg_values_supported": [one.value for one in Algorithm],
            # Both are empty of meaning here; real clients read no document without them.
            "authorization_endpoint": f"{url}{AUTHORIZE_PATH}",
            "response_types_supported": [],
        }

    async def serve(self, incoming: Incoming) -> Answer:
        """Answer one token request. Raises what reading a body raises."""
        try:
            return await self._serve(incoming)
        except OAuthError as refused:
            # Counted and not recorded: strangers must not fill a disk.
            self._observer.refused(refused.reason.value, incoming.remote)
            return refused.answer()
        except (UnrecordedError, StateError, UndecidedError):
            return UNAVAILABLE

    async def _serve(self, incoming: Incoming) -> Answer:
        self._admit(Entity("Address", _network(incoming.remote)))
        if incoming.method != "POST":
            raise WrongMethodError
        parameters = await form.read(incoming)
        grant = parameters.get("grant_type")
        if grant is None:
            raise MalformedRequestError
        if grant != _GRANT:
            raise OtherGrantError
        credential = await self._clients.known(presented(incoming.headers, parameters))
        audience, scope = self._audience(parameters), _scope(parameters)
        self._admit(Entity(ActorType.CLIENT.value, credential.client))
        return await self._issued(credential, audience, scope)

    def _admit(self, who: Entity) -> None:
        if self._admissions.call(who) is not Admission.ADMITTED:
            raise TooFastError

    def _audience(self, parameters: Mapping[str, str]) -> str:
        resource = parameters.get("resource", "")
        # Who administers is given his token by an administrator, under another key.
        if resource == self._terms.admin_url or not self._terms.is_audience(resource):
            raise WrongTargetError
        return resource

    async def _issued(
        self, credential: Credential, audience: str, scope: tuple[str, ...]
    ) -> Answer:
        client, terms = credential.client, self._terms
        life = min(LIFE_SECONDS, terms.longest_life)
        wanted = wanted_for(ActorType.CLIENT, client, audience, life, scope)
        actor = Entity(ActorType.CLIENT.value, client)
        who = {"type": actor.type, "id": actor.id, "credential": credential.id}
        author = Author(who, f"{actor.type}:{actor.id}")
        token = await self._issuing.issue(Plane.DATA, wanted, author, _GRANT)
        document: dict[str, Any] = {
            "access_token": token.text.reveal().decode(),
            "token_type": "Bearer",
            "expires_in": token.expires_at - token.issued_at,
        }
        if scope:
            document["scope"] = " ".join(scope)
        return Answer(200, orjson.dumps(document), NEVER_KEPT)


def _scope(parameters: Mapping[str, str]) -> tuple[str, ...]:
    text = parameters.get("scope")
    if text is None:
        return ()
    words = tuple(dict.fromkeys(text.split(" ")))
    is_short = len(words) <= _MOST_WORDS and max(map(len, words)) <= _LONGEST_WORD
    if SCOPE.fullmatch(text) is None or not is_short:
        raise WrongScopeError
    return words


def _network(address: str) -> str:
    """Return what stands for whoever has *address*: of IPv6 everybody has a whole network."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address) or found.ipv4_mapped is not None:
        return address
    return str(IPv6Address(int(found) >> _NETWORK_BITS << _NETWORK_BITS))
