"""The table of routes: what it finds, and what every route in it states."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies.vocabulary import ACTIONS
from proxy.admin.errors import ApiError
from proxy.admin.routes import Access, Nothing, Route, Table, Visit
from proxy.identity.refusal import RefusedError
from proxy.listener.answers import Answer
from tests.admin.controlled import controlled_table

DESCRIPTION = "/api/v0/openapi.json"
"""It tells nothing that is not in the code, and its name says of what form it is."""


async def _handler(_visit: Visit, _nothing: Nothing) -> Answer:
    return Answer(204)


def _route(method: str, path: str) -> Route[Nothing]:
    return Route(method, path, Access.ANYBODY, Nothing, _handler)


def test_a_route_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="GET /a is there twice"):
        Table([_route("GET", "/a"), _route("POST", "/a"), _route("GET", "/a")])


def test_open_segments_are_found_whole() -> None:
    route = _route("GET", "/a.b/{name}/c/{token_id}")

    assert Table([route]).find("GET", "/a.b/x.y/c/-_") == (route, {"name": "x.y", "token_id": "-_"})


@pytest.mark.parametrize("path", ["/axb/x/c/y", "/a.b/x/c/", "/a.b/x/z/c/y", "/a.b/x/c/y\n", "/"])
def test_no_other_path_is_taken_for_a_route(path: str) -> None:
    table = Table([_route("GET", "/a.b/{name}/c/{token_id}")])

    with pytest.raises(ApiError) as caught:
        table.find("GET", path)

    assert caught.value.status == 404


def test_every_route_below_the_api_demands_a_token_and_an_action_that_there_is(
    tmp_path: Path,
) -> None:
    routes = controlled_table(tmp_path).routes
    api = [one for one in routes if one.path.startswith("/api/") and one.path != DESCRIPTION]
    actions = [route.access for route in api if not isinstance(route.access, Access)]

    assert Access.ANYBODY not in [route.access for route in api]
    assert set(actions) <= set(ACTIONS["Gateway"])
    assert all(route.access is Access.ANYBODY for route in routes if route not in api)


def test_every_route_is_spelt_alike(tmp_path: Path) -> None:
    paths = [one.path for one in controlled_table(tmp_path).routes if one.path != DESCRIPTION]
    alike = re.compile(r"(/([a-z0-9]+(-[a-z0-9]+)*|\{[a-z_]+\}))+")

    assert [one for one in paths if not alike.fullmatch(one)] == []


def test_a_visit_of_nobody_has_no_principal() -> None:
    with pytest.raises(RefusedError):
        _ = Visit("GET /health", {}, "127.0.0.1", 0.0).principal
