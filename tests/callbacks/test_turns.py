"""When stored callbacks have their turn, and what uses up their tries."""

from datetime import timedelta

from service.callbacks.process import claim_callbacks
from service.kit.db.database import Database
from tests.detections.rows import World, world
from tests.detections.scripted import asc, job

DONE = {"said": "ai"}


async def _waiting(database: Database) -> World:
    """A run that its vendor has taken."""
    here = world(database, asc(submits=[job("j1", 20)]))
    here.submit("asc")
    await here.dispatch()
    return here


async def test_a_wake_looks_at_no_parked_callback(database: Database) -> None:
    here = await _waiting(database)
    here.arrive("other-product", DONE)
    await here.callbacks()
    here.clock.turn(3600)
    assert await here.processor.step() is False
    assert here.callback_states() == ["parked"]
    assert await here.processor.expire() is False
    assert here.callback_states() == ["ignored"]


async def test_a_claim_whose_process_ended_before_it_could_try_uses_up_no_try(database: Database) -> None:
    here = await _waiting(database)
    here.arrive(here.run().id, {"said": "running"})
    for _ in range(5):  # five processes in turn claim it, and are killed before they think about it
        claimed = await database.write(
            claim_callbacks, now=here.clock(), lease_until=here.clock() + timedelta(seconds=30), limit=5
        )
        assert len(claimed) == 1
        here.clock.turn(31)
    await here.callbacks()
    assert here.callback_states() == ["applied"]
