"""The README tells the truth about what can be set, measured and logged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config import reference
from proxy.telemetry.reference import events_table, metrics_table

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(
    ("name", "table"),
    [("settings", reference()), ("metrics", metrics_table()), ("events", events_table())],
)
def test_the_table_in_the_readme_is_the_one_that_the_code_makes(name: str, table: str) -> None:
    text = README.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name}: begin -->\n(.*?)<!-- {name}: end -->", text, re.DOTALL)

    assert found is not None
    assert found[1].strip() == table.strip()
