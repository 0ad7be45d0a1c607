"""The word that the process ends reaches everybody who waits."""

import asyncio

from service.kit.concurrency.wake import Wake
from service.kit.process.shutdown import Closing


async def test_who_waits_wakes_up_and_sees_that_it_has_begun() -> None:
    wake = Wake()
    wake.attach()
    closing, event = Closing(wake), wake.subscribe("anything")
    assert not closing.begun
    closing.begin()
    await asyncio.wait_for(event.wait(), 5)
    assert closing.begun
