"""Which of several values counts, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from proxy.config import Address, load
from proxy.identity.sealing import MASTER_KEY_VARIABLE
from tests.config.giving import settings_of

WHOLE = """
mode = "enterprise"
public_url = "https://mcp.example.com"
data.listen = "[::]:8080"
data.trusted_proxies = ["10.0.0.0/8"]

[upstreams.git_hub]
url = "https://api.example.com/mcp?readonly=1"
session_mode = "stateless"
auth.bearer = "${GITHUB_TOKEN}"

[upstreams.files]
transport = "stdio"
command = "npx"
args = ["-y", "server-filesystem", ""]
env = { PATH = "/usr/bin", "lower.case" = "x" }
"""


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    text = "[pdp]\ndeadline_ms = 100\nmax_context_facts = 5"

    settings = settings_of(tmp_path, text, {"NORTHGATE_PDP__DEADLINE_MS": "50"})

    assert settings.pdp.deadline_ms == 50
    assert settings.pdp.max_context_facts == 5
    assert settings.pdp.kind == "embedded"


def test_a_whole_file_is_read_into_its_types(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, WHOLE, {"GITHUB_TOKEN": "ghp"})
    web, process = settings.upstreams["git_hub"], settings.upstreams["files"]

    assert settings.data.listen == Address("::", 8080)
    assert settings.data.trusted_proxies == ("10.0.0.0/8",)
    assert web.url == "https://api.example.com/mcp?readonly=1"
    assert web.auth.bearer is not None
    assert web.auth.bearer.reveal() == b"ghp"
    assert process.args == ("-y", "server-filesystem", "")
    assert {name: one.reveal() for name, one in process.env.items()} == {
        "PATH": b"/usr/bin",
        "lower.case": b"x",
    }
    assert settings.warnings == ()


def test_a_variable_reaches_an_upstream_of_the_file_whatever_its_case_and_hyphens(
    tmp_path: Path,
) -> None:
    environ = {"NORTHGATE_UPSTREAMS__GIT_HUB__URL": "https://b"}

    settings = settings_of(tmp_path, "[upstreams.Git-Hub]\nurl = 'https://a'", environ)

    assert {name: one.url for name, one in settings.upstreams.items()} == {"Git-Hub": "https://b"}


def test_variables_alone_can_make_an_upstream() -> None:
    settings = load(
        None,
        {
            "NORTHGATE_UPSTREAMS__MY_FILES__TRANSPORT": "stdio",
            "NORTHGATE_UPSTREAMS__MY_FILES__COMMAND": "npx",
            "NORTHGATE_UPSTREAMS__MY_FILES__ARGS": '["-y", "1"]',
            "NORTHGATE_UPSTREAMS__MY_FILES__ENV__Some__Name": "x",
            "NORTHGATE_POLICY__PORTABLE": "False",
        },
    )

    assert list(settings.upstreams) == ["my-files"]
    assert settings.upstreams["my-files"].args == ("-y", "1")
    assert list(settings.upstreams["my-files"].env) == ["Some__Name"]
    assert settings.policy.portable is False


def test_the_master_key_is_no_setting_and_is_left_alone() -> None:
    assert load(None, {MASTER_KEY_VARIABLE: "x", "HOME": "/"}).warnings == ()


def test_both_listeners_may_have_one_address() -> None:
    settings = load(None, {"NORTHGATE_ADMIN__LISTEN": "127.0.0.1:8080",
                           "NORTHGATE_ADMIN_URL": "http://127.0.0.1:8080"})  # fmt: skip

    assert settings.data.listen == settings.admin.listen


@pytest.mark.parametrize("listen", ["127.9.9.9:1", "[::1]:1", "localhost:0"])
def test_development_mode_takes_any_loopback_address(listen: str) -> None:
    environ = {"NORTHGATE_MODE": "development", "NORTHGATE_DATA__LISTEN": listen}

    assert load(None, environ).data.listen.is_loopback


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example:8443", "http://127.0.0.1:1", "http://[::1]"]
)
def test_an_origin_is_kept_to_the_letter(url: str) -> None:
    assert load(None, {"NORTHGATE_PUBLIC_URL": url}).public_url == url


def test_nothing_in_the_tree_can_be_changed(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, WHOLE, {"GITHUB_TOKEN": "ghp"})

    with pytest.raises(ValidationError):
        settings.mode = "development"
    with pytest.raises(ValidationError):
        settings.limits.body_bytes = 1
    with pytest.raises(TypeError):
        settings.upstreams["b"] = settings.upstreams["files"]  # type: ignore[index]
    with pytest.raises(TypeError):
        load(None, {}).upstreams["b"] = settings.upstreams["files"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"NORTHGATE_ADMIN_URL": "http://localhost:8080"}, "admin_url"),
        ({"NORTHGATE_DATA__LISTEN": "127.0.0.1:9000"}, "data.listen"),
        ({"NORTHGATE_ADMIN__LISTEN": "127.0.0.1:9000"}, "admin.listen"),
        (
            {
                "NORTHGATE_UPSTREAMS__A__URL": "http://a",
                "NORTHGATE_UPSTREAMS__A__AUTH__BEARER": "t",
            },
            "upstreams.a.url",
        ),
    ],
)
def test_what_is_allowed_and_hardly_meant_is_a_warning(environ: dict[str, str], key: str) -> None:
    assert [one.key for one in load(None, environ).warnings] == [key]
