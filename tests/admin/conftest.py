"""The control plane is tested on each kind of database that there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admin.controlled import Databases
from tests.storage.postgres import EMPTY, TEMPLATE, Server, postgres

__all__ = ["postgres"]

KINDS = ["sqlite", "postgresql"]
ONE_IS_ENOUGH = {
    "tests.admin.test_keys",  # whole gateways, which tests of replicas run on both
    "tests.admin.test_openapi",  # it describes routes
    "tests.admin.test_schemathesis",  # a minute of random requests, about how they are answered
    "tests.admin.test_servers_terms",  # nothing is kept
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__
    if "tmp_path" in metafunc.fixturenames and name not in ONE_IS_ENOUGH:
        metafunc.parametrize("database", KINDS, indirect=True)


@pytest.fixture(scope="session")
def used(postgres: Server) -> str:
    """Make the database that tests have one after another, each as if it was new."""
    return postgres.new_database(TEMPLATE)


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the control planes of a test keep their state in a database of one kind."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield
        return
    server: Server = request.getfixturevalue("postgres")
    used: str = request.getfixturevalue("used")
    server.clear(used)
    made: list[str] = []

    def another() -> str:
        made.append(server.new_database(EMPTY))
        return server.url(made[-1])

    Databases.served = Databases(server.url(used), another)
    try:
        yield
    finally:
        Databases.served = None
        for name in made:
            server.drop(name)
