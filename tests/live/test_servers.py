"""That the real servers and the real client do what other tests take for granted."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.live.install import PACKAGES, install
from tests.live.servers import NotStartedError, Server, dual_era, everything, inspect


@pytest.mark.parametrize(
    ("serving", "era", "tool"),
    [(everything, "legacy", "get-sum"), (dual_era, "legacy", "add"), (dual_era, "modern", "add")],
)
def test_the_inspector_is_told_the_tools_of_a_server(
    serving: Callable[[], AbstractContextManager[Server]], era: str, tool: str
) -> None:
    with serving() as server:
        listed = inspect(server.url, None, "tools/list", era=era)

    assert listed.returncode == 0
    assert tool in {each["name"] for each in json.loads(listed.stdout)["result"]["tools"]}


def test_a_tool_that_fails_is_told_from_one_that_answers() -> None:
    with dual_era() as server:
        failed = inspect(
            server.url, None, "tools/call", "--tool-name", "fail", "--tool-arg", "why=x"
        )
        said = inspect(
            server.url, None, "tools/call", "--tool-name", "echo", "--tool-arg", "text=hello"
        )

    assert (failed.returncode, said.returncode) == (5, 0)
    assert json.loads(failed.stderr.splitlines()[-1])["error"]["code"] == "tool_is_error"
    assert json.loads(said.stdout)["result"]["content"] == [{"type": "text", "text": "hello"}]


def test_a_server_is_over_when_its_block_ends() -> None:
    with everything() as server:
        assert server.process.poll() is None

    assert server.process.poll() is not None


def test_a_server_that_cannot_start_says_why() -> None:
    with (
        dual_era() as first,
        pytest.raises(NotStartedError, match="Address already in use"),
        dual_era(int(first.url.split(":")[2].partition("/")[0])),
    ):
        pass


def test_what_is_installed_is_left_alone() -> None:
    install()
    before = PACKAGES.stat().st_mtime_ns

    install()

    assert PACKAGES.stat().st_mtime_ns == before
