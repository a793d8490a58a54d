"""Every test of the state runs on each kind of database that there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.postgres import EMPTY, TEMPLATE, Server, postgres
from tests.storage.state.places import FilePlace, Place, ServerPlace

__all__ = ["bare", "fresh", "place", "postgres", "served", "used"]

KINDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="session")
def used(postgres: Server) -> str:
    """Make the database that tests have one after another, each as if it was new."""
    return postgres.new_database(TEMPLATE)


@pytest.fixture
def served(postgres: Server, used: str) -> ServerPlace:
    """Give a database with the newest schema, whose schema must stay so."""
    postgres.clear(used)
    return ServerPlace(postgres, used)


@pytest.fixture
def bare(postgres: Server) -> Iterator[ServerPlace]:
    """Give a database of its own, with no schema."""
    name = postgres.new_database(EMPTY)
    yield ServerPlace(postgres, name)
    postgres.drop(name)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a place with nothing in it yet, whose schema must stay as it is."""
    if request.param == "sqlite":
        return FilePlace(tmp_path)
    found: ServerPlace = request.getfixturevalue("served")
    return found


@pytest.fixture(params=KINDS)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give a place where no schema is yet, and any may be made."""
    if request.param == "sqlite":
        return FilePlace(tmp_path)
    found: ServerPlace = request.getfixturevalue("bare")
    return found
