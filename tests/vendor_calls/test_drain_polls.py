"""A process that ends: a look that it cuts short is handed back, as if it had not been begun."""

import asyncio

import pytest
from structlog.testing import capture_logs

from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.vendor_calls.poll import POLLS
from tests.detections.rows import ACCOUNT, World, world
from tests.detections.scripted import asc, job, said


async def _asking(database: Database, started: asyncio.Event, *, claimed_end: bool) -> World:
    async def hangs(_context: RunContext) -> Raw:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    here = world(database, asc(submits=[job("j1")], fetches=[hangs, said("ai")]))
    here.submit("asc")
    await here.dispatch()
    here.clock.turn(45)
    if claimed_end:
        here.arrive(here.run().id, {"said": "ai"})
        await here.callbacks()
    await here.poller.step()
    await started.wait()
    return here


@pytest.mark.parametrize("claimed_end", [False, True])
async def test_a_look_cut_at_the_drain_is_due_at_once_and_did_not_happen(database: Database, claimed_end: bool) -> None:
    here = await _asking(database, asyncio.Event(), claimed_end=claimed_end)
    with capture_logs() as logs:
        await here.poller.drain(0.01)
    run = here.run()
    assert (run.state, run.due_at, run.lease_token) == ("waiting", here.clock(), None)
    assert (run.polls, run.confirmations) == (0, 0)
    assert [line["outcome"] for line in logs if line["event"] == "run.polled"] == ["handed_back"]


async def test_another_process_still_confirms_what_the_callback_claimed(database: Database) -> None:
    here = await _asking(database, asyncio.Event(), claimed_end=True)
    await here.poller.drain(0.01)
    other = World(database, here.policy, here.clock)
    await other.poll()
    run = other.run()
    assert (run.state, run.via, run.confirmed_by_fetch, run.confirmations) == ("succeeded", "callback", True, 1)


async def test_a_look_is_one_wide_line_with_every_id(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(45)
    before = POLLS.value("asc", "answered")
    with capture_logs() as logs:
        await here.poll()
    (line,) = [line for line in logs if line["event"] == "run.polled"]
    ids = {"run_id": here.run().id, "detection_id": detection_id, "account_id": ACCOUNT, "vendor": "asc"}
    assert line.items() >= (ids | {"mode": "live", "detector": "asc", "outcome": "answered", "poll": 1}).items()
    assert line["took_ms"] >= 0
    assert POLLS.value("asc", "answered") == before + 1
