"""Policy bundles: naming by content, refusing what is broken, swapping under load."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from policies.bundle import (
    ActiveBundle,
    Bundle,
    BundleError,
    FailedTestsError,
    load,
    read_sources,
    version_of,
)
from policies.facts import FactSet
from policies.model import Entity, Fact
from policies.polar.engine import Engine
from policies.polar.source import PolicyError

TYPES = """\
actor User {}
resource Tool { roles = ["caller"]; permissions = ["read", "write"]; }
"""
READS = """\
has_permission(u: User, "read", t: Tool) if has_role(u, "caller", t);
"""
WRITES = """\
has_permission(u: User, "write", t: Tool) if has_role(u, "caller", t);
"""
TESTS = """\
test "a stranger may do nothing" {
  assert_not allow(User{"eve"}, action: String, Tool{"t"});
}
"""
GOOD = {"rules.polar": READS, "tests.polar": TESTS, "types.polar": TYPES}


def written(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Make *folder* hold just *files*."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.rglob("*.polar"):
        old.unlink()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def test_the_version_depends_on_neither_place_nor_order(tmp_path: Path) -> None:
    here = read_sources([written(tmp_path / "a", GOOD)])
    there = read_sources([written(tmp_path / "b" / "c", dict(reversed(GOOD.items())))])

    assert load(here).version == load(there).version
    assert version_of(dict(reversed(here.items()))) == version_of(here)
    assert version_of(GOOD) == version_of(here)
    assert re.fullmatch("sha256:[0-9a-f]{64}", version_of(here))


@pytest.mark.parametrize(
    "changed",
    [
        {"a.polar": "xy", "b.polar": "Z"},
        {"a.polar": "xyz", "b.polar": ""},
        {"a.polar": "x", "b.polar": "yz"},
        {"a.polar": "xy", "c.polar": "z"},
        {"a.polar": "z", "b.polar": "xy"},
        {"a.polarb.polar": "xyz"},
        {"a.polarxyb.polar": "z"},
        {"a.polar": "xyb.polarz"},
        {"a.polar": "xy", "b.polar": "z", "c.polar": ""},
        {"a.polar": "xy"},
        {},
    ],
)
def test_any_change_of_names_or_contents_changes_the_version(changed: Mapping[str, str]) -> None:
    assert version_of(changed) != version_of({"a.polar": "xy", "b.polar": "z"})


def test_a_bundle_keeps_the_text_it_was_made_of(tmp_path: Path) -> None:
    bundle = load(read_sources([written(tmp_path, GOOD)]))

    assert bundle.sources == GOOD
    assert bundle.version == version_of(bundle.sources)
    assert [test.name for test in bundle.program.tests] == ["a stranger may do nothing"]


def test_r08_a_policy_broken_at_the_start_is_refused_with_all_problems() -> None:
    broken: dict[str, str | bytes] = {
        "a.polar": TYPES + "has_permission(u: User, ;\n",
        "b.polar": 'x(u: Usr) if y(u);\ntest "t" { }\n',
        "c.polar": b"# \xff\n",
    }

    with pytest.raises(PolicyError) as caught:
        load(broken)

    places = {str(problem.span) for problem in caught.value.problems}
    assert {"a.polar:3", "b.polar:1", "b.polar:2", "c.polar:1"} <= places


@pytest.mark.parametrize(
    "sources",
    [
        {},
        {"a.polar": ""},
        {"a.polar": "# nothing\n"},
        {"a.polar": 'actor User {}\nresource Tool { roles = ["caller"]; }\n'},
        {"a.polar": TYPES.replace('permissions = ["read", "write"];', "") + "x(u: User) if y(u);"},
    ],
)
def test_a_policy_that_could_never_allow_anything_is_refused(sources: Mapping[str, str]) -> None:
    with pytest.raises(BundleError):
        load(sources)


@pytest.mark.parametrize(
    "rules",
    ["", 'allow(_: User, "x", _: Tool);', 'allow(u: User, "x", t: Tool) if y(u, t);'],
)
def test_a_policy_that_may_allow_something_is_accepted(rules: str) -> None:
    load({"a.polar": TYPES + rules})


def test_r09_a_policy_that_breaks_its_own_test_is_refused_with_the_case() -> None:
    wrong = READS.replace('if has_role(u, "caller", t)', "").replace("u: User", "_: User")

    with pytest.raises(FailedTestsError) as caught:
        load({**GOOD, "rules.polar": wrong.replace("t: Tool", "_: Tool")})

    message = str(caught.value)
    assert 'test "a stranger may do nothing": tests.polar:2: `allow(User{"eve"}' in message
    assert "rules.polar:1" in message
    assert not caught.value.report.passed


def test_tests_are_not_run_where_they_are_not_wanted() -> None:
    failing = 'test "t" { assert allow(User{"eve"}, "read", Tool{"t"}); }'

    load({**GOOD, "more.polar": failing}, tested=False)


def test_what_is_not_portable_loads_only_where_that_is_allowed() -> None:
    rule = 'allow(u: User, "write", t: Tool) if y(u, t) and not (x(u) and z(t));'
    sources = {**GOOD, "more.polar": rule}

    load(sources, portable=False)
    with pytest.raises(PolicyError, match="not-portable"):
        load(sources)


def test_a_bundle_is_replaced_by_a_good_one() -> None:
    active = ActiveBundle(load(GOOD))

    swapped = active.replace({**GOOD, "rules.polar": WRITES})

    assert active.current is swapped
    assert active.current.sources["rules.polar"] == WRITES
    assert active.failure is None


def test_the_same_content_does_not_make_another_bundle() -> None:
    first = load(GOOD)
    active = ActiveBundle(first)

    assert active.replace(dict(reversed(GOOD.items()))) is first


def test_r09_a_policy_that_breaks_a_case_is_never_swapped_in() -> None:
    first = load(GOOD)
    active = ActiveBundle(first)
    open_to_all = 'has_permission(_: User, "read", _: Tool);'

    with pytest.raises(FailedTestsError):
        active.replace({**GOOD, "rules.polar": open_to_all})

    assert active.current is first
    assert "a stranger may do nothing" in str(active.failure)
    assert "tests.polar:2" in str(active.failure)


def test_a_failure_is_remembered_until_a_success() -> None:
    active = ActiveBundle(load(GOOD))
    unread = BundleError(["/policies: gone"])

    states: list[dict[str, str] | BundleError] = [unread, {**GOOD, "rules.polar": "bad("}, GOOD]
    remembered = []
    for state in states:
        active.follow(state)
        remembered.append(type(active.failure))

    assert remembered == [BundleError, PolicyError, type(None)]


def test_the_old_bundle_stays_even_if_loading_fails_for_no_good_reason() -> None:
    def exhausted(_: Mapping[str, str | bytes]) -> Bundle:
        raise MemoryError

    first = load(GOOD)
    active = ActiveBundle(first, exhausted)

    active.follow({**GOOD, "rules.polar": WRITES})

    assert active.current is first
    assert isinstance(active.failure, MemoryError)


def test_the_options_of_the_first_load_can_hold_for_every_later_one() -> None:
    active = ActiveBundle(load(GOOD), partial(load, tested=False))

    active.replace(
        {**GOOD, "more.polar": 'test "t" { assert x(1); } y(t: Tool) if x(n) and z(t, n);'}
    )

    assert active.failure is None


ANN, TOOL = Entity("User", "ann"), Entity("Tool", "t")
FACTS = FactSet.of("setup", [Fact("has_role", (ANN, "caller", TOOL))])
READING = {**GOOD, "more.polar": "# reads\n"}
WRITING = {**GOOD, "rules.polar": WRITES, "more.polar": "# writes\n"}


def decided(bundle: Bundle) -> tuple[str, bool, bool]:
    """Return the version with what it allows."""
    engine = Engine(bundle.program, FACTS)
    reads, writes = (engine.decide(ANN, action, TOOL).allowed for action in ("read", "write"))
    return bundle.version, reads, writes


class Deciders:
    """Threads that decide with whatever bundle is active, and all that they saw."""

    def __init__(self, active: ActiveBundle, threads: int) -> None:
        self.seen: set[tuple[str, bool, bool]] = set()
        self.errors: list[Exception] = []
        self._rounds = 0
        self._round_over = threading.Condition()
        self._active = active
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._decide) for _ in range(threads)]

    def _decide(self) -> None:
        while not self._done.is_set():
            try:
                self.seen.add(decided(self._active.current))
            except Exception as error:  # noqa: BLE001 - any at all fails the test
                self.errors.append(error)
            with self._round_over:
                self._rounds += 1
                self._round_over.notify_all()

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._done.set()
            for thread in self._threads:
                thread.join(timeout=20)

    def wait(self) -> None:
        """Return once some decision that began after this call has been made."""
        with self._round_over:
            enough = self._rounds + len(self._threads) + 1
            assert self._round_over.wait_for(lambda: self._rounds >= enough, timeout=20)


def cut(text: str, chance: random.Random) -> bytes:
    """Return *text* as it is halfway through being written: it ends inside a statement."""
    return text[: chance.randrange(1, text.rindex(";"))].encode() + b' and x("'


def garbled(text: str, chance: random.Random) -> bytes:
    broken = bytearray(text.encode())
    broken[chance.randrange(len(broken))] = chance.choice([0x00, 0xFF, 0x1B])
    return bytes(broken)


def foreign(text: str, chance: random.Random) -> bytes:
    return (
        chance.choice(["{{ template }}\n", "<<<<<<< HEAD\n", "allow(a.b);\n"]).encode()
        + text.encode()
    )


DAMAGE: list[Callable[[str, random.Random], bytes]] = [cut, garbled, foreign]


def damaged(chance: random.Random) -> dict[str, str | bytes]:
    """Return a set of files one of which is corrupt or half-written."""
    files: dict[str, str | bytes] = dict(chance.choice([READING, WRITING]))
    name = chance.choice(["rules.polar", "types.polar"])
    files[name] = chance.choice(DAMAGE)(str(files[name]), chance)
    return files


def test_r07_fifty_damaged_sets_change_nothing_for_those_who_decide(tmp_path: Path) -> None:
    chance = random.Random(7)
    active = ActiveBundle(load(read_sources([written(tmp_path, READING)])))
    reading, writing = version_of(READING), version_of(WRITING)
    deciders = Deciders(active, threads=4)

    with deciders.running():
        for round_ in range(50):
            before = active.current
            with pytest.raises(PolicyError) as caught:
                active.replace(read_sources([written(tmp_path, damaged(chance))]))
            assert active.current is before
            assert active.failure is caught.value
            assert re.match(r"(rules|types)\.polar:\d+:\d+: error", str(caught.value))
            deciders.wait()
            if round_ % 5 == 4:
                good = WRITING if before.version == reading else READING
                active.replace(read_sources([written(tmp_path, good)]))
                deciders.wait()

    assert deciders.errors == []
    assert deciders.seen == {(reading, True, False), (writing, False, True)}


def test_r07_swaps_from_several_threads_leave_one_whole_bundle() -> None:
    active = ActiveBundle(load(READING))
    deciders = Deciders(active, threads=2)

    def swap(sources: Mapping[str, str]) -> None:
        for _ in range(10):
            active.follow(sources)
            active.follow({"broken.polar": "allow("})

    with deciders.running():
        swappers = [threading.Thread(target=swap, args=(s,)) for s in (READING, WRITING)]
        for thread in swappers:
            thread.start()
        for thread in swappers:
            thread.join(timeout=20)
        deciders.wait()

    assert deciders.errors == []
    assert decided(active.current) in deciders.seen
    assert deciders.seen <= {
        (version_of(READING), True, False),
        (version_of(WRITING), False, True),
    }
    assert isinstance(active.failure, PolicyError)
