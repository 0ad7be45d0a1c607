"""Who sleeps until there may be something to see: at once after a wake, and rarely while nothing happens."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.kit.concurrency.wake import Sleeper, Wake


@contextmanager
def _sleeping(wake: Wake, *, often: bool = False) -> Iterator[Sleeper]:
    sleeper = Sleeper(wake, "here", often=often)
    try:
        yield sleeper
    finally:
        sleeper.end()


def _wake(sweep: float) -> Wake:
    wake = Wake()
    wake.attach()
    wake.sweep_seconds = sweep
    return wake


async def _slept(sleeper: Sleeper, at_most: float = 60) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    sleeper.reset()
    await sleeper.sleep(at_most)
    return loop.time() - begun


async def test_a_wake_ends_it_at_once() -> None:
    wake = _wake(60)
    with _sleeping(wake) as sleeper:
        asyncio.get_running_loop().call_later(0.05, wake.notify, ["here"])
        assert await _slept(sleeper) < 0.9


async def test_a_wake_that_came_since_the_look_costs_nothing() -> None:
    wake = _wake(60)
    with _sleeping(wake) as sleeper:
        sleeper.reset()
        wake.notify(["here"])
        await asyncio.sleep(0)
        await asyncio.wait_for(sleeper.sleep(60), 0.9)


async def test_a_lost_wake_costs_a_second_at_most_where_none_is_certain() -> None:
    with _sleeping(_wake(1)) as sleeper:
        assert sum([await _slept(sleeper), await _slept(sleeper)]) < 2.5


async def test_while_nothing_happens_it_looks_ever_more_rarely_and_after_a_wake_soon_again() -> None:
    wake = _wake(10)
    with _sleeping(wake) as sleeper:
        pauses = []
        for _ in range(6):
            pauses.append(sleeper.every)
            sleeper.back_off()
        assert pauses == [1, 2, 4, 8, 10, 10]
        wake.notify(["here"])
        await _slept_without_look(sleeper)
        assert sleeper.every == 1


async def test_one_that_is_not_woken_by_everything_looks_every_second() -> None:
    with _sleeping(_wake(10), often=True) as sleeper:
        for _ in range(6):
            sleeper.back_off()
        assert sleeper.every == 1


async def _slept_without_look(sleeper: Sleeper) -> None:
    await asyncio.wait_for(sleeper.sleep(60), 0.9)


async def test_sleepers_of_one_topic_look_together() -> None:
    wake = _wake(0.2)
    loop = asyncio.get_running_loop()
    looks: list[float] = []

    async def one(late: float) -> None:
        await asyncio.sleep(late)
        with _sleeping(wake) as sleeper:
            await _slept(sleeper)
            looks.append(loop.time())

    await asyncio.sleep(wake.sweep_seconds - (loop.time() % wake.sweep_seconds))
    await asyncio.gather(*(one(0.001 * n) for n in range(20)))
    assert len({round(look, 1) for look in looks}) <= 2
