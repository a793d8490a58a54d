"""One plane's tokens while its keys change, here and in another process (T10, R19)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.identity.claims import LEEWAY_SECONDS
from proxy.identity.issue import TokenRequest
from proxy.identity.keyfile import KeyringChangedError
from proxy.identity.keyring import KeyState, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType, Principal
from proxy.identity.refusal import Reason
from tests.identity.workshop import ENDPOINT, GATEWAY, MASTER, Clock, outcome, text_of

LIFE = 3_600


class Workers:
    """Two workers of one machine, which share a key file and a clock, and what they issued."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.path = directory / "keys" / "data.json"
        self.both = [self.worker(), self.worker()]
        self.valid: list[tuple[str, float]] = []
        self.dead: list[str] = []

    def worker(self) -> TokenPlane:
        return TokenPlane(Plane.DATA, GATEWAY, self.path, MASTER, self.clock, longest_life=LIFE)

    def issue(self, worker: int, life: int = LIFE) -> str:
        wanted = TokenRequest(ActorType.CLIENT, "ci", ENDPOINT, life)
        token = text_of(self.both[worker].issuer.issue(wanted))
        self.valid.append((token, self.clock.now + life))
        return token

    def check(self) -> None:
        """See that both workers take every valid token, and none that is dead."""
        self.valid = [(token, end) for token, end in self.valid if end > self.clock.now]
        for plane in self.both:
            found = [outcome(plane.verifier, token) for token, _ in self.valid]
            assert [one for one in found if not isinstance(one, Principal)] == []
            dead = [outcome(plane.verifier, token) for token in self.dead]
            assert [one for one in dead if isinstance(one, Principal)] == []
        kids = [{key["kid"] for key in plane.jwks()["keys"]} for plane in self.both]
        assert kids[0] == kids[1]

    def revoke(self, key_id: str) -> None:
        """Take note that what *key_id* signed is valid no more."""
        for token, _ in self.valid:
            found = outcome(self.both[0].verifier, token)
            if isinstance(found, Principal) and found.key_id == key_id:
                self.dead.append(token)
        self.valid = [(token, end) for token, end in self.valid if token not in self.dead]

    def key_in(self, state: KeyState) -> str:
        found = self.both[0].keyring.in_state(state)
        assert found is not None
        return found.key_id


def test_r19_twelve_steps_refuse_no_valid_token_and_take_no_revoked_one(tmp_path: Path) -> None:
    async def story() -> None:
        site = Workers(tmp_path)
        here, there = site.both

        def used() -> None:
            site.issue(0)
            site.issue(1)
            site.check()

        used()  # 1: both sign with the first key
        await here.carry_out(await here.plan_preparation())  # 2
        used()
        site.clock.now += 600
        await there.carry_out(await there.plan_rotation(None))  # 3: the other worker rotates
        used()
        site.clock.now += LIFE - 1  # 4: the first key's last tokens end
        used()
        site.clock.now += LEEWAY_SECONDS + 1  # 5: and then itself
        used()
        await here.carry_out(await here.plan_rotation(Algorithm.ES256))  # 6: with none prepared
        used()
        await there.carry_out(await there.plan_preparation())  # 7
        used()
        retired = site.key_in(KeyState.RETIRED)
        site.revoke(retired)
        await here.carry_out(here.plan_revocation(retired))  # 8: a retired key leaks
        there.reload()
        used()
        active = site.key_in(KeyState.ACTIVE)
        site.revoke(active)
        await there.carry_out(there.plan_revocation(active))  # 9: the active one
        here.reload()
        used()
        assert site.key_in(KeyState.ACTIVE) != active
        await here.carry_out(await here.plan_rotation(Algorithm.RS256))  # 10
        used()
        site.clock.now += 2 * LIFE  # 11: everything has ended
        site.check()
        assert site.valid == []
        used()
        site.both[1] = site.worker()  # 12: a worker starts anew
        used()
        assert len(site.dead) >= 4

    asyncio.run(story())


def told(tmp_path: Path, story: Callable[[Workers], Awaitable[None]]) -> None:
    async def run() -> None:
        await story(Workers(tmp_path))

    asyncio.run(run())


def test_of_two_changes_at_once_one_is_made(tmp_path: Path) -> None:
    async def story(site: Workers) -> None:
        plans = [await plane.plan_rotation(None) for plane in site.both]
        done = await asyncio.gather(
            *(plane.carry_out(plan) for plane, plan in zip(site.both, plans, strict=True)),
            return_exceptions=True,
        )
        assert [type(one) for one in done if one is not None] == [KeyringChangedError]
        assert site.both[0].keyring == site.both[1].keyring
        assert [key.state for key in site.both[0].keyring.keys] == [
            KeyState.RETIRED,
            KeyState.ACTIVE,
        ]

    told(tmp_path, story)


def test_t02_unknown_keys_cause_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Workers) -> None:
        stranger = Workers(tmp_path / "elsewhere").issue(0)
        read: list[Path] = []

        def noted(path: Path) -> str:
            read.append(path)
            return path.read_text()

        monkeypatch.setattr("proxy.identity.keyfile.private_text", noted)
        plane = site.both[0]
        found = {outcome(plane.verifier, stranger) for _ in range(10_000)}
        assert found == {Reason.KEY_UNKNOWN}
        assert read == []
        await site.both[1].carry_out(await site.both[1].plan_rotation(None))
        read.clear()
        found = {outcome(plane.verifier, stranger) for _ in range(10_000)}
        assert (found, len(read)) == ({Reason.KEY_UNKNOWN}, 1)

    told(tmp_path, story)


@pytest.mark.parametrize("damage", ["", "{", "gone"])
def test_a_key_file_that_cannot_be_read_any_more_changes_nothing(
    tmp_path: Path, damage: str
) -> None:
    async def story(site: Workers) -> None:
        before = site.issue(0)
        if damage == "gone":
            site.path.unlink()
        else:
            site.path.write_text(damage)
        assert isinstance(outcome(site.both[0].verifier, before), Principal)
        assert isinstance(outcome(site.both[1].verifier, site.issue(0)), Principal)
        assert site.both[0].jwks()["keys"]

    told(tmp_path, story)


def test_whoever_leaves_meanwhile_leaves_a_whole_change(tmp_path: Path) -> None:
    async def story(site: Workers) -> None:
        plane = site.both[0]
        plan = await plane.plan_rotation(None)
        going = asyncio.ensure_future(plane.carry_out(plan))
        await asyncio.sleep(0)
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
        async with asyncio.timeout(5):
            while plane.keyring != plan.after:  # noqa: ASYNC110  the change has no event
                await asyncio.sleep(0.001)
        site.issue(0)
        site.check()

    told(tmp_path, story)
