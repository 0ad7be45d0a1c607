"""The word that the process ends reaches everybody who waits."""

import asyncio

from service.kit.concurrency.wake import Shutdown, Wake


async def test_who_waits_wakes_up_and_sees_that_it_has_begun() -> None:
    wake = Wake()
    wake.attach()
    shutdown, event = Shutdown(wake), wake.subscribe("anything")
    assert not shutdown.begun
    shutdown.begin()
    await asyncio.wait_for(event.wait(), 5)
    assert shutdown.begun
