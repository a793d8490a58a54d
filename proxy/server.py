"""The data listener's endpoints: which request is for whom. Everything else is the pipeline's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from policies.model import Reason
from proxy.errors import UNAUTHORIZED, Refusal
from proxy.exchange import Reaction
from proxy.identity.endpoints import Endpoints
from proxy.identity.principal import Principal
from proxy.identity.refusal import KeyUnknownError, RefusedError
from proxy.identity.refusal import Reason as Unidentified
from proxy.listener.answers import Answer
from proxy.listener.incoming import Incoming
from proxy.oauth.errors import NO_AUTHORIZATION
from proxy.oauth.server import AUTHORIZE_PATH, TOKEN_PATH, AuthorizationServer
from proxy.observer import Observer
from proxy.pipeline import Pipeline
from proxy.wire.names import UnnameableError, check_server
from proxy.wire.refusals import INVALID_REQUEST

_SERVER: Final = re.compile(r"/servers/([A-Za-z0-9_-]{1,128})/mcp")
_METADATA: Final = "/.well-known/oauth-protected-resource"
_JWKS: Final = "/.well-known/jwks.json"
_OAUTH: Final = "/.well-known/oauth-authorization-server"

_NOTHING_HERE: Final = Answer(
    404, Refusal(404, 40401, "There is nothing at this URL; check its spelling.").encode(None)
)
_NO_SUCH_VERB: Final = Answer(
    405,
    Refusal(405, INVALID_REQUEST, "Send a POST, a GET or a DELETE.").encode(None),
    ((b"Allow", b"POST, GET, DELETE"),),
)
_ONLY_GET: Final = Answer(
    405, Refusal(405, INVALID_REQUEST, "Send a GET.").encode(None), ((b"Allow", b"GET"),)
)


class DataPlane:
    """Serves agents. *jwks* returns the keys to verify our tokens by.

    *oauth* issues tokens at the gateway's own address. *nobody* is who calls without a credential,
    where development mode allows that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        endpoints: Endpoints,
        jwks: Callable[[], dict[str, Any]],
        observer: Observer,
        *,
        oauth: AuthorizationServer,
        nobody: Principal | None = None,
    ) -> None:
        self._oauth = oauth
        self._pipeline = pipeline
        self._endpoints = endpoints
        self._jwks = jwks
        self._observer = observer
        self._nobody = nobody

    async def serve(self, incoming: Incoming) -> Reaction:
        """Answer one request."""
        found = _SERVER.fullmatch(incoming.path)
        if found is None or not _is_server(found[1]):
            return await self._elsewhere(incoming)
        try:
            try:
                principal = self._identified(incoming)
            except KeyUnknownError:
                await self._endpoints.look_again()
                principal = self._identified(incoming)
        except RefusedError as refused:
            return self._challenged(incoming, refused)
        name, pipeline = found[1], self._pipeline
        if incoming.query:
            return await pipeline.turn_away(
                incoming, principal, name, _NOTHING_HERE, Reason.MALFORMED
            )
        match incoming.method:
            case "POST":
                return await pipeline.serve(incoming, principal, name)
            case "GET":
                return await pipeline.listen(incoming, principal, name)
            case "DELETE":
                return await pipeline.end_session(incoming, principal, name)
        return await pipeline.turn_away(
            incoming, principal, name, _NO_SUCH_VERB, Reason.UNKNOWN_METHOD
        )

    def _identified(self, incoming: Incoming) -> Principal:
        try:
            return self._endpoints.identify(incoming, incoming.path)
        except RefusedError as refused:
            if self._nobody is not None and refused.reason is Unidentified.CREDENTIAL_ABSENT:
                return self._nobody
            raise

    def _challenged(self, incoming: Incoming, refused: RefusedError) -> Answer:
        self._observer.refused(refused.reason.value, incoming.remote)
        status = int(refused.status)
        code = INVALID_REQUEST if status == 400 else UNAUTHORIZED  # noqa: PLR2004
        challenge = self._endpoints.challenge(incoming.path, refused)
        headers = ((b"WWW-Authenticate", challenge.encode()),)
        return Answer(status, Refusal(status, code, refused.public).encode(None), headers)

    async def _elsewhere(self, incoming: Incoming) -> Answer:
        if incoming.path == TOKEN_PATH:
            return await self._oauth.serve(incoming)
        if incoming.path == AUTHORIZE_PATH:
            return NO_AUTHORIZATION
        return self._about(incoming)

    def _about(self, incoming: Incoming) -> Answer:
        """Answer what strangers may know: the same for every server that might be here."""
        endpoint = incoming.path.removeprefix(_METADATA)
        found = _SERVER.fullmatch(endpoint)
        if incoming.path == _JWKS:
            document = self._jwks()
        elif incoming.path == _OAUTH:
            document = self._oauth.metadata()
        elif endpoint != incoming.path and found is not None and _is_server(found[1]):
            document = self._endpoints.metadata(endpoint)
        else:
            return _NOTHING_HERE
        if incoming.query:
            return _NOTHING_HERE
        if incoming.method != "GET":
            return _ONLY_GET
        return Answer(200, orjson.dumps(document))


def _is_server(name: str) -> bool:
    try:
        check_server(name)
    except UnnameableError:
        return False
    return True
