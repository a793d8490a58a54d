"""T38: what is hidden and what is not there take the same way, and differ in no byte."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from policies.model import Entity, Fact
from policies.polar.engine import Engine
from storage.journal import Record
from tests.gateway.harness import Rig, gateway, may, shared
from tests.gateway.raw import ERAS, LEGACY, MODERN, Said
from tests.upstream.speaking import understood

FEW = "few"
FACTS = (
    may("ci", "caller", "Server", "up"),
    may(FEW, "caller", "Tool", "up__echo"),
    Fact("has_tag", (Entity("Tool", "up__fetch"), "guarded")),
    Fact("allowed_host", (Entity("Tool", "up__fetch"), "ok.example")),
    Fact("is_disabled", (Entity("Tool", "up__mirror"),)),
)

Ask = Callable[[Rig, str], Awaitable[Said]]


def calling(**arguments: object) -> Ask:
    async def ask(rig: Rig, name: str, version: str = MODERN) -> Said:
        params = {"name": name, "arguments": arguments}
        return await rig.ask("tools/call", params, version=version, client=FEW)

    return ask


def getting(version: str) -> Ask:
    async def ask(rig: Rig, name: str) -> Said:
        return await rig.ask("prompts/get", {"name": name}, version=version, client=FEW)

    return ask


def completing(version: str) -> Ask:
    async def ask(rig: Rig, name: str) -> Said:
        params = {"ref": {"type": "ref/prompt", "name": name}}
        return await rig.ask("completion/complete", params, version=version, client=FEW)

    return ask


# How it is asked for, what is hidden, and a name as long that nothing has.
PAIRS: dict[str, tuple[Ask, str, str]] = {
    "a tool": (calling(), "wipe", "mope"),
    "a tool with arguments": (calling(a=1, where="here"), "wipe", "mope"),
    "a guarded tool": (calling(), "fetch", "patch"),
    "a guarded tool, with what it tests": (calling(url="https://ok.example/"), "fetch", "patch"),
    "a guarded tool, with a look-alike": (calling(URL="x", url="y"), "fetch", "patch"),
    "a tool that mirrors": (calling(where="here"), "mirror", "errors"),
    "a prompt, modern": (getting(MODERN), "plot", "glum"),
    "a prompt, legacy": (getting(LEGACY), "plot", "glum"),
    "a completion, modern": (completing(MODERN), "plot", "glum"),
    "a completion, legacy": (completing(LEGACY), "plot", "glum"),
}

each_pair = pytest.mark.parametrize(("ask", "hidden", "absent"), PAIRS.values(), ids=PAIRS)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with shared(tmp_path_factory.mktemp("alike"), facts=FACTS) as rig:
        yield rig


@each_pair
def test_they_are_the_same_bytes_and_the_same_record(
    rig: Rig, ask: Ask, hidden: str, absent: str
) -> None:
    async def story() -> None:
        seen, records = rig.mark, len(rig.records())
        one, other = await ask(rig, hidden), await ask(rig, absent)
        first, second = (shape(record, hidden, absent) for record in rig.records()[records:])

        assert one.raw.replace(hidden.encode(), absent.encode()) == other.raw
        assert first == second
        assert rig.mark == seen

    rig.run(story())


def shape(record: Record, hidden: str, absent: str) -> str:
    """Return what *record* says, without what differs between any two records."""
    payload = dict(record.payload)
    # What a policy tests of a tool is nobody's business but the reader's of the record.
    for key in ("now", "facts", "silent_tests"):
        payload.pop(key, None)
    return repr(sorted(payload.items())).replace(hidden, absent)


@each_pair
def test_they_put_the_same_questions_to_the_engine(
    rig: Rig, ask: Ask, hidden: str, absent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()

    def counted(name: str) -> None:
        original = getattr(Engine, name)

        def count(self: Engine, *args: Any, **more: Any) -> Any:  # noqa: ANN401  as the original
            # Whether he may connect, the caller was perhaps told a moment ago.
            if not (name == "decide" and args[2].type == "Server"):
                asked[name] += 1
            return original(self, *args, **more)

        monkeypatch.setattr(Engine, name, count)

    async def questions(name: str) -> Counter[str]:
        asked.clear()
        await ask(rig, name)
        return Counter(asked)

    for name in ("decide", "select", "holds"):
        counted(name)
    one, other = rig.run(questions(hidden)), rig.run(questions(absent))

    assert one == other
    assert one["decide"] == 1
    assert one["select"] >= 1


@pytest.mark.parametrize("era", ERAS)
def test_they_make_the_upstream_be_asked_the_same(tmp_path: Path, era: str) -> None:
    async def requests(rig: Rig, name: str) -> list[str]:
        """Return what the upstream was asked until its catalogue was taken once more."""
        seen, before = rig.mark, rig.log.getvalue().count('"catalogue_refreshed"')
        async with asyncio.timeout(10):
            while rig.log.getvalue().count('"catalogue_refreshed"') == before:
                said = await rig.ask("tools/call", {"name": name}, version=era, client=FEW)
                assert said.code == -32602
                await asyncio.sleep(0.05)
        return [understood(raw)[0] for raw in rig.upstream.seen[seen:]]

    async def story() -> None:
        settings = {"catalogue.refresh_seconds": 1}
        async with gateway(tmp_path, settings=settings, facts=FACTS) as rig:
            hidden, absent = await requests(rig, "wipe"), await requests(rig, "mope")
            assert hidden == absent
            assert "tools/call" not in hidden

    asyncio.run(story())
