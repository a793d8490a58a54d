"""The description of the control plane: whole, closed, the same each time, and held to be true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import SecretStr
from yarl import URL

from proxy.admin.errors import ApiError, InvalidError, NothingHereError, TooFastError
from proxy.admin.openapi import described
from proxy.admin.routes import Access, Input, Nothing, Output, Route, Table, Visit
from proxy.listener.answers import Answer
from tests.admin import described as checking
from tests.admin.controlled import ADMIN, Controlled, Said, controlled_table, told
from tests.gateway.harness import gateway
from tests.gateway.raw import request

DESCRIPTION = "/api/v0/openapi.json"
OPEN = {"AnyDocument", "ToolCall", "Called", "Rendered", "Read"}
"""The components of a form that others give them: OpenAPI, and the servers."""

Operation = tuple[str, Mapping[str, Any]]


class Thing(Output):
    name: str


class Given(Input):
    name: str
    size: int = 1
    secret: SecretStr | None = None


class Listed(Input):
    names: list[str]


async def _handler(_visit: Visit, _input: object) -> Answer:
    return Answer(204)


def _route(method: str = "GET", path: str = "/api/v0/things/{name}", **how: Any) -> Route[Any]:  # noqa: ANN401
    how = {"access": "manage_things", "takes": Nothing, "summary": "Do it", **how}
    return Route(method, path, handler=_handler, **how)


def _described(*routes: Route[Any]) -> dict[str, Any]:
    return described(routes, ADMIN, "1")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a whole gateway says of itself."""

    async def fetched() -> dict[str, Any]:
        async with gateway(tmp_path_factory.mktemp("whole")) as rig:
            host = f"127.0.0.1:{rig.gateway.control[1]}"
            said = await rig.say(request("GET", DESCRIPTION, [("Host", host)]), plane="control")
            assert said.status == 200
            found: dict[str, Any] = json.loads(said.body)
            return found

    return asyncio.run(fetched())


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        yield from ((f"{method.upper()} {path}", one) for method, one in methods.items())


def test_every_operation_says_in_few_words_what_it_does(document: dict[str, Any]) -> None:
    summaries = {name: one["summary"] for name, one in _operations(document)}

    assert [name for name, one in summaries.items() if not 0 < len(one) <= 80] == []
    assert [name for name, one in summaries.items() if one.endswith(".")] == []


def test_every_success_that_has_a_body_says_of_which_form(document: dict[str, Any]) -> None:
    formless = [
        (name, status)
        for name, one in _operations(document)
        for status, response in one["responses"].items()
        if ("content" in response) is (status == "204")
    ]

    assert formless == []


def test_every_operation_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [one["operationId"] for _, one in _operations(document)]

    assert len(ids) == len(set(ids))


def test_every_operation_but_the_first_and_the_probes_needs_a_token(
    document: dict[str, Any],
) -> None:
    free = {name for name, one in _operations(document) if one["security"] == []}

    assert free == {
        "GET /health",
        "GET /ready",
        "GET /metadata",
        "GET /metrics",
        f"GET {DESCRIPTION}",
        "POST /init",
    }


def test_every_reference_leads_somewhere_and_every_component_is_led_to(
    document: dict[str, Any],
) -> None:
    used = {one.removeprefix("#/components/schemas/") for one in _references(document)}

    assert used == document["components"]["schemas"].keys()


def _references(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name == "$ref":
                yield str(one)
            else:
                yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def test_every_object_is_closed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    objects = {name: one for name, one in schemas.items() if one.get("type") == "object"}

    unclosed = [name for name, one in objects.items() if one["additionalProperties"] is not False]
    assert set(unclosed) == OPEN


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    components = document["components"]

    for name in components["schemas"]:
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        assert isinstance(Draft202012Validator(schema), Draft202012Validator)
    assert [name for name in components["schemas"] if "__" in name] == []


def test_segments_are_described_as_they_are_taken(document: dict[str, Any]) -> None:
    for name, one in _operations(document):
        parameters = [each for each in one.get("parameters", ()) if each["in"] == "path"]
        assert [f"{{{each['name']}}}" in name for each in parameters] == [True] * name.count("{")
        assert {each["required"] for each in parameters} <= {True}


def test_the_document_is_the_same_whatever_order_its_routes_come_in(tmp_path: Path) -> None:
    routes = controlled_table(tmp_path).routes

    assert json.dumps(_described(*routes)) == json.dumps(_described(*reversed(routes)))
    assert {route.name for route in routes} == {
        name for name, _ in _operations(_described(*routes))
    }


def test_the_release_is_told_alike_by_the_document_and_by_itself(tmp_path: Path) -> None:
    async def story(controlled: Controlled) -> tuple[Said, Said]:
        return await controlled.ask("GET", DESCRIPTION), await controlled.ask("GET", "/metadata")

    document, metadata = told(tmp_path, story)

    assert document.document["info"]["version"] == version("northgate")
    assert metadata.document == {"version": version("northgate")}
    assert document.document["servers"] == [{"url": ADMIN}]


def test_what_comes_as_parameters_what_as_a_body_and_what_as_both() -> None:
    def found(**how: Any) -> tuple[list[tuple[str, bool]], bool | None]:  # noqa: ANN401  a route
        [(_, one)] = _operations(
            _described(_route(path="/api/v0/things", **({"takes": Given} | how)))
        )
        query = [(each["name"], each["required"]) for each in one.get("parameters", ())]
        return query, one.get("requestBody", {}).get("required")

    assert found(method="GET") == ([("name", True), ("size", False)], None)
    assert found(method="DELETE", status=204) == ([("name", True), ("size", False)], None)
    assert found(method="DELETE", status=204, takes=Listed) == ([], True)
    assert found(method="PUT") == ([], True)
    assert found(method="POST", mixed=True) == ([("name", False), ("size", False)], False)


def test_what_may_come_as_a_parameter_is_not_required_of_the_body() -> None:
    document = _described(_route("POST", takes=Given, mixed=True))

    assert "required" not in document["components"]["schemas"]["Given"]


def test_a_route_has_the_failures_of_its_kind() -> None:
    def found(**how: Any) -> set[str]:  # noqa: ANN401  a route
        [(_, one)] = _operations(_described(_route(**how)))
        return set(one["responses"])

    read = {"200", "400", "403", "408", "413", "421", "422"}
    assert found(path="/things", access=Access.ANYBODY) == read
    assert found(path="/things", access=Access.IDENTIFIED) == read | {"401", "429", "503"}
    assert found(path="/things") == read | {"401", "403", "429", "503"}
    assert found() == read | {"401", "403", "404", "429", "503"}
    assert found(method="PUT") == found() | {"415"}
    assert found(fails=(TooFastError,), access=Access.ANYBODY) == read | {"404", "429"}


def test_a_code_has_one_form_and_a_status_one_meaning() -> None:
    class OtherError(ApiError):
        status = 404
        code = NothingHereError.code
        public = "Gone."
        members = InvalidError.members

    with pytest.raises(ValueError, match="not-found is answered in two forms"):
        _described(_route(fails=(OtherError,)))
    with pytest.raises(ValueError, match="succeeds and fails with 404"):
        _described(_route(status=404))


GOOD = {"name": "a"}
BAD: dict[str, tuple[int, dict[str, str], object]] = {
    "another status": (202, {}, GOOD),
    "one member more": (200, {}, GOOD | {"secret": "x"}),
    "one member less": (200, {}, {}),
    "no token, and no challenge": (401, {}, {"error": "No.", "code": "unauthorized"}),
    "the code of something else": (403, {}, {"error": "No.", "code": "not-found"}),
    "a problem that is not named": (422, {}, {"error": "No.", "code": "invalid"}),
}


@pytest.mark.parametrize("case", BAD)
def test_an_answer_that_is_not_as_described_is_found(case: str) -> None:
    status, headers, document = BAD[case]
    table = Table([_route(gives=Thing)])

    checking.check(table, "GET", "/api/v0/things/a", _said(200, {}, GOOD))
    with pytest.raises((AssertionError, ValueError)):
        checking.check(table, "GET", "/api/v0/things/a", _said(status, headers, document))


def _said(status: int, headers: dict[str, str], document: object) -> Said:
    media = {"Content-Type": "application/json"}
    return Said(status, media | headers, json.dumps(document).encode(), document)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
def test_methods_that_nothing_is_asked_with_are_told_what_an_address_takes(
    tmp_path: Path, method: str
) -> None:
    async def story(controlled: Controlled) -> list[Said]:
        paths = ("/api/v0/clients/ci", "/nowhere")
        return [await controlled.ask(method, path) for path in paths]

    known, unknown = told(tmp_path, story)

    assert (known.status, known.headers["Allow"]) == (405, "DELETE, GET, PATCH, PUT")
    assert unknown.status == 404
    assert (known.body == b"") is (method == "HEAD")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v0/clients/%2e%2e", 404, "not-found"),
        ("GET", "/api/v0//clients", 404, "not-found"),
        ("QUERY", "/api/v0/clients", 405, "wrong-method"),
        ("GET", "/api/v0/nothing", 404, "not-found"),
    ],
)
def test_what_never_reaches_a_route_is_refused_in_the_same_form(
    tmp_path: Path, method: str, path: str, status: int, code: str
) -> None:
    async def story(controlled: Controlled) -> tuple[int, dict[str, str], str]:
        url = URL(f"http://127.0.0.1:{controlled.port}{path}", encoded=True)
        async with controlled.session.request(method, url) as answer:
            return answer.status, await answer.json(), answer.headers.get("Allow", "")

    found, document, allow = told(tmp_path, story)

    assert (found, set(document), document["code"]) == (status, {"error", "code"}, code)
    assert bool(allow) is (status == 405)
