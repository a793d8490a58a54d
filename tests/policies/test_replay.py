"""What another policy would have made of the past: the truth, or that nobody can tell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from policies.recorded import UnreadableError, recorded
from policies.replay import Difference
from proxy.audit import Arguments
from tests.policies.replayed import (
    POLICY,
    Decided,
    World,
    bundle,
    decided,
    journalled,
    replaying,
    world,
)

CALLS: Final = 160
RULE: Final = 'has_permission(c: Client, "call", t: Tool) if\n  has_role(c, "caller", t) and '

EDITS: Final[dict[str, str]] = {
    "nothing is tested any more": POLICY + f"{RULE}not is_suspended(c);\n",
    "nobody is suspended": POLICY.replace(" and not is_suspended(c)", ""),
    "leases give nothing": POLICY.replace("time < until", "time < 0 and until > 0"),
    "leases have ended": POLICY.replace("time < until", "time >= until"),
    "writing is free": POLICY.replace('"mode", "read"', '"mode", "write"'),
    "another directory": POLICY.replace('"/srv"', '"/etc"'),
    "hosts are not looked at": POLICY.replace(
        'allowed_host(t, h) and argument_host(t, "url", h)', "allowed_host(t, _)"
    ),
    "forced calls": POLICY.replace("not argument_present", "argument_present"),
    "another claim": POLICY.replace('"scope", "all"', '"scope", "some"'),
    "another network": POLICY.replace("10.0.0.0/8", "192.0.2.0/24"),
    "a day later": POLICY.replace('"UTC", 1', '"UTC", 2'),
    "other tools by pattern": POLICY.replace("*__safe", "*__run"),
    "few at once": POLICY + f'{RULE}argument(t, "limit", n) and n < 10;\n',
    "for users too": POLICY.replace("acts_alone(c) and ", ""),
    "connecting is denied": POLICY.replace('"connect" if "caller";', ""),
}
"""Policies that differ from the first in one thing."""


def recorded_world(directory: Path, seed: int, keep: Arguments) -> tuple[World, list[Decided], Any]:
    found, first = world(seed, CALLS), bundle(POLICY)
    grounds = [found.grounds(first, version) for version in range(len(found.facts))]
    some = [decided(asked, grounds[asked.version]) for asked in found.asked]
    return found, some, journalled(directory, some, first.program.words, keep)


@pytest.mark.parametrize(("keep", "reveals"), [("facts", True), ("facts", False), ("full", True)])
def test_the_policy_of_then_changes_nothing(
    tmp_path: Path, keep: Arguments, *, reveals: bool
) -> None:
    found, _, records = recorded_world(tmp_path, 1, keep)
    first = bundle(POLICY)
    replay = replaying(found, first, first, reveals=reveals)

    differences = Counter(replay.compare(record.payload).difference for record in records)

    assert differences.keys() <= {Difference.UNCHANGED, Difference.CANNOT_TELL}
    if reveals:
        assert differences == {Difference.UNCHANGED: CALLS}


@pytest.mark.parametrize("edit", EDITS)
def test_what_an_edit_changes_is_what_deciding_from_scratch_gives(
    tmp_path: Path, edit: str
) -> None:
    count = check_edit(tmp_path, edit, "facts", seed=2)

    # Somewhere it makes a difference, and most of what it makes can be told.
    assert count[Difference.UNCHANGED] < CALLS
    assert count[Difference.CANNOT_TELL] < CALLS / 2


@pytest.mark.parametrize("keep", ["full", "digest"])
def test_with_whole_arguments_more_can_be_told_and_with_none_less(
    tmp_path: Path, keep: Arguments
) -> None:
    told = check_edit(tmp_path, "few at once", keep, seed=2)[Difference.CANNOT_TELL]

    assert told == 0 if keep == "full" else told > CALLS / 10


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(3, 23))
@pytest.mark.parametrize("edit", EDITS)
def test_it_does_in_many_worlds(tmp_path: Path, edit: str, seed: int) -> None:
    for keep in ("facts", "full", "digest"):
        check_edit(tmp_path / keep, edit, keep, seed=seed)


def check_edit(directory: Path, edit: str, keep: Arguments, seed: int) -> Counter[Difference]:
    found, some, records = recorded_world(directory, seed, keep)
    first, candidate = bundle(POLICY), bundle(EDITS[edit])
    grounds = [found.grounds(candidate, version) for version in range(len(found.facts))]
    fresh = [decided(asked, grounds[asked.version]) for asked in found.asked]
    for reveals in (False, True):
        count = Counter[Difference]()
        replay = replaying(found, first, candidate, reveals=reveals)
        for record, was, now in zip(records, some, fresh, strict=True):
            difference = replay.compare(record.payload).difference
            count[difference] += 1
            assert difference in {truth(was, now), Difference.CANNOT_TELL}
    return count


def truth(was: Decided, now: Decided) -> Difference:
    """Return the difference between two decisions on one call, as records show it.

    A denial to connect says nothing of the call that was wanted: only whether connecting is
    allowed is compared with it.
    """
    before = was.decision.allowed
    after = now.decision.allowed
    if was.subject.action == "connect":
        after = now.subject.action != "connect"
    if before is after:
        return Difference.UNCHANGED
    return Difference.NEWLY_ALLOWED if after else Difference.NEWLY_DENIED


def test_a_record_that_is_no_decision_is_refused_by_name() -> None:
    found, first = world(5, 1), bundle(POLICY)
    replay = replaying(found, first, first, reveals=True)

    with pytest.raises(UnreadableError, match="fact_version"):
        replay.compare({"principal": {}})
    with pytest.raises(UnreadableError, match="KeyError"):
        recorded({"principal": {}})
