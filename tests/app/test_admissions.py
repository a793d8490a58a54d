"""How much one principal may do at once."""

from __future__ import annotations

from dataclasses import dataclass

from policies.model import Entity
from proxy.limits import REMEMBERED, Admission, Admissions

ONE, OTHER = Entity("Client", "one"), Entity("Client", "other")


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def admissions(clock: Clock, *, calls: int = 3, streams: int = 2) -> Admissions:
    return Admissions(calls_per_second=calls, streams=streams, clock=clock)


def test_a_second_holds_as_many_calls_as_the_limit_says_and_no_more() -> None:
    clock = Clock()
    limits = admissions(clock)

    outcomes = [limits.call(ONE) for _ in range(5)]

    assert outcomes == [
        Admission.ADMITTED,
        Admission.ADMITTED,
        Admission.ADMITTED,
        Admission.REFUSED,
        Admission.REFUSED_AGAIN,
    ]


def test_one_principal_does_not_use_up_what_another_may_do() -> None:
    limits = admissions(Clock(), calls=1)
    limits.call(ONE)

    assert limits.call(OTHER) is Admission.ADMITTED


def test_calls_come_back_with_time_up_to_one_seconds_worth() -> None:
    clock = Clock()
    limits = admissions(clock, calls=2)
    for _ in range(2):
        limits.call(ONE)
    clock.now += 0.5

    assert limits.call(ONE) is Admission.ADMITTED
    assert limits.call(ONE) is Admission.REFUSED

    clock.now += 3600

    assert [limits.call(ONE) for _ in range(3)] == [
        Admission.ADMITTED,
        Admission.ADMITTED,
        Admission.REFUSED,
    ]


def test_the_first_refusal_of_each_second_is_told_from_those_that_follow() -> None:
    clock = Clock()
    limits = admissions(clock, calls=1)
    limits.call(ONE)
    first = [limits.call(ONE) for _ in range(2)]
    clock.now += 1.0
    limits.call(ONE)

    assert first == [Admission.REFUSED, Admission.REFUSED_AGAIN]
    assert limits.call(ONE) is Admission.REFUSED


def test_paces_are_kept_of_no_more_principals_than_the_bound() -> None:
    limits = admissions(Clock(), calls=1)
    for number in range(REMEMBERED + 1):
        limits.call(Entity("Client", f"c{number}"))

    # Whoever was quiet longest starts anew, and the last one does not.
    assert limits.call(Entity("Client", f"c{REMEMBERED}")) is Admission.REFUSED
    assert limits.call(Entity("Client", "c0")) is Admission.ADMITTED


def test_streams_are_counted_until_they_are_closed() -> None:
    limits = admissions(Clock())

    assert [limits.open_stream(ONE) for _ in range(3)] == [True, True, False]
    assert limits.open_stream(OTHER)

    limits.close_stream(ONE)

    assert limits.open_stream(ONE)
