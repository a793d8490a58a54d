"""Following a directory: how soon a change is told, and that no half-written state ever is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from policies.bundle import ActiveBundle, BundleError, load, read_sources, version_of
from policies.polar.source import PolicyError
from policies.watch import Found, settled, watch

TYPES = 'actor User {}\nresource Tool { roles = ["caller"]; permissions = ["read", "write"]; }\n'
READS = 'has_permission(u: User, "read", t: Tool) if has_role(u, "caller", t);\n'
WRITES = 'has_permission(u: User, "write", t: Tool) if has_role(u, "caller", t);\n'
GOOD = {"types.polar": TYPES, "rules.polar": READS}
SECONDS = 20


class Told:
    """What the watcher told, in order, and a way to wait for more of it."""

    def __init__(self, then: Callable[[Found], None]) -> None:
        self.found: list[Found] = []
        self._then = then
        self._more = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, found: Found) -> None:
        self._then(found)
        self.found.append(found)
        self._loop.call_soon_threadsafe(self._more.set)

    async def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> float:
        """Wait for *condition*, which only what is told can change; return how long that took."""
        start = self._loop.time()
        async with asyncio.timeout(seconds):
            while not condition():
                await self._more.wait()
                self._more.clear()
        return self._loop.time() - start


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[tuple[ActiveBundle, Told]]:
    """Watch *folder* into a bundle that starts with what is there."""
    active = ActiveBundle(load(read_sources([folder])))
    told = Told(active.follow)
    task = asyncio.create_task(watch(folder, told, active.current.version))
    try:
        yield active, told
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def policies(folder: Path, files: dict[str, str] = GOOD) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def rename_over(path: Path, text: str) -> None:
    """Write as editors do: a new file beside the old one, renamed into its place."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text)
    draft.rename(path)


def test_a_change_is_active_within_a_second(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")

    async def scenario() -> list[float]:
        async with watching(folder) as (active, told):
            taken = []
            # The best of a few, as the machine may be busy with something else for one of them.
            for text in (WRITES, READS, WRITES, READS + WRITES, READS):
                rename_over(folder / "rules.polar", text)
                wanted = version_of({**GOOD, "rules.polar": text})
                taken.append(await told.until(lambda: active.current.version == wanted))  # noqa: B023
            return taken

    assert min(asyncio.run(scenario())) < 1


def test_a_file_written_in_pieces_is_taken_only_whole(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")
    pieces = [
        f'allow(u: User, "action {n}", t: Tool) if has_role(u, "caller", t);\n' for n in range(300)
    ]

    async def scenario() -> list[Found]:
        async with watching(folder) as (active, told):
            with (folder / "rules.polar").open("w") as file:
                for piece in pieces:
                    # Each state in between is a policy that parses.
                    file.write(piece)
                    file.flush()
                    await asyncio.to_thread(read_sources, [folder])
            wanted = version_of({**GOOD, "rules.polar": "".join(pieces)})
            await told.until(lambda: active.current.version == wanted)
            return told.found

    [found] = asyncio.run(scenario())
    assert not isinstance(found, BundleError)
    assert found["rules.polar"] == "".join(pieces).encode()


def test_a_directory_has_settled_only_when_a_pause_changed_nothing(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies", {"a.polar": ""})
    pieces = ["one;", "two;", "three;"]
    waiting = iter(pieces)

    async def write_some_more(_seconds: float) -> None:
        piece = next(waiting, "")
        if piece:
            with (folder / "a.polar").open("a") as file:
                file.write(piece)

    found, _ = asyncio.run(settled(folder, write_some_more))

    assert found == {"a.polar": b"one;two;three;"}
    assert next(waiting, None) is None


def test_a_file_rewritten_with_the_same_text_has_not_settled(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies", {"a.polar": "same;"})
    pauses = 0

    async def rewrite_once(_seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 1:
            rename_over(folder / "a.polar", "same;")

    asyncio.run(settled(folder, rewrite_once))

    assert pauses == 2


def test_a_file_renamed_during_the_pause_is_found_once(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies", {"a.polar": "a;"})

    async def exchange(_seconds: float) -> None:
        if (folder / "a.polar").exists():
            (folder / "a.polar").rename(folder / "b.polar")

    found, _ = asyncio.run(settled(folder, exchange))

    assert found == {"b.polar": b"a;"}


def test_a_removed_file_is_no_longer_part_of_the_policy(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies", {**GOOD, "more.polar": WRITES})

    async def scenario() -> None:
        async with watching(folder) as (active, told):
            (folder / "more.polar").unlink()
            await told.until(lambda: "more.polar" not in active.current.sources)

    asyncio.run(scenario())


def test_when_every_file_is_removed_the_old_policy_stays_with_a_failure(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")

    async def scenario() -> tuple[str, str]:
        async with watching(folder) as (active, told):
            for path in folder.iterdir():
                path.unlink()
            await told.until(lambda: active.failure is not None)
            return active.current.version, str(active.failure)

    version, failure = asyncio.run(scenario())
    assert version == version_of(GOOD)
    assert "there is no .polar file here" in failure


def test_r07_a_broken_edit_keeps_the_old_policy_until_it_is_mended(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")

    async def scenario() -> tuple[str, Exception | None]:
        async with watching(folder) as (active, told):
            rename_over(folder / "rules.polar", "has_permission(u: User,\n")
            await told.until(lambda: active.failure is not None)
            broken = active.current.version, active.failure
            rename_over(folder / "rules.polar", READS)
            await told.until(lambda: active.failure is None)
            return broken

    version, failure = asyncio.run(scenario())
    assert version == version_of(GOOD)
    assert isinstance(failure, PolicyError)
    assert str(failure).startswith("rules.polar:1:")


def test_a_directory_that_is_put_in_the_place_of_another_is_followed(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")
    policies(tmp_path / "next", {**GOOD, "rules.polar": WRITES})

    async def scenario() -> None:
        async with watching(folder) as (active, told):
            folder.rename(tmp_path / "old")
            (tmp_path / "next").rename(folder)
            await told.until(lambda: active.current.sources["rules.polar"] == WRITES)
            rename_over(folder / "rules.polar", READS)
            await told.until(lambda: active.current.version == version_of(GOOD))

    asyncio.run(scenario())


def test_a_directory_that_comes_back_is_followed_again(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")

    async def scenario() -> str:
        async with watching(folder) as (active, told):
            shutil.rmtree(folder)
            await told.until(lambda: active.failure is not None)
            gone = str(active.failure)
            policies(folder, {**GOOD, "rules.polar": WRITES})
            await told.until(lambda: active.failure is None)
            assert active.current.sources["rules.polar"] == WRITES
            return gone

    assert asyncio.run(scenario()) == f"{folder}: this cannot be read: No such file or directory."


def test_a_mounted_directory_whose_data_link_moves_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    for number, text in enumerate((READS, WRITES)):
        policies(folder / f"..data_{number}", {**GOOD, "rules.polar": text})
    (folder / "..data").symlink_to("..data_0")
    for name in GOOD:
        (folder / name).symlink_to(f"..data/{name}")

    async def scenario() -> None:
        async with watching(folder) as (active, told):
            (folder / "..data_tmp").symlink_to("..data_1")
            (folder / "..data_tmp").rename(folder / "..data")
            await told.until(lambda: active.current.sources["rules.polar"] == WRITES)

    asyncio.run(scenario())


def test_a_change_from_before_the_watch_began_is_told(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")

    async def scenario() -> Found:
        told = Told(lambda _: None)
        task = asyncio.create_task(watch(folder, told, known="sha256:older"))
        await told.until(lambda: bool(told.found))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return told.found[0]

    assert asyncio.run(scenario()) == {name: text.encode() for name, text in GOOD.items()}


def test_what_is_known_already_is_not_told(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")

    async def scenario() -> None:
        async with watching(folder) as (_, told):
            rename_over(folder / "rules.polar", READS)
            with pytest.raises(TimeoutError):
                await told.until(lambda: bool(told.found), seconds=0.8)

    asyncio.run(scenario())


def test_a_lasting_failure_is_told_once(tmp_path: Path) -> None:
    folder = policies(tmp_path / "policies")

    async def scenario() -> None:
        async with watching(folder) as (_, told):
            shutil.rmtree(folder)
            await told.until(lambda: len(told.found) == 1)
            with pytest.raises(TimeoutError):
                await told.until(lambda: len(told.found) > 1, seconds=1.2)

    asyncio.run(scenario())
