"""Answers, held against the description that the control plane gives of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from jsonschema_rs import Draft202012Validator

from proxy.admin.errors import ApiError
from proxy.admin.openapi import described
from proxy.admin.routes import Route, Table


class Said(Protocol):
    """An answer, read."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def document(self) -> Any: ...  # noqa: ANN401  any JSON


@dataclass
class Description:
    """The document of some routes, and the validators that were made of it."""

    document: Mapping[str, Any]
    _validators: dict[tuple[str, str, str], Draft202012Validator] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> Description:
        """Return the description of *table*: the same as long as its routes are."""
        return _description(tuple(map(_Alike, table.routes)))

    def check(self, route: Route[Any], said: Said) -> None:
        """Fail if *route* is not described as answering what was *said*."""
        operation = self.document["paths"][route.path][route.method.lower()]
        status = str(said.status)
        assert status in operation["responses"], f"{route.name} answered {status}: {said.body!r}"
        response = operation["responses"][status]
        required = {name for name, one in response.get("headers", {}).items() if one["required"]}
        assert required <= said.headers.keys()
        media = said.headers.get("Content-Type", "").partition(";")[0]
        assert ([media] if media else []) == list(response.get("content", {}))
        if media:
            schema = response["content"][media]["schema"]
            value = said.document if media == "application/json" else said.body.decode()
            self._validator(route, status, schema).validate(value)

    def _validator(
        self, route: Route[Any], status: str, schema: Mapping[str, Any]
    ) -> Draft202012Validator:
        key = (route.method, route.path, status)
        if key not in self._validators:
            components = self.document["components"]
            self._validators[key] = Draft202012Validator({**schema, "components": components})
        return self._validators[key]


@dataclass(frozen=True)
class _Alike:
    """A route, which is equal to one that is described with the same words."""

    route: Route[Any] = field(compare=False)
    words: str = field(init=False)

    def __post_init__(self) -> None:
        one = self.route
        words = repr((one.name, one.access, one.takes, one.status, one.gives, one.also, one.fails))
        object.__setattr__(self, "words", words)


@cache
def _description(routes: tuple[_Alike, ...]) -> Description:
    return Description(described([one.route for one in routes], "http://localhost:8081", "0"))


def check(table: Table, method: str, address: str, said: Said) -> None:
    """Fail if the description of *table* does not allow the answer *said*."""
    route = _found(table, method, address.partition("?")[0])
    if isinstance(route, Route):
        Description.of(table).check(route, said)
        return
    assert said.status == route.status
    assert method == "HEAD" or set(said.document or ()) == {"error", "code"}
    assert ("Allow" in said.headers) is (route.status == 405)


def _found(table: Table, method: str, path: str) -> Route[Any] | ApiError:
    try:
        return table.find(method, path)[0]
    except ApiError as error:
        return error
