"""One look for all who ask, and none that began before somebody asked (T02)."""

from __future__ import annotations

import asyncio

from proxy.identity.lookout import Lookout


class Looks:
    """What is looked at: when each look began, and how long each takes."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.began: list[float] = []
        self.seconds = seconds
        self.running = 0

    async def look(self) -> None:
        self.began.append(asyncio.get_running_loop().time())
        self.running += 1
        assert self.running == 1
        await asyncio.sleep(self.seconds)
        self.running -= 1


def test_a_flood_costs_one_look_in_a_pause_and_nobody_gets_an_older_one() -> None:
    async def story() -> Looks:
        looks = Looks(0.01)
        lookout = Lookout(looks.look, pause=0.05)
        loop = asyncio.get_running_loop()

        async def ask(delay: float) -> None:
            await asyncio.sleep(delay)
            asked = loop.time()
            await lookout.look_again()
            assert any(asked <= began <= loop.time() for began in looks.began)

        await asyncio.gather(*(ask(n / 20_000) for n in range(4_000)))
        return looks

    looks = asyncio.run(story())
    pauses = [later - earlier for earlier, later in zip(looks.began, looks.began[1:], strict=False)]

    assert 2 <= len(looks.began) <= 30
    assert min(pauses) >= 0.049


def test_the_first_who_asks_does_not_wait() -> None:
    async def story() -> float:
        loop, lookout = asyncio.get_running_loop(), Lookout(Looks().look, pause=60)
        began = loop.time()
        await lookout.look_again()
        return loop.time() - began

    assert asyncio.run(story()) < 1


def test_whoever_leaves_does_not_take_the_look_from_others() -> None:
    async def story() -> int:
        looks = Looks(0.02)
        lookout = Lookout(looks.look, pause=0)
        leaving, staying = (asyncio.ensure_future(lookout.look_again()) for _ in range(2))
        await asyncio.sleep(0.005)
        leaving.cancel()
        await staying
        return len(looks.began)

    assert asyncio.run(story()) == 1


def test_nobody_waits_for_a_look_that_hangs_and_no_look_is_added_to_it() -> None:
    async def story() -> int:
        looks = Looks(60)
        lookout = Lookout(looks.look, pause=0, patience=0.02)
        for _ in range(3):
            await asyncio.gather(*(lookout.look_again() for _ in range(100)))
        return len(looks.began)

    assert asyncio.run(story()) == 1


def test_a_look_that_fails_tells_all_who_asked_and_the_next_is_another() -> None:
    async def story() -> int:
        count = 0

        async def look() -> None:
            nonlocal count
            count += 1
            if count == 1:
                raise ValueError("once")

        lookout = Lookout(look, pause=0)
        told = await asyncio.gather(
            *(lookout.look_again() for _ in range(3)), return_exceptions=True
        )
        assert [type(one) for one in told] == [ValueError] * 3
        await lookout.look_again()
        return count

    assert asyncio.run(story()) == 2
