"""What a caller of the control plane is told when nothing came of his request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final

import orjson

from proxy.identity.refusal import RefusedError
from proxy.listener.answers import Answer
from proxy.listener.refusals import BodyError, Refusal, Told
from storage.errors import StateError

UNPROCESSABLE: Final = 422

Headers = Sequence[tuple[bytes, bytes]]

Members = Mapping[str, Mapping[str, Any]]

_TEXT: Final = MappingProxyType({"type": "string"})
_PROBLEMS: Final = MappingProxyType(
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            "required": ["field", "problem"],
            "additionalProperties": False,
        },
    }
)


class ApiError(Exception):
    """A request that is answered with `{"error": public, "code": code}` and *details*.

    `members` are the JSON schemas of the details, by their names.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    public: ClassVar[str]
    members: ClassVar[Members] = MappingProxyType({})

    def __init__(self, headers: Headers = (), **details: object) -> None:
        super().__init__(self.code)
        self.headers = headers
        self.details = details

    def answer(self) -> Answer:
        return _answer(self.status, self.code, self.public, self.headers, **self.details)


class MalformedError(ApiError):
    status = 400
    code = "malformed"
    public = "The request cannot be read; send one JSON object, or well-formed parameters."


class UnexpectedBodyError(ApiError):
    status = 400
    code = "unexpected-body"
    public = "This takes no body; send the request without one."


class UnexpectedQueryError(ApiError):
    status = 400
    code = "unexpected-query"
    public = "This takes no parameters in the address; put them into the body."


class WrongSecretError(ApiError):
    status = 403
    code = "wrong-secret"
    public = (
        "This is not the bootstrap secret. It was printed when the gateway first started; "
        "northgate admin recover makes another."
    )


class NotAllowedError(ApiError):
    """The policy said no; `action` and `decision_id` tell to what, and where to read of it."""

    status = 403
    code = "not-allowed"
    public = "The policy does not allow this; ask an administrator for the permission."
    members = MappingProxyType({"action": _TEXT, "reason": _TEXT, "decision_id": _TEXT})


class NothingHereError(ApiError):
    status = 404
    code = "not-found"
    public = "There is nothing at this address; check its spelling."


class UnknownTokenError(ApiError):
    status = 404
    code = "unknown-token"
    public = "No token with this id was issued here; list the tokens to find it."


class UnknownServerError(ApiError):
    status = 404
    code = "unknown-server"
    public = "No server has this name; check its spelling against the settings."


class UnknownDefinitionError(ApiError):
    status = 404
    code = "unknown-definition"
    public = "No server was ever seen to offer this; list the definitions to find what is offered."


class UnknownClientError(ApiError):
    status = 404
    code = "unknown-client"
    public = "No client has this name; list the clients to find it."


class UnknownUserError(ApiError):
    status = 404
    code = "unknown-user"
    public = "No user has this name; list the users to find him."


class UnknownTeamError(ApiError):
    status = 404
    code = "unknown-team"
    public = "No team has this name; list the teams to find it."


class UnknownGrantError(ApiError):
    status = 404
    code = "unknown-grant"
    public = "There is no such grant now; list the grants to find it."


class UnknownFactError(ApiError):
    status = 404
    code = "unknown-fact"
    public = "This fact is not stored, so it was not removed."


class WrongMethodError(ApiError):
    status = 405
    code = "wrong-method"
    public = "This address does not take that method; see the Allow header."


class AlreadyInitialisedError(ApiError):
    status = 409
    code = "already-initialised"
    public = (
        "The gateway has its administrator, and no bootstrap secret waits. Whoever lost the token "
        "begins again with northgate admin recover, on the gateway's machine."
    )


class ChangedDefinitionError(ApiError):
    status = 409
    code = "definition-changed"
    public = "The server no longer offers what was reviewed; review what it offers now."


class NameTakenError(ApiError):
    status = 409
    code = "name-taken"
    public = "This name is taken; choose another, or change the one that has it."


class LastAdminError(ApiError):
    status = 409
    code = "last-admin"
    public = "Nobody would be left to administer the gateway; make another user an admin first."


class WrittenInPolicyError(ApiError):
    """`place` is the file and line."""

    status = 409
    code = "written-in-policy"
    public = "The policy itself states this; take it out of the policy's files."
    members = MappingProxyType({"place": _TEXT})


class WrongMediaError(ApiError):
    status = 415
    code = "wrong-media-type"
    public = "Send the body as application/json, and without an encoding."


class InvalidError(ApiError):
    """What was sent is well-formed and wrong; `problems` name every mistake."""

    status = 422
    code = "invalid"
    public = "What was sent cannot be used; correct every problem and send it again."
    members = MappingProxyType({"problems": _PROBLEMS})


class TooFastError(ApiError):
    status = 429
    code = "too-fast"
    public = "Too many requests at once; wait a second."


class TooManyAttemptsError(ApiError):
    status = 429
    code = "too-many-attempts"
    public = "Too many wrong secrets; wait a minute."


class UndecidedError(ApiError):
    status = 503
    code = "undecided"
    public = "The request could not be judged, so nothing was done; try again shortly."
    members = MappingProxyType({"decision_id": _TEXT})


class NotRecordedError(ApiError):
    status = 503
    code = "not-recorded"
    public = "The request could not be recorded, so nothing was done; try again shortly."


def unidentified(refused: RefusedError) -> Answer:
    """Return the answer to a caller without one good token, whatever is wrong with it."""
    challenge = b'Bearer realm="northgate"'
    if refused.code:
        challenge += b', error="%b"' % refused.code.encode()
    is_malformed = refused.status == MalformedError.status
    code = refused.code.replace("_", "-") if is_malformed else "unauthorized"
    return _answer(int(refused.status), code, refused.public, ((b"WWW-Authenticate", challenge),))


def unreadable(error: BodyError) -> Answer:
    """Return the answer to a request whose body cannot be had."""
    return _answer(error.status, _code(error.code), error.public)


def told(name: str, refusal: Told) -> bytes:
    """Return what a listener refuses before it is a request to any address, as all that is here."""
    return orjson.dumps({"error": refusal.public, "code": _code(name)})


_CODES: Final[dict[str, str]] = {
    Refusal.TOO_LARGE_BODY: "too-large",
    Refusal.TARGET: NothingHereError.code,
    Refusal.METHOD: WrongMethodError.code,
}


def _code(name: str) -> str:
    """Return the code of what a listener calls *name*."""
    return _CODES.get(name, name.replace("_", "-"))


def unkept(error: StateError) -> Answer:
    """Return the answer to a value that no database keeps."""
    return _answer(UNPROCESSABLE, error.code, error.public)


def unavailable(error: StateError) -> Answer:
    """Return the answer where the stored state failed."""
    return _answer(NotRecordedError.status, error.code, error.public)


def _answer(
    status: int, code: str, public: str, headers: Headers = (), **details: object
) -> Answer:
    return Answer(status, orjson.dumps({"error": public, "code": code, **details}), headers)
