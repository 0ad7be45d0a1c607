"""A worker that is killed: what it held is taken up soon, and nothing is sent twice unmarked."""

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.detectors.catalogue import Catalogue, ConfiguredVendor
from service.kit.db.database import Database
from tests.at_work import by_hand, die_in, hangs, started, turn
from tests.detections.rows import PLAN, World, world
from tests.detections.scripted import NOW, Scripted, aippim, asc, job, raw
from tests.waiting import until

_AT_ONCE = 2.0  # seconds of this machine's; the world's clock stands
_BEATS_MISSED = 25


def _in_the_upload() -> tuple[Scripted, str, asyncio.Event, tuple[Any, ...]]:
    """Nothing has left: it goes on as if it had not begun."""
    moment = asyncio.Event()
    vendor = aippim(prepares=[hangs(moment), raw({"ref": "m"})], submits=[job("j1")])
    return vendor, "aippim/standard", moment, ("waiting", "j1", False, 1)


def _in_the_submission() -> tuple[Scripted, str, asyncio.Event, tuple[Any, ...]]:
    """It may have been taken: nobody knows."""
    moment = asyncio.Event()
    return asc(submits=[hangs(moment)]), "asc", moment, ("unknown", None, False, 1)


_STEPS = [_in_the_upload, _in_the_submission]


def _stands(here: World) -> tuple[Any, ...]:
    run = here.run()
    return run.state, run.vendor_job_id, run.resubmitted, run.submit_tries


@pytest.mark.parametrize("step", _STEPS)
async def test_where_no_other_process_can_be_what_the_dead_held_is_free_at_the_start(
    sqlite_url: str, step: Any
) -> None:
    with closing(Database(sqlite_url)) as database:
        vendor, detector, moment, expected = step()
        here = world(database, vendor)
        here.submit(detector)
        await die_in(here, moment, "dispatch runs")
        here.clock.turn(1)
        async with started(here):
            await until(lambda: _stands(here) == expected, seconds=_AT_ONCE)


@pytest.mark.parametrize("step", _STEPS)
async def test_what_a_dead_worker_held_is_free_for_another_once_it_has_not_beaten_for_twenty_seconds(
    postgres_url: str, step: Any
) -> None:
    with closing(Database(postgres_url)) as database:
        vendor, detector, moment, expected = step()
        here = world(database, vendor)
        here.submit(detector)
        await die_in(here, moment, "dispatch runs")
        async with by_hand(here) as other:
            for _ in range(_BEATS_MISSED // 5):
                here.clock.turn(5)
                await turn(other)
            await turn(other)
            await until(lambda: _stands(here) == expected, seconds=_AT_ONCE)


@pytest.mark.parametrize(("deadline", "most"), [(3600, 18), (12, 12)])
async def test_a_lease_is_its_own_vendors_and_no_longer_than_the_run_has_left(
    database: Database, deadline: float, most: float
) -> None:
    moment = asyncio.Event()
    quick = replace(PLAN, timeout=10, deadline=deadline)
    here = world(database, aippim(prepares=[hangs(moment)]))
    vendors = {
        ("live", "aippim"): ConfiguredVendor(here.policy.catalogue.configured_in("live")[0].adapter, quick),
        ("live", "asc"): ConfiguredVendor(asc(), replace(PLAN, timeout=120)),
    }
    here = World(database, replace(here.policy, catalogue=Catalogue(vendors)))
    here.submit("aippim/standard")
    await die_in(here, moment, "dispatch runs")
    due_at = here.run().due_at
    assert due_at is not None
    assert due_at <= NOW + timedelta(seconds=most)
