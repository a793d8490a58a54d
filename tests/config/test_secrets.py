"""No secret of the settings shows where it should not (T09), nor lies open unremarked."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config import Settings, SettingsError, load
from tests.config.giving import settings_of, written

CANARY = "canary-7f3a"

HOLDING = f"""
database.url = "postgresql://gate:{CANARY}@db.example/gate"
[pdp]
kind = "oso_cloud"
url = "https://oso.example"
api_key = "{CANARY}"
[upstreams.web]
url = "https://web.example"
auth.bearer = "{CANARY}"
[upstreams.files]
transport = "stdio"
command = "npx"
env.TOKEN = "{CANARY}"
"""

VIEWS: list[Callable[[Settings], object]] = [
    repr,
    str,
    "{}".format,
    Settings.model_dump_json,
    lambda settings: repr(settings.model_dump()),
    lambda settings: json.dumps(settings.model_dump(), default=str),
    lambda settings: repr(settings.upstreams["files"].env),
    lambda settings: str(dict(settings)),
]


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_of_the_settings_shows_a_secret(
    tmp_path: Path, view: Callable[[Settings], object]
) -> None:
    settings = settings_of(tmp_path, HOLDING)

    assert settings.upstreams["files"].env["TOKEN"].reveal() == CANARY.encode()
    assert CANARY not in str(view(settings))


def test_settings_with_a_secret_are_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="neither copied nor pickled"):
        pickle.dumps(settings_of(tmp_path, HOLDING))


MISPLACED = [
    'mode = "{}"',
    'public_url = "https://u:{}@a"',
    'data.listen = "{}"',
    'data.allowed_hosts = ["{} "]',
    'support_contact = "{}\\n"',
    'database.url = "mysql://u:{}@h/d"',
    'upstreams.a.url = "https://u:{}@a"',
    'upstreams.a.auth.bearer = "Bearer {}"',
    'upstreams.a.auth.bearer = ["{}"]',
    'upstreams.a.transport = "{}"',
    'limits = "{}"',
    'limits.body_bytes = "{}"',
    "mode = {}",
    '"{}',
    "= {}",
]


@pytest.mark.parametrize("text", MISPLACED)
def test_no_error_repeats_a_value_that_might_be_a_secret(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, text.format(CANARY))
    with pytest.raises(SettingsError) as caught:
        load(path, {})

    error = caught.value
    shown = "".join(traceback.format_exception(error))
    logging.getLogger("test").error("refused", exc_info=error)

    assert (error.__cause__, error.__context__) == (None, None)
    assert CANARY not in shown + repr(error) + repr(error.problems) + caplog.text


def test_a_secret_comes_from_a_variable_a_file_or_between_other_text(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("from-file\n", encoding="utf-8")
    kept.chmod(0o600)
    text = f"""
    database.url = "postgres://gate:${{PASSWORD}}@db/gate"
    [upstreams.a]
    url = "https://a"
    auth.bearer = "file:{kept}"
    [upstreams.b]
    url = "https://b"
    auth.bearer = "${{TOKEN}}"
    """

    settings = settings_of(tmp_path, text, {"PASSWORD": "p", "TOKEN": "${PASSWORD}"})
    bearers = [one.auth.bearer for one in settings.upstreams.values()]

    assert settings.database.url.reveal() == b"postgresql://gate:p@db/gate"
    assert [one.reveal() for one in bearers if one] == [b"from-file", b"${PASSWORD}"]
    assert settings.warnings == ()


@pytest.mark.parametrize(("size", "reason"), [(0, "is empty"), (70_000, "is over 64 KiB")])
def test_a_file_that_holds_no_secret_is_a_problem(tmp_path: Path, size: int, reason: str) -> None:
    kept = tmp_path / "token"
    kept.write_bytes(b"x" * size)

    with pytest.raises(SettingsError, match=reason):
        settings_of(
            tmp_path, f'upstreams.a.url = "https://a"\nupstreams.a.auth.bearer = "file:{kept}"'
        )


@pytest.mark.parametrize(
    ("setting", "mode", "is_warned"),
    [
        ('upstreams.a.auth.bearer = "t"', 0o640, True),
        ('upstreams.a.auth.bearer = "t"', 0o604, True),
        ('upstreams.a.auth.bearer = "t"', 0o600, False),
        ('upstreams.a.auth.bearer = "${TOKEN}"', 0o644, False),
        ('database.url = "postgresql://u:p@h/d"', 0o644, True),
        ('database.url = "postgresql://u:${TOKEN}@h/d"', 0o644, False),
        ('database.url = "sqlite:///a.db"', 0o644, False),
        ('mode = "enterprise"', 0o644, False),
    ],
)
def test_a_settings_file_is_warned_of_when_others_may_read_a_secret_in_it(
    tmp_path: Path, setting: str, mode: int, *, is_warned: bool
) -> None:
    path = written(tmp_path, f"upstreams.a.url = 'https://a'\n{setting}")
    path.chmod(mode)

    warnings = load(path, {"TOKEN": "t"}).warnings

    assert [one.where for one in warnings] == ([str(path)] if is_warned else [])


def test_a_secret_file_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("t", encoding="utf-8")
    kept.chmod(0o644)
    environ = {
        "NORTHGATE_UPSTREAMS__A__URL": "https://a",
        "NORTHGATE_UPSTREAMS__A__AUTH__BEARER": f"file:{kept}",
    }

    (warning,) = load(None, environ).warnings

    assert (warning.key, warning.where) == ("upstreams.a.auth.bearer", str(kept))
