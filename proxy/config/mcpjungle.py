"""MCPJungle's environment variables, understood where they mean the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from proxy.config.entries import Given
from proxy.config.environment import typed
from proxy.config.problems import Problem
from proxy.config.shape import Leaf, Table, shape

_MODES = {"production": "enterprise"}
LONGEST_IDLE_SECONDS = 30 * 86_400
_BOOLEANS = {"1": "true", "0": "false"}


def _mode(text: str) -> str:
    return _MODES.get(text.lower(), text.lower())


def _boolean(text: str) -> str:
    return _BOOLEANS.get(text, text)


def _idle(text: str) -> str:
    # There both mean never; the longest that there is here comes nearest.
    return str(LONGEST_IDLE_SECONDS) if text in {"-1", "0"} else text


SAME: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "SERVER_MODE": ("mode", _mode),
    "PORT": ("data.listen", "127.0.0.1:{}".format),
    "OTEL_ENABLED": ("telemetry.metrics", _boolean),
    "SESSION_IDLE_TIMEOUT_SEC": ("limits.session_idle_seconds", _idle),
}
"""Variables that mean one setting each, and how their texts are put in our terms."""

IGNORED: Mapping[str, str] = {
    "MCP_SERVER_INIT_REQ_TIMEOUT_SEC": "Set limits.connect_seconds and limits.call_seconds.",
    "MCPJUNGLE_IMAGE_TAG": "It names an image of MCPJungle; remove it.",
    "HOST_PORT": "Set data.listen, and publish that port.",
}
"""Variables without a meaning here, and what to do instead."""

_POSTGRES = ("POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB")
_FILES = ("POSTGRES_USER_FILE", "POSTGRES_PASSWORD_FILE", "POSTGRES_DB_FILE")

VARIABLES = frozenset(
    {*SAME, *IGNORED, *_POSTGRES, *_FILES, "DATABASE_URL", "POSTGRES_HOST", "SQLITE_DB_PATH"}
)
"""All that are known here."""


def read_foreign(environ: Mapping[str, str]) -> tuple[Given, list[Problem]]:
    """Return what MCPJungle's variables give, and warnings about those that give nothing."""
    given = Given()
    for variable, (key, meaning) in SAME.items():
        if environ.get(variable):
            _take(given, key, meaning(environ[variable]), variable)
    database = _database(environ, given)
    if database is not None:
        variable, url = database
        _take(given, "database.url", url, variable)
    warnings = [
        Problem("", f"This variable means nothing here. {advice}", variable)
        for variable, advice in IGNORED.items()
        if variable in environ
    ]
    return given, warnings + _without_host(environ)


def _take(given: Given, key: str, text: str, variable: str) -> None:
    path = tuple(key.split("."))
    node: Table | Leaf = shape()
    for part in path:
        if isinstance(node, Table):
            node = node.parts[part]
    value = typed(text, node) if isinstance(node, Leaf) else text
    given.take(value, node, path, lambda _: variable)


def _database(environ: Mapping[str, str], given: Given) -> tuple[str, str] | None:
    """Return variable and URL, in MCPJungle's order of precedence."""
    if environ.get("DATABASE_URL"):
        return "DATABASE_URL", environ["DATABASE_URL"]
    if environ.get("POSTGRES_HOST"):
        return "POSTGRES_HOST", _postgres(environ, given)
    if environ.get("SQLITE_DB_PATH"):
        return "SQLITE_DB_PATH", f"sqlite:///{environ['SQLITE_DB_PATH']}"
    return None


def _postgres(environ: Mapping[str, str], given: Given) -> str:
    user = _plain_or_file(environ, "POSTGRES_USER", given) or "postgres"
    password = _plain_or_file(environ, "POSTGRES_PASSWORD", given)
    name = _plain_or_file(environ, "POSTGRES_DB", given) or "postgres"
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    port = environ.get("POSTGRES_PORT") or "5432"
    return f"postgresql://{login}@{environ['POSTGRES_HOST']}:{port}/{quote(name, safe='')}"


def _plain_or_file(environ: Mapping[str, str], variable: str, given: Given) -> str:
    if environ.get(variable):
        return environ[variable]
    path = environ.get(f"{variable}_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        message = "The file that this variable names cannot be read."
        given.problems.append(Problem("database.url", message, f"{variable}_FILE"))
        return ""


def _without_host(environ: Mapping[str, str]) -> list[Problem]:
    if environ.get("POSTGRES_HOST"):
        return []
    message = "This variable counts only with POSTGRES_HOST. Set database.url."
    return [Problem("", message, name) for name in (*_POSTGRES, *_FILES) if name in environ]
