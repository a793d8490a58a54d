"""The facts of one question: who asks, from where, when, about which document."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.demands import Demands
from policies.dialect import read_policy
from policies.model import Entity, Fact
from policies.supplied import Caller, Named, caller_facts, document_facts

CI, ANN = Entity("Client", "ci"), Entity("User", "ann")
SERVER = Entity("Server", "files")

NOON = 1_767_614_400
"""2026-01-05 12:00:00 UTC, a Monday."""


def naming(predicate: str, place: int, *texts: str) -> Named:
    return {predicate: {place: frozenset(texts)}}


def caller_says(named: Named, caller: Caller, now: int = NOON) -> list[Fact]:
    """Return the facts beside those of delegation."""
    facts = caller_facts(named, caller, now)
    return [fact for fact in facts if fact.predicate not in ("acts_alone", "acts_for")]


def within(address: str, *ranges: str) -> list[str]:
    caller = Caller(CI, address=address)
    facts = caller_says(naming("source_address", 1, *ranges), caller)
    assert all(fact == Fact("source_address", (CI, fact.args[1])) for fact in facts)
    return [str(fact.args[1]) for fact in facts]


def moments(zone: str, now: int) -> dict[str, object]:
    named = {"hour_of_day": {0: frozenset({zone})}, "weekday": {0: frozenset({zone})}}
    facts = caller_says(named, Caller(ANN), now)
    assert all(fact.args[0] == zone for fact in facts)
    return {fact.predicate: fact.args[1] for fact in facts}


def at(zone: str, text: str, fold: int = 0) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return int(local.timestamp())


# Who asks.


@pytest.mark.parametrize(
    ("caller", "facts"),
    [
        (Caller(CI), [Fact("acts_alone", (CI,))]),
        (Caller(CI, "ann"), [Fact("acts_for", (CI, ANN))]),
        (Caller(ANN), []),
        (Caller(Entity("Team", "ops")), []),
    ],
)
def test_a_client_acts_alone_or_for_one_user_and_never_both(
    caller: Caller, facts: list[Fact]
) -> None:
    assert caller_facts({}, caller, NOON) == facts


def test_only_claims_that_the_policy_names_are_stated() -> None:
    claims = (("plan", "gold"), ("scope", "a"), ("scope", "b"), ("level", 3), ("beta", True))
    caller = Caller(CI, claims=claims)

    assert caller_says(naming("claim", 1, "scope", "level", "absent"), caller) == [
        Fact("claim", (CI, "scope", "a")),
        Fact("claim", (CI, "scope", "b")),
        Fact("claim", (CI, "level", 3)),
    ]
    assert caller_says({}, caller) == []
    assert caller_says(naming("claim", 2, "gold"), caller) == []


def test_what_a_policy_does_not_name_is_not_stated() -> None:
    caller = Caller(CI, claims=(("plan", "gold"),), address="10.0.0.1")

    assert caller_facts({}, caller, NOON) == [Fact("acts_alone", (CI,))]
    named = naming("claim", 1, "plan")
    assert caller_facts(named, caller, NOON)[1:] == [Fact("claim", (CI, "plan", "gold"))]


def test_what_the_gateway_states_is_what_the_policy_accepts() -> None:
    policy = """
    actor Client {}
    actor User {}
    resource Document { permissions = ["read"]; }
    has_permission(c: Client, "read", d: Document) if
      acts_for(c, _) and claim(c, "plan", "gold") and source_address(c, "10.0.0.0/8")
      and hour_of_day("UTC", h) and h >= 9 and weekday("UTC", 1)
      and uri_matches(d, "file:///srv/**") and uri_under(d, "file:///srv");
    """
    program = read_policy({"p.polar": policy})
    named = Demands.of(program).named
    document = Entity("Document", "files|file:///srv/a")
    caller = Caller(CI, "ann", (("plan", "gold"),), "10.1.1.1")

    facts = caller_facts(named, caller, NOON)
    facts += document_facts(named, document, SERVER, "file:///srv/a")

    useful = [fact for fact in facts if program.schema.table_of(fact) is not None]
    assert {fact.predicate for fact in useful} == {
        "acts_for", "claim", "source_address", "hour_of_day", "weekday", "uri_matches", "uri_under",
    }  # fmt: skip
    for fact in useful:
        program.schema.check(fact)


# From where.


@pytest.mark.parametrize(
    ("address", "text", "holds"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.255.255.255", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.4", "10.1.2.3", False),
        ("10.1.2.3", "0.0.0.0/0", True),
        ("10.1.2.3", "::/0", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("::1", "127.0.0.0/8", False),
        ("::1", "::1", True),
        ("::1", "0.0.0.0/0", False),
        ("2001:db8::5", "2001:db8::/32", True),
        ("2001:DB8:0::5", "2001:db8::/32", True),
        ("2001:db9::5", "2001:db8::/32", False),
        ("fe80::1%eth0", "fe80::/10", True),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("::ffff:11.1.2.3", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "::/0", False),
    ],
)
def test_an_address_is_within_a_range_of_its_own_kind(
    address: str, text: str, *, holds: bool
) -> None:
    assert within(address, text) == ([text] if holds else [])


@pytest.mark.parametrize(
    "address",
    ["", "localhost", "10.1.2", "10.1.2.3:80", "[::1]", "010.1.2.3", " 10.1.2.3", "10.1.2.3\n",
     "10.1.2.3/8", "0x0a010203", "167838211", "\u0661\u0660.1.2.3", "/run/gate.sock"],
)  # fmt: skip
def test_what_is_no_address_is_within_no_range(address: str) -> None:
    assert within(address, "0.0.0.0/0", "::/0", "10.0.0.0/8") == []


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.*", "10/8", "::1/0", "office"]
)
def test_what_is_no_range_holds_nobody(text: str) -> None:
    assert within("10.0.0.1", text) == []
    assert within("::1", text) == []


def test_an_address_is_within_every_range_that_holds_it() -> None:
    assert within("10.1.2.3", "10.1.0.0/16", "10.0.0.0/8", "10.2.0.0/16") == [
        "10.0.0.0/8",
        "10.1.0.0/16",
    ]


# When.


@pytest.mark.parametrize(
    ("zone", "now", "hour", "day"),
    [
        ("UTC", NOON, 12, 1),
        ("UTC", NOON - 12 * 3600, 0, 1),
        ("UTC", NOON - 12 * 3600 - 1, 23, 7),
        ("Europe/Berlin", NOON, 13, 1),
        ("America/Los_Angeles", NOON, 4, 1),
        ("Asia/Tokyo", NOON, 21, 1),
        ("Pacific/Kiritimati", NOON, 2, 2),
        ("Asia/Kathmandu", NOON, 17, 1),
        ("Pacific/Pago_Pago", NOON - 3600, 0, 1),
        ("Pacific/Pago_Pago", NOON - 3601, 23, 7),
        ("UTC", -1, 23, 3),
        ("UTC", 0, 0, 4),
    ],
)
def test_hour_and_day_are_those_of_the_zone(zone: str, now: int, hour: int, day: int) -> None:
    assert moments(zone, now) == {"hour_of_day": hour, "weekday": day}


def test_the_hour_that_the_clocks_skip_in_spring_never_is() -> None:
    before = at("Europe/Berlin", "2026-03-29T01:59:59")

    assert moments("Europe/Berlin", before)["hour_of_day"] == 1
    assert moments("Europe/Berlin", before + 1)["hour_of_day"] == 3
    assert moments("UTC", before + 1)["hour_of_day"] == 1


def test_the_hour_that_the_clocks_repeat_in_autumn_lasts_twice_as_long() -> None:
    first = at("Europe/Berlin", "2026-10-25T02:00:00")
    hours = [moments("Europe/Berlin", first + n * 1800)["hour_of_day"] for n in range(-1, 5)]

    assert hours == [1, 2, 2, 2, 2, 3]
    assert at("Europe/Berlin", "2026-10-25T02:00:00", fold=1) == first + 3600


def test_a_day_of_daylight_saving_begins_at_its_own_midnight() -> None:
    midnight = at("America/New_York", "2026-03-08T00:00:00")

    assert moments("America/New_York", midnight) == {"hour_of_day": 0, "weekday": 7}
    assert moments("America/New_York", midnight - 1) == {"hour_of_day": 23, "weekday": 6}
    assert moments("America/New_York", midnight + 23 * 3600) == {"hour_of_day": 0, "weekday": 1}


@pytest.mark.parametrize(
    "zone",
    ["", "Mars/Olympus", "Europe", "../etc/passwd", "/etc/localtime", "zone.tab", "a" * 300,
     "UTC\0", "Europe/Berlin ", "+01:00", "CET/"],
)  # fmt: skip
def test_an_unknown_zone_has_no_hour_and_no_day(zone: str) -> None:
    assert moments(zone, NOON) == {}


@pytest.mark.parametrize("now", [253_402_300_799, 2**40, 2**60, -(2**40), -62_135_596_800])
def test_a_moment_beyond_the_calendar_has_no_hour_and_raises_nothing(now: int) -> None:
    for zone in ("Asia/Tokyo", "America/New_York", "UTC"):
        assert set(moments(zone, now)) in ({"hour_of_day", "weekday"}, set())


def test_zones_are_stated_each_for_what_names_it() -> None:
    named = {
        "hour_of_day": {0: frozenset({"UTC", "Asia/Tokyo"})},
        "weekday": {0: frozenset({"Europe/Berlin"})},
    }

    assert caller_says(named, Caller(ANN)) == [
        Fact("hour_of_day", ("Asia/Tokyo", 21)),
        Fact("hour_of_day", ("UTC", 12)),
        Fact("weekday", ("Europe/Berlin", 1)),
    ]


# About which document.


def document_says(predicate: str, text: str, uri: str) -> bool:
    document = Entity("Document", f"files|{uri}")
    relation, *rest = document_facts(naming(predicate, 1, text), document, SERVER, uri)
    assert relation == Fact("has_relation", (document, "server", SERVER))
    assert rest in ([], [Fact(predicate, (document, text))])
    return bool(rest)


@pytest.mark.parametrize(
    ("prefix", "uri", "holds"),
    [
        ("file:///srv", "file:///srv", True),
        ("file:///srv", "file:///srv/a", True),
        ("file:///srv", "file:///srv/a/b", True),
        ("file:///srv", "file:///srv/", True),
        ("file:///srv", "file:///srv2", False),
        ("file:///srv", "file:///srv2/a", False),
        ("file:///srv", "file:///srv.bak", False),
        ("file:///srv", "file:///srv?x=/", False),
        ("file:///srv", "file:///SRV/a", False),
        ("file:///srv", "file:///", False),
        ("file:///srv/", "file:///srv/a", True),
        ("file:///srv/", "file:///srv/", True),
        ("file:///srv/", "file:///srv", False),
        ("file:///srv/", "file:///srv2/a", False),
        ("https://a.example", "https://a.example/x", True),
        ("https://a.example", "https://a.example.evil.test/x", False),
        ("https://a.example", "https://a.example:8443/x", False),
        ("https://a.example", "https://a.example@evil.test/x", False),
    ],
)
def test_a_uri_is_under_a_prefix_that_ends_where_a_segment_does(
    prefix: str, uri: str, *, holds: bool
) -> None:
    assert document_says("uri_under", prefix, uri) is holds


@pytest.mark.parametrize(
    ("glob", "uri", "holds"),
    [
        ("file:///srv/*", "file:///srv/a", True),
        ("file:///srv/*", "file:///srv/a/b", False),
        ("file:///srv/**", "file:///srv/a/b", True),
        ("file:///srv/*.md", "file:///srv/a.md", True),
        ("file:///srv/*.md", "file:///srv/a.md.exe", False),
        ("file:///srv/***", "file:///srv/a", False),
        ("srv/**", "file:///srv/a", False),
        ("file:///srv/**", "file:///srv/a\nb", False),
    ],
)
def test_a_uri_matches_a_glob_as_a_whole(glob: str, uri: str, *, holds: bool) -> None:
    assert document_says("uri_matches", glob, uri) is holds


def test_a_document_belongs_to_its_server_without_being_listed() -> None:
    document = Entity("Document", "files|file:///new")

    assert document_facts({}, document, SERVER, "file:///new") == [
        Fact("has_relation", (document, "server", SERVER))
    ]


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab", "a.", "%", "é", " ", ""]), max_size=4)


@given(SEGMENTS, SEGMENTS)
def test_under_a_prefix_is_just_what_has_its_segments_first(
    prefix: list[str], uri: list[str]
) -> None:
    under = "file://" + "".join(f"/{segment}" for segment in prefix)
    whole = "file://" + "".join(f"/{segment}" for segment in uri)

    if not under.endswith("/"):
        assert document_says("uri_under", under, whole) is (uri[: len(prefix)] == prefix)
