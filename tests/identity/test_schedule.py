"""Keys that change by themselves, each published long before it signs."""

from __future__ import annotations

import pytest

from proxy.identity.keyring import Keyring, KeyState, Plane
from proxy.identity.keys import Algorithm, generate
from proxy.identity.schedule import DAY_SECONDS, Schedule, Step
from tests.identity.workshop import MASTER, NOW

HOUR = 3_600
OVERLAP = DAY_SECONDS


def active() -> Keyring:
    return Keyring(Plane.DATA).prepare(generate(Algorithm.EDDSA), MASTER, NOW).rotate(NOW, OVERLAP)


def steps(schedule: Schedule, days: int) -> list[tuple[Step, int]]:
    """Return what was due, and after how many hours, if it is looked for every hour."""
    ring, found = active(), []
    for hour in range(24 * days):
        now = NOW + hour * HOUR
        match schedule.due(ring, now):
            case Step.PREPARE:
                ring = ring.prepare(generate(Algorithm.EDDSA), MASTER, now)
                found.append((Step.PREPARE, hour))
            case Step.ROTATE:
                ring = ring.rotate(now, OVERLAP)
                found.append((Step.ROTATE, hour))
    return found


@pytest.mark.parametrize(
    ("life", "prepared", "rotated"),
    [(90, 60 * 24, 83 * 24), (30, 15 * 24, 25 * 24), (1, 12, 20), (366, 336 * 24, 359 * 24)],
)
def test_a_key_is_prepared_at_half_its_life_and_signs_when_a_sixth_is_left(
    life: int, prepared: int, rotated: int
) -> None:
    found = steps(Schedule(life * DAY_SECONDS), life)

    assert found[:2] == [(Step.PREPARE, prepared), (Step.ROTATE, rotated)]


def test_it_goes_on_and_on() -> None:
    found = [step for step, _ in steps(Schedule(12 * DAY_SECONDS), 60)]

    assert found == [*[Step.PREPARE, Step.ROTATE] * 5, Step.PREPARE]


def test_a_life_of_nothing_is_without_an_end() -> None:
    assert Schedule(0).due(active(), NOW + 10**9) is None


def test_a_gateway_that_was_off_publishes_a_key_before_it_signs() -> None:
    schedule, late = Schedule(90 * DAY_SECONDS), NOW + 400 * DAY_SECONDS
    ring = active()
    assert schedule.due(ring, late) is Step.PREPARE

    ring = ring.prepare(generate(Algorithm.EDDSA), MASTER, late)

    assert schedule.due(ring, late + HOUR - 1) is None
    assert schedule.due(ring, late + HOUR) is Step.ROTATE


def test_a_clock_set_back_hurries_nothing() -> None:
    ring = active().prepare(generate(Algorithm.EDDSA), MASTER, NOW + 60 * DAY_SECONDS)

    assert Schedule(90 * DAY_SECONDS).due(ring, NOW - DAY_SECONDS) is None


def test_nothing_is_due_where_no_key_is_active() -> None:
    ring = Keyring(Plane.DATA).prepare(generate(Algorithm.EDDSA), MASTER, NOW)

    assert ring.in_state(KeyState.ACTIVE) is None
    assert Schedule(DAY_SECONDS).due(ring, NOW + 10**9) is None
