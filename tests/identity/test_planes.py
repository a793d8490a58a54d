"""One plane's tokens while its keys change, here and in another process (T10, R19)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.identity.claims import LEEWAY_SECONDS
from proxy.identity.issue import TokenRequest
from proxy.identity.keptring import KeyringChangedError
from proxy.identity.keyring import Keyring, KeyState, Plane
from proxy.identity.keys import Algorithm
from proxy.identity.planes import TokenPlane
from proxy.identity.principal import ActorType, Principal
from proxy.identity.refusal import Reason
from storage.engine import open_database
from storage.secrets import SecretLedger
from tests.identity.sharing import sharing
from tests.identity.workshop import ENDPOINT, GATEWAY, MASTER, Clock, outcome, text_of
from tests.storage.state.places import Place, statements

LIFE = 3_600


class Processes:
    """Two processes that share a database and a clock, and the tokens that they issued."""

    def __init__(self, secrets: list[SecretLedger]) -> None:
        self.clock = Clock()
        self.secrets = secrets
        self.both: list[TokenPlane] = []
        self.valid: list[tuple[str, float]] = []
        self.dead: list[str] = []

    async def plane(self, number: int) -> TokenPlane:
        return await TokenPlane.opened(
            Plane.DATA, GATEWAY, self.secrets[number], MASTER, self.clock, longest_life=LIFE
        )

    def issue(self, number: int, life: int = LIFE) -> str:
        wanted = TokenRequest(ActorType.CLIENT, "ci", ENDPOINT, life)
        token = text_of(self.both[number].issuer.issue(wanted))
        self.valid.append((token, self.clock.now + life))
        return token

    async def check(self) -> None:
        """See that both processes take every valid token, and none that is dead."""
        self.valid = [(token, end) for token, end in self.valid if end > self.clock.now]
        for plane in self.both:
            found = [await identified(plane, token) for token, _ in self.valid]
            assert [one for one in found if not isinstance(one, Principal)] == []
            dead = [await identified(plane, token) for token in self.dead]
            assert [one for one in dead if isinstance(one, Principal)] == []

    async def followed(self) -> None:
        """Let both know what the other did, and see that they publish the same keys."""
        for plane in self.both:
            await plane.reload()
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


async def identified(plane: TokenPlane, token: str) -> Principal | Reason:
    """Return who shows *token*, as whoever receives one finds out; but nobody waits here."""
    found = outcome(plane.verifier, token)
    if found is Reason.KEY_UNKNOWN:
        await plane.reload()
        found = outcome(plane.verifier, token)
    return found


def told(place: Place, story: Callable[[Processes], Awaitable[None]]) -> None:
    async def run() -> None:
        async with sharing(place) as secrets:
            site = Processes(secrets)
            site.both = [await site.plane(number) for number in range(2)]
            await story(site)

    asyncio.run(run())


def test_t10_twelve_steps_refuse_no_valid_token_and_take_no_revoked_one(place: Place) -> None:
    async def story(site: Processes) -> None:
        here, there = site.both

        async def used() -> None:
            """Use tokens of both, before and after each has heard of the other."""
            for _ in range(2):
                site.issue(0)
                site.issue(1)
                await site.check()
                await site.followed()

        await used()  # 1: both sign with the first key
        await here.carry_out(await here.plan_preparation())  # 2
        await used()
        site.clock.now += 600
        await there.carry_out(await there.plan_rotation(None))  # 3: the other process rotates
        await used()
        site.clock.now += LIFE - 1  # 4: the first key's last tokens end
        await used()
        site.clock.now += LEEWAY_SECONDS + 1  # 5: and then itself
        await used()
        await here.carry_out(await here.plan_rotation(Algorithm.ES256))  # 6: with none prepared
        await used()
        await there.carry_out(await there.plan_preparation())  # 7
        await used()
        retired = site.key_in(KeyState.RETIRED)
        site.revoke(retired)
        await here.carry_out(await here.plan_revocation(retired))  # 8: a retired key leaks
        await site.followed()
        await used()
        active = site.key_in(KeyState.ACTIVE)
        site.revoke(active)
        await there.carry_out(await there.plan_revocation(active))  # 9: the active one
        await site.followed()
        await used()
        assert site.key_in(KeyState.ACTIVE) != active
        await here.carry_out(await here.plan_rotation(Algorithm.RS256))  # 10
        await used()
        site.clock.now += 2 * LIFE  # 11: everything has ended
        await site.check()
        assert site.valid == []
        await used()
        site.both[1] = await site.plane(1)  # 12: a process starts anew
        await used()
        assert len(site.dead) >= 4

    told(place, story)


def test_r19_a_token_under_a_key_not_heard_of_yet_is_good_once_looked_for(place: Place) -> None:
    async def story(site: Processes) -> None:
        here, there = site.both
        await there.carry_out(await there.plan_rotation(None))
        token = site.issue(1)
        assert outcome(here.verifier, token) is Reason.KEY_UNKNOWN
        await asyncio.gather(*(here.verifier.look_again() for _ in range(100)))
        assert isinstance(outcome(here.verifier, token), Principal)

    told(place, story)


def test_t02_nobody_looks_for_a_key_that_was_revoked(place: Place) -> None:
    async def story(site: Processes) -> None:
        here, there = site.both
        token = site.issue(0)
        await there.carry_out(await there.plan_revocation(site.key_in(KeyState.ACTIVE)))
        await here.reload()
        assert {outcome(plane.verifier, token) for plane in site.both} == {Reason.KEY_ENDED}

    told(place, story)


def test_t02_ten_thousand_unknown_keys_cost_one_reading(place: Place) -> None:
    async def story(site: Processes) -> None:
        plane = site.both[0]
        with statements() as seen:
            await asyncio.gather(*(plane.verifier.look_again() for _ in range(10_000)))
        assert len([one for one in seen if "secrets" in one]) == 1

    told(place, story)


def test_of_two_changes_at_once_one_is_made(place: Place) -> None:
    async def story(site: Processes) -> None:
        plans = [await plane.plan_rotation(None) for plane in site.both]
        done = await asyncio.gather(
            *(plane.carry_out(plan) for plane, plan in zip(site.both, plans, strict=True)),
            return_exceptions=True,
        )
        assert [type(one) for one in done if one is not None] == [KeyringChangedError]
        await site.followed()
        assert site.both[0].keyring == site.both[1].keyring
        assert [key.state for key in site.both[0].keyring.keys] == [
            KeyState.RETIRED,
            KeyState.ACTIVE,
        ]

    told(place, story)


def test_whoever_wants_to_know_hears_of_each_change_wherever_it_was_made(place: Place) -> None:
    async def story(site: Processes) -> None:
        here, there = site.both
        heard: list[Keyring] = []
        here.on_change = heard.append
        await here.carry_out(await here.plan_rotation(None))
        await there.reload()
        await there.carry_out(await there.plan_rotation(None))
        await here.reload()
        await here.reload()
        assert heard == [heard[0], there.keyring]

    told(place, story)


@pytest.mark.parametrize("damage", ["", "{", None])
def test_keys_that_cannot_be_read_any_more_change_nothing(place: Place, damage: str | None) -> None:
    async def story(site: Processes) -> None:
        here, there = site.both
        before, kept = site.issue(0), await site.secrets[0].read("keyring:data")
        await site.secrets[0].replace("keyring:data", kept, damage)
        await here.verifier.look_again()
        assert isinstance(outcome(here.verifier, before), Principal)
        assert isinstance(outcome(there.verifier, site.issue(0)), Principal)
        assert here.jwks()["keys"]

    told(place, story)


def test_while_the_database_is_out_of_reach_an_unknown_key_stays_unknown(place: Place) -> None:
    async def story(site: Processes) -> None:
        here, there = site.both
        known = site.issue(1)
        await there.carry_out(await there.plan_rotation(None))
        await here.reload()
        database = await open_database(place.url)
        last = await TokenPlane.opened(
            Plane.DATA,
            GATEWAY,
            SecretLedger(database, site.clock),
            MASTER,
            site.clock,
            longest_life=LIFE,
        )
        await here.carry_out(await here.plan_rotation(None))
        await database.close()
        token = site.issue(0)
        await last.verifier.look_again()
        assert outcome(last.verifier, token) is Reason.KEY_UNKNOWN
        assert isinstance(outcome(last.verifier, known), Principal)

    told(place, story)


def test_whoever_leaves_meanwhile_leaves_a_whole_change(place: Place) -> None:
    async def story(site: Processes) -> None:
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
        await site.check()

    told(place, story)
