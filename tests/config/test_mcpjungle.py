"""MCPJungle's variables mean here what they meant there, and never overrule ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import Settings, SettingsError, load
from proxy.config.mcpjungle import IGNORED
from tests.config.giving import settings_of


def database(settings: Settings) -> str:
    return settings.database.url.reveal().decode()


@pytest.mark.parametrize(
    ("text", "mode"),
    [("Development", "development"), ("production", "enterprise"), ("ENTERPRISE", "enterprise")],
)
def test_server_mode_is_read_in_any_case_and_production_is_enterprise(text: str, mode: str) -> None:
    assert load(None, {"SERVER_MODE": text}).mode == mode


def test_port_keeps_to_loopback() -> None:
    assert str(load(None, {"PORT": "9000"}).data.listen) == "127.0.0.1:9000"


@pytest.mark.parametrize(("text", "is_on"), [("1", True), ("true", True), ("0", False)])
def test_otel_enabled_turns_metrics_on_and_off(text: str, *, is_on: bool) -> None:
    assert load(None, {"OTEL_ENABLED": text}).telemetry.metrics is is_on


@pytest.mark.parametrize(("text", "seconds"), [("60", 60), ("0", 2_592_000), ("-1", 2_592_000)])
def test_sessions_that_were_never_to_end_are_kept_as_long_as_there_is(
    text: str, seconds: int
) -> None:
    settings = load(None, {"SESSION_IDLE_TIMEOUT_SEC": text})

    assert settings.limits.session_idle_seconds == seconds


def test_databases_are_taken_in_its_order() -> None:
    environ = {
        "SQLITE_DB_PATH": "/a.db",
        "POSTGRES_HOST": "db",
        "POSTGRES_PASSWORD": "p@:/",
        "DATABASE_URL": "postgres://u@h/d",
    }

    assert database(load(None, environ)) == "postgresql://u@h/d"
    del environ["DATABASE_URL"]
    assert database(load(None, environ)) == "postgresql://postgres:p%40%3A%2F@db:5432/postgres"
    del environ["POSTGRES_HOST"], environ["POSTGRES_PASSWORD"]
    assert database(load(None, environ)) == "sqlite:////a.db"


def test_postgres_files_are_trimmed_and_a_plain_variable_wins(tmp_path: Path) -> None:
    kept = tmp_path / "secret"
    kept.write_text(" from-file \n", encoding="utf-8")
    environ = {"POSTGRES_HOST": "db", "POSTGRES_USER": "me", "POSTGRES_DB": "d"}
    files = {"POSTGRES_USER_FILE": str(kept), "POSTGRES_PASSWORD_FILE": str(kept)}

    assert database(load(None, environ | files)) == "postgresql://me:from-file@db:5432/d"


def test_a_postgres_file_that_cannot_be_read_is_a_problem() -> None:
    with pytest.raises(SettingsError, match="POSTGRES_PASSWORD_FILE: "):
        load(None, {"POSTGRES_HOST": "db", "POSTGRES_PASSWORD_FILE": "/absent"})


@pytest.mark.parametrize("ours", ["file", "variable"])
def test_ours_wins_and_a_differing_one_is_warned_of(tmp_path: Path, ours: str) -> None:
    text = 'mode = "enterprise"' if ours == "file" else ""
    environ = {"NORTHGATE_MODE": "enterprise"} if ours == "variable" else {}

    settings = settings_of(tmp_path, text, environ | {"SERVER_MODE": "development"})

    assert settings.mode == "enterprise"
    assert [(one.key, one.where) for one in settings.warnings] == [("mode", "SERVER_MODE")]


def test_one_that_says_the_same_is_not_warned_of() -> None:
    environ = {"NORTHGATE_DATABASE__URL": "postgresql://h/d", "DATABASE_URL": "postgres://h/d"}

    assert load(None, environ).warnings == ()


@pytest.mark.parametrize("variable", [*IGNORED, "POSTGRES_PASSWORD"])
def test_one_without_a_meaning_is_ignored_with_advice(variable: str) -> None:
    settings = load(None, {variable: "7"})

    (warning,) = settings.warnings
    assert warning.where == variable
    assert settings.model_copy(update={"warnings": ()}).model_dump() == load(None, {}).model_dump()
