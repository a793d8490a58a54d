"""What holds for every test."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.canary import Canary
from tests.remembering import remember_policies

CANARY = Canary()


def pytest_configure() -> None:
    CANARY.watch()
    remember_policies()


@pytest.fixture(autouse=True, scope="module")
def _nothing_written_holds_a_secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    leaks = list(CANARY.search(tmp_path_factory.getbasetemp()))
    assert not leaks, "\n".join(leaks)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    logged = "".join(text for name, text in report.sections if "stdout" not in name)
    if leaks := list(CANARY.found_in(logged.encode(errors="replace"))):
        report.outcome = "failed"
        report.longrepr = f"What {item.nodeid} logged holds {' and '.join(leaks)}."
    return report
