"""Settings files written for one test, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.config import Problem, Settings, SettingsError, load


def settings_of(
    directory: Path, text: str = "", environ: Mapping[str, str] | None = None
) -> Settings:
    return load(written(directory, text), environ or {})


def problems_of(
    directory: Path, text: str = "", environ: Mapping[str, str] | None = None
) -> list[Problem]:
    """Return what was wrong, with places in the file as `:line`."""
    path = written(directory, text)
    with pytest.raises(SettingsError) as caught:
        load(path, environ or {})
    return [
        Problem(one.key, one.message, one.where.removeprefix(str(path)))
        for one in caught.value.problems
    ]


def written(directory: Path, text: str) -> Path:
    path = directory / "northgate.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path
