"""The benchmark of the journal runs and checks what it measured; times are not judged."""

from __future__ import annotations

import pytest

from bench import journal
from bench.__main__ import BENCHMARKS


def test_a_quick_run_measures_the_journal_and_the_bare_disk() -> None:
    report = BENCHMARKS["journal"](True)  # noqa: FBT003  as the table calls it

    for callers in (journal.ALONE, journal.MANY, journal.CROWD):
        ours = report.timing(journal.acknowledge(callers), 0, journal.OURS)
        assert ours.calls >= callers
        assert 0 < ours.p50_us <= ours.p99_us
        assert report.setting[f"acknowledged a second, {callers} waiting"] > 0
    assert report.took(journal.VERIFIED) > 0
    for aim in report.aims:
        assert aim.met == (aim.measured <= aim.limit)


def test_a_journal_that_lost_records_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "read", lambda _: iter(()))

    with pytest.raises(journal.LostRecordsError):
        journal.run(quick=True)
