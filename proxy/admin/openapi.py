"""The interface of the control plane as an OpenAPI document, made of the routes themselves."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

import orjson
from pydantic import BaseModel, RootModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from proxy.admin.failing import Failure, failures_of
from proxy.admin.routes import SEGMENT, Access, Nothing, Route, Visit
from proxy.listener.answers import Answer

OPENAPI: Final = "3.1.0"
API: Final = "/api/v0"

_JSON: Final = "application/json"
_BEARER: Final = "bearer"
_COMPONENTS: Final = "#/components/schemas/"
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})
_OPERATIONS: Final = "gateway"
"""The tag of what needs no token."""

_WORD: Final = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")

_ABOUT: Final = """\
What administers the gateway. The gateway's policy decides who may do what, and what is done is \
recorded first.

Send an access token for this plane in one `Authorization: Bearer` header, and nowhere else. Send \
bodies as `application/json` in UTF-8: one object, without repeated or unknown members. An empty \
one may be left out. Parameters are not repeated, and none are taken but those described here.

A request of which nothing came is answered with `{"error": SENTENCE, "code": WORD}`; the word is \
stable. With 422 come `problems`, which name every mistake. An address that is not described here \
is answered with 404; a method that an address does not take, with 405 and an `Allow` header of \
those that it takes. A request that is not for this gateway by its Host, Origin, target or form is \
answered before anything else, with 400, 403, 404, 405, 408, 421, 431 or 503.

Lists come in pages: send what one gave as `next` as `after`, or as `before` where there is that. \
What was answered with 503 may be sent again."""

_HEADERS: Final = {
    "WWW-Authenticate": "What kind of credential is wanted (RFC 6750).",
    "Retry-After": "In how many seconds to try again.",
}

Refs = Mapping[type[BaseModel], Mapping[str, Any]]


class AnyDocument(RootModel[dict[str, Any]]):
    """An object whose form is described elsewhere."""


class Schemas(GenerateJsonSchema):
    """Schemas whose members have no titles, which would only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401  as its parent
        del schema
        return False


class OpenApi:
    """Describes *routes*, for which it asks when the first reader comes."""

    def __init__(self, routes: Callable[[], Iterable[Route[Any]]], url: str, release: str) -> None:
        self._routes = routes
        self._url = url
        self._release = release
        self._text = b""

    def routes(self) -> tuple[Route[Any], ...]:
        return (
            Route(
                "GET",
                f"{API}/openapi.json",
                Access.ANYBODY,
                Nothing,
                self.shown,
                summary="Describe this interface",
                gives=AnyDocument,
            ),
        )

    async def shown(self, _visit: Visit, _nothing: Nothing) -> Answer:
        if not self._text:
            # It takes long enough for calls to wait for it, once.
            self._text = await asyncio.to_thread(self._written)
        return Answer(HTTPStatus.OK, self._text)

    def _written(self) -> bytes:
        return orjson.dumps(described(self._routes(), self._url, self._release))


def described(routes: Iterable[Route[Any]], url: str, release: str) -> dict[str, Any]:
    """Return the document of *routes*, which *release* serves at *url*."""
    ordered = sorted(routes, key=lambda route: (route.path, route.method))
    refs, schemas = _components(ordered)
    paths: dict[str, dict[str, Any]] = {}
    for route in ordered:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, refs)
    return {
        "openapi": OPENAPI,
        "info": {"title": "Northgate control plane", "version": release, "description": _ABOUT},
        "servers": [{"url": url}],
        "tags": [{"name": name} for name in sorted({_tag(route) for route in ordered})],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {_BEARER: {"type": "http", "scheme": "bearer"}},
        },
    }


def _components(routes: Sequence[Route[Any]]) -> tuple[Refs, dict[str, Any]]:
    """Return a reference to the schema of every body, and the schemas by their names."""
    bodies = [route.takes for route in routes if _takes_body(route)]
    bodies += [model for route in routes for model in _gives(route).values() if model is not None]
    refs, found = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(bodies)],
        ref_template=f"{_COMPONENTS}{{model}}",
        schema_generator=Schemas,
    )
    schemas = {name: _plain(schema) for name, schema in found.get("$defs", {}).items()}
    by_model = {model: ref for (model, _), ref in refs.items() if issubclass(model, BaseModel)}
    for model in {route.takes for route in routes if route.mixed}:
        # What the body lacks may come as a parameter.
        schemas[by_model[model]["$ref"].removeprefix(_COMPONENTS)].pop("required", None)
    return by_model, dict(sorted((schemas | _failure_schemas(routes)).items()))


def _operation(route: Route[Any], refs: Refs) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _id(route),
        "summary": route.summary,
        "tags": [_tag(route)],
    }
    parameters = [*_segments(route), *_query(route)]
    if parameters:
        operation["parameters"] = parameters
    if _takes_body(route):
        body = {"schema": refs[route.takes]}
        operation["requestBody"] = {
            "content": {
                _JSON: body if route.example is None else body | {"example": route.example}
            },
            "required": _has_required(route.takes) and not route.mixed,
        }
    operation["responses"] = dict(sorted(_responses(route, refs).items()))
    operation["security"] = [] if route.access is Access.ANYBODY else [{_BEARER: []}]
    return operation


def _segments(route: Route[Any]) -> Iterator[dict[str, Any]]:
    for name in route.open_segments:
        schema = {"type": "string", "pattern": f"^{SEGMENT}$"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query(route: Route[Any]) -> Iterator[dict[str, Any]]:
    if _takes_body(route) and not route.mixed:
        return
    schema = route.takes.model_json_schema(schema_generator=Schemas)
    required = () if route.mixed else schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        given = _given(one)
        # A secret in an address would end in every log on the way.
        if given.get("type") not in _SCALARS or given.get("writeOnly"):
            continue
        parameter = {"name": name, "in": "query", "required": name in required, "schema": given}
        if name in (example := route.example or {}):
            parameter["example"] = example[name]
        yield parameter


def _given(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a member as that of a parameter, which cannot be null."""
    plain = {name: value for name, value in schema.items() if value is not None}
    some = [one for one in plain.pop("anyOf", ()) if one != {"type": "null"}]
    return {**some[0], **plain} if len(some) == 1 else plain


def _takes_body(route: Route[Any]) -> bool:
    """Tell whether input comes as a body. That of DELETE does where parameters cannot hold it."""
    if route.method != "DELETE":
        return route.takes_body
    members = route.takes.model_json_schema()["properties"].values() if route.takes_body else ()
    return any(_given(one).get("type", "array") == "array" for one in members)


def _has_required(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _gives(route: Route[Any]) -> dict[int, type[BaseModel] | None]:
    return {int(route.status): route.gives, **route.also}


def _responses(route: Route[Any], refs: Refs) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, model in _gives(route).items():
        found[str(status)] = {"description": HTTPStatus(status).phrase}
        if model is not None:
            media = route.media if status == route.status else _JSON
            found[str(status)]["content"] = {media: {"schema": refs[model]}}
    for status, failures in groupby(failures_of(route), key=lambda one: one.status):
        if str(status) in found:
            raise ValueError(f"{route.name} succeeds and fails with {status}.")
        found[str(status)] = _failed(list(failures))
    return found


def _failed(failures: Sequence[Failure]) -> dict[str, Any]:
    names = dict.fromkeys(map(_name, failures))
    refs = [{"$ref": f"{_COMPONENTS}{name}"} for name in names]
    response: dict[str, Any] = {
        "description": f"Failed: {', '.join(dict.fromkeys(one.code for one in failures))}.",
        "content": {_JSON: {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}},
    }
    headers = sorted({name for one in failures for name in one.headers})
    if headers:
        response["headers"] = {
            name: {
                "description": _HEADERS[name],
                "required": all(name in one.headers for one in failures),
                "schema": {"type": "string"},
            }
            for name in headers
        }
    return response


def _failure_schemas(routes: Iterable[Route[Any]]) -> dict[str, Any]:
    """Return the schema of every failure. Raises `ValueError` for a code of two forms."""
    schemas: dict[str, Any] = {}
    for failure in (one for route in routes for one in failures_of(route)):
        known = schemas.setdefault(_name(failure), failure.schema)
        if known["properties"] != failure.schema["properties"]:
            raise ValueError(f"{failure.code} is answered in two forms.")
    return schemas


def _name(failure: Failure) -> str:
    return f"error.{failure.code}"


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return *schema* without the words that its class says to programmers."""
    return {name: value for name, value in schema.items() if name not in {"title", "description"}}


def _id(route: Route[Any]) -> str:
    return "_".join((route.method.lower(), *_words(route)))


def _tag(route: Route[Any]) -> str:
    if route.access is Access.ANYBODY:
        return _OPERATIONS
    return _words(route)[0]


def _words(route: Route[Any]) -> list[str]:
    return _WORD.findall(route.path.removeprefix(API))
