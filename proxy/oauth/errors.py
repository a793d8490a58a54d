"""What a client is told that gets no token (RFC 6749 section 5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import orjson

from proxy.identity.refusal import Reason
from proxy.listener.answers import Answer

Headers = Sequence[tuple[bytes, bytes]]

NEVER_KEPT: Final = ((b"Pragma", b"no-cache"),)
"""With the `Cache-Control: no-store` of every answer, what RFC 6749 section 5.1 asks for."""


class OAuthError(Exception):
    """A request that gets no token.

    `code` and `public` are for the client, in the characters that RFC 6749 allows; `reason` is for
    counters.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str]
    public: ClassVar[str]
    reason: ClassVar[Reason]
    headers: ClassVar[Headers] = ()

    def answer(self) -> Answer:
        document = {"error": self.code, "error_description": self.public}
        return Answer(self.status, orjson.dumps(document), (*NEVER_KEPT, *self.headers))


class MalformedRequestError(OAuthError):
    code = "invalid_request"
    public = (
        "Send one application/x-www-form-urlencoded body with each parameter once, "
        "no parameters in the address, and one way of client authentication."
    )
    reason = Reason.TOKEN_REQUEST_MALFORMED


class WrongMethodError(OAuthError):
    status = 405
    code = "invalid_request"
    public = "Send a POST."
    reason = Reason.TOKEN_REQUEST_MALFORMED
    headers = ((b"Allow", b"POST"),)


class OtherGrantError(OAuthError):
    code = "unsupported_grant_type"
    public = "The grant type here is client_credentials."
    reason = Reason.TOKEN_GRANT_OTHER


class UnknownClientError(OAuthError):
    """Whatever is wrong with who asks: which, it is not told."""

    status = 401
    code = "invalid_client"
    public = (
        "The client is not known by this. Use client_secret_basic or private_key_jwt with what "
        "the administrator registered, or ask for a new secret."
    )
    reason = Reason.TOKEN_CLIENT_REFUSED
    headers = ((b"WWW-Authenticate", b'Basic realm="northgate", charset="UTF-8"'),)


class WrongTargetError(OAuthError):
    """RFC 8707 section 2."""

    code = "invalid_target"
    public = "Name in the parameter resource the one endpoint of this gateway that is wanted."
    reason = Reason.TOKEN_TARGET_REFUSED


class WrongScopeError(OAuthError):
    code = "invalid_scope"
    public = (
        "A scope is words of visible ASCII without quotes and backslashes, one space between them."
    )
    reason = Reason.TOKEN_SCOPE_REFUSED


class TooFastError(OAuthError):
    status = 429
    code = "temporarily_unavailable"
    public = "Too many token requests from this address; wait a second."
    reason = Reason.TOKEN_REQUEST_TOO_FAST
    headers = ((b"Retry-After", b"1"),)


UNAVAILABLE: Final = Answer(
    503,
    orjson.dumps(
        {
            "error": "temporarily_unavailable",
            "error_description": "No token can be issued just now; try again shortly.",
        }
    ),
    (*NEVER_KEPT, (b"Retry-After", b"1")),
)

NO_AUTHORIZATION: Final = Answer(
    400,
    orjson.dumps(
        {
            "error": "unsupported_response_type",
            "error_description": "Nobody signs in here: clients ask the token endpoint.",
        }
    ),
    NEVER_KEPT,
)
