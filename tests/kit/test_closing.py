"""The word that the process ends reaches everybody who waits."""

import asyncio

from service.kit.closing import Closing
from service.kit.wake import Wake, woken


async def test_who_waits_wakes_up_and_sees_that_it_has_begun() -> None:
    wake = Wake()
    wake.attach()
    closing, event = Closing(wake), wake.subscribe("anything")
    assert not closing.begun
    closing.begin()
    await asyncio.wait_for(event.wait(), 5)
    assert closing.begun


async def test_a_lost_wake_costs_a_second_at_most() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await woken(asyncio.Event(), 60)
    assert 0.9 < loop.time() - begun < 5


async def test_a_set_event_costs_nothing() -> None:
    event = asyncio.Event()
    event.set()
    await asyncio.wait_for(woken(event, 60), 0.9)
