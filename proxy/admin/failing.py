"""How each route can fail, as it is told to who reads about the interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from proxy.admin import errors
from proxy.admin.errors import ApiError
from proxy.admin.routes import Access, Route
from proxy.identity.refusal import Reason, RefusedError
from proxy.listener.answers import Answer
from proxy.listener.refusals import TOLD, LateError, Refusal, TooLargeError
from storage.errors import DatabaseUnavailableError, FactRefusedError, TextRefusedError

_TEXT: Final = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail: its status and code, the headers sent with it, and its JSON schema."""

    status: int
    code: str
    headers: tuple[str, ...]
    schema: dict[str, Any]


def failures_of(route: Route[Any]) -> list[Failure]:
    """Return every way in which *route* can fail, by status and code; one may be there twice."""
    found = (*_usual(route), *map(_declared, route.fails))
    return sorted(found, key=lambda one: (one.status, one.code))


def _usual(route: Route[Any]) -> Iterator[Failure]:
    yield from _ANY
    if route.takes_body:
        yield _WRONG_MEDIA
        yield from () if route.mixed else (_UNEXPECTED_QUERY,)
    else:
        yield _UNEXPECTED_BODY
    if route.open_segments:
        yield from _NOWHERE
    if route.method != "GET":
        yield from _CHANGING
    if route.access is not Access.ANYBODY:
        yield from _IDENTIFIED
    if not isinstance(route.access, Access):
        yield from _AUTHORISED


def _declared(error: type[ApiError]) -> Failure:
    return _failure(error().answer(), error.members)


def _failure(answer: Answer, members: errors.Members | None = None) -> Failure:
    told = orjson.loads(answer.body)
    code, more = told["code"], {name: dict(one) for name, one in (members or {}).items()}
    schema = _closed({"error": _TEXT, "code": {"const": code}, **more})
    schema["description"] = told["error"]
    headers = {name.decode() for name, _ in answer.headers} | _HEADERS.get(answer.status, set())
    return Failure(answer.status, code, tuple(sorted(headers)), schema)


def _closed(members: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(members),
        "required": list(members),
        "additionalProperties": False,
    }


_HEADERS: Final = {errors.TooFastError.status: {"Retry-After"}}

_ANY: Final = (
    _declared(errors.MalformedError),
    _declared(errors.InvalidError),
    _failure(errors.unreadable(LateError())),
    _failure(errors.unreadable(TooLargeError())),
    *(
        _failure(Answer(TOLD[one].status, errors.told(one, TOLD[one])))
        for one in (Refusal.HOST, Refusal.ORIGIN)
    ),
)
_WRONG_MEDIA: Final = _declared(errors.WrongMediaError)
_UNEXPECTED_QUERY: Final = _declared(errors.UnexpectedQueryError)
_UNEXPECTED_BODY: Final = _declared(errors.UnexpectedBodyError)
_NOWHERE: Final = (_declared(errors.NothingHereError),)
_CHANGING: Final = (
    _failure(errors.unkept(TextRefusedError())),
    _failure(errors.unkept(FactRefusedError())),
    _declared(errors.NotRecordedError),
    _failure(errors.unavailable(DatabaseUnavailableError())),
)
_IDENTIFIED: Final = (
    _failure(errors.unidentified(RefusedError(Reason.CREDENTIAL_REPEATED))),
    _failure(errors.unidentified(RefusedError(Reason.CREDENTIAL_ABSENT))),
    _declared(errors.TooFastError),
    _failure(errors.unavailable(DatabaseUnavailableError())),
)
_AUTHORISED: Final = (
    _declared(errors.NotAllowedError),
    _declared(errors.UndecidedError),
    _declared(errors.NotRecordedError),
)
