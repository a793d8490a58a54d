"""Headers that the settings have sent to an upstream: named rightly, and never shown (T09)."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import SettingsError
from tests.config.giving import settings_of

CANARY = "canary-3b77"
A = "upstreams.a.url = 'https://a.example/mcp'\n"


def test_a_header_comes_from_a_variable_a_file_or_the_settings_and_is_hidden(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "key"
    kept.write_text(f"{CANARY}-file\n", encoding="utf-8")
    kept.chmod(0o600)
    text = f"""
    [upstreams.a]
    url = "https://a.example/mcp"
    description = "For tests."
    headers = {{ "X-One" = "${{KEY}}", X-Two = "file:{kept}", "X-Three" = "{CANARY}-here" }}
    """

    settings = settings_of(tmp_path, text, {"KEY": f"{CANARY}-variable"})
    headers = settings.upstreams["a"].headers

    assert {name: one.reveal().decode() for name, one in headers.items()} == {
        "X-One": f"{CANARY}-variable",
        "X-Two": f"{CANARY}-file",
        "X-Three": f"{CANARY}-here",
    }
    shown = f"{settings!r} {settings.model_dump()!r} {settings.model_dump_json()}"
    assert CANARY not in shown
    assert "X-Three" in settings.model_dump_json()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("upstreams.a.headers.Host = 'x'", "The gateway sets this header itself"),
        ("upstreams.a.headers.Mcp-Session-Id = 'x'", "The gateway sets this header itself"),
        ('upstreams.a.headers."a b" = "x"', "A header's name is"),
        ("upstreams.a.headers.X = ' '", "A header's value is"),
        ("upstreams.a.headers.X = 'é'", "A header's value is"),
        (f"upstreams.a.headers.X = '{'x' * 9000}'", "A header's value is"),
        ("upstreams.a.headers.X = 1", "Write a text"),
        ("upstreams.a.headers.X = '${UNSET}'", "The variable UNSET is not set"),
        ("upstreams.a.headers = 'x'", "This is a table"),
        ("upstreams.a.headers.X = '1'\nupstreams.a.headers.x = '2'", "differ in the case"),
        ("\n".join(f"upstreams.a.headers.X-{n} = '1'" for n in range(33)), "At most 32"),
    ],
)
def test_a_header_that_cannot_be_sent_is_a_problem(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        settings_of(tmp_path, A + line)


def test_headers_belong_to_servers_on_the_web(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="It belongs to `http` and `sse`"):
        settings_of(
            tmp_path,
            "[upstreams.a]\ntransport = 'stdio'\ncommand = 'x'\nheaders.X = 'y'",
        )
