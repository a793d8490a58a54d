"""What a request brings, read strictly, and every mistake in it named."""

from __future__ import annotations

from typing import Any, Final, get_args
from urllib.parse import parse_qsl

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from proxy.admin.errors import (
    InvalidError,
    MalformedError,
    UnexpectedBodyError,
    UnexpectedQueryError,
    WrongMediaError,
)
from proxy.admin.routes import Nothing, Route, Taken
from proxy.listener.incoming import Incoming
from proxy.wire.jsonrpc import object_of
from proxy.wire.refusals import WireError

_MOST_PARAMETERS: Final = 16
_MOST_PROBLEMS: Final = 20
_MOST_SHOWN: Final = 64
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_MEDIA: Final = frozenset({"application/json", "application/json;charset=utf-8"})

_TRUTHS: Final[dict[str, object]] = {"true": True, "1": True, "false": False, "0": False}

_SENTENCES: Final = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field; check its spelling.",
}


async def read(route: Route[Taken], incoming: Incoming) -> Taken:
    """Return what *incoming* brings for *route*.

    Raises `ApiError` with all that is wrong with it, and what reading a body raises.
    """
    body = await incoming.body()
    if route.mixed:
        return _checked(route, _mixed(route, incoming, body), is_text=False)
    if route.method in _WITH_BODY or (body and _takes_either(route)):
        if incoming.query:
            raise UnexpectedQueryError
        return _checked(route, _document(incoming, body), is_text=False)
    if body:
        raise UnexpectedBodyError
    return _checked(route, _parameters(incoming.query), is_text=True)


def _mixed(route: Route[Taken], incoming: Incoming, body: bytes) -> dict[str, Any]:
    """Return what body and parameters say together, and neither what the other does."""
    document, parameters = _document(incoming, body), _parameters(incoming.query)
    twice = sorted(document.keys() & parameters.keys())
    if twice:
        problem = "Say this in the body or as a parameter, not in both."
        raise InvalidError(problems=[{"field": name, "problem": problem} for name in twice])
    fields = route.takes.model_fields
    types = {name: fields[name].annotation for name in parameters if name in fields}
    secret = [name for name, annotation in types.items() if _is_secret(annotation)]
    if secret:
        problem = "Say this in the body: addresses end in the logs of whatever is on the way."
        raise InvalidError(problems=[{"field": name, "problem": problem} for name in secret])
    return document | {
        name: _TRUTHS.get(text, text) if types.get(name) is bool else text
        for name, text in parameters.items()
    }


def _is_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


def _takes_either(route: Route[Taken]) -> bool:
    return route.method == "DELETE" and route.takes is not Nothing


def _document(incoming: Incoming, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    lines = [(name.lower(), value) for name, value in incoming.headers]
    media = [value.replace(" ", "").lower() for name, value in lines if name == "content-type"]
    if len(media) != 1 or media[0] not in _MEDIA:
        raise WrongMediaError
    if any(name == "content-encoding" for name, _ in lines):
        raise WrongMediaError
    try:
        return object_of(body, len(body))
    except WireError:
        raise MalformedError from None


def _parameters(query: str) -> dict[str, str]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError:
        raise MalformedError from None
    found = dict(pairs)
    if len(found) != len(pairs):
        # Whoever reads the first and whoever reads the last would be told different things.
        raise MalformedError
    return found


def _checked(route: Route[Taken], values: dict[str, Any], *, is_text: bool) -> Taken:
    try:
        # Parameters are text, whatever they stand for.
        strict = False if is_text else None
        return route.takes.model_validate(values, strict=strict, context=route.context)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise InvalidError(problems=[_problem(one) for one in found[:_MOST_PROBLEMS]]) from None


def _problem(error: ErrorDetails) -> dict[str, str]:
    where = ".".join(map(str, error["loc"]))
    return {"field": where[:_MOST_SHOWN], "problem": _sentence(error)}


def _sentence(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return _SENTENCES.get(error["type"], error["msg"] + ".")
