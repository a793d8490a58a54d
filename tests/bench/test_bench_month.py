"""A small month by the same way as the great one, and all of its proof."""

from __future__ import annotations

from pathlib import Path

from bench.month.making import make
from bench.month.proof import UNCHANGED, prove
from bench.month.rules import EDITS
from bench.month.world import Size
from policies.replay import Difference

SMALL = Size(800, clients=12, users=6, servers=3, changes=8)
TURNS = 2


def test_replay_agrees_with_deciding_from_scratch_on_every_decision_of_a_month(
    tmp_path: Path,
) -> None:
    month = make(tmp_path / "data", SMALL, 3, lambda _: None)

    findings = prove(month, lambda _: None, TURNS)

    assert month.decisions >= SMALL.decisions
    assert [problem for one in findings.values() for problem in one.wrong] == []
    assert findings.keys() == {UNCHANGED, *EDITS}
    changes = {Difference.NEWLY_ALLOWED, Difference.NEWLY_DENIED, Difference.CANNOT_TELL}
    assert not changes & findings[UNCHANGED].counts.keys()
    assert all(changes & findings[name].counts.keys() for name in EDITS)
