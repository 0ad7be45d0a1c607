"""Stored callbacks where processes die, or where two of them think about the same one."""

import asyncio
from collections.abc import Sequence
from contextlib import closing

import pytest
from sqlalchemy import event
from sqlmodel import col, func, select

from service.callbacks.models import Callback
from service.kit.db.database import Database
from service.runs.state.models import Observation
from tests.at_work import die_in, hangs
from tests.detections.rows import World, world
from tests.detections.scripted import asc, job

DONE = {"said": "ai"}

_LONGEST_SECONDS = 20


async def _parked(database: Database) -> World:
    """A callback with the answer to a submission, whose sender died before it knew that it was taken."""
    started = asyncio.Event()
    here = world(database, asc(submits=[hangs(started)]), trust="payload")
    here.submit("asc")
    await die_in(here, started, "dispatch runs")
    here.arrive(here.run().id, DONE, job_id="j1")
    await here.callbacks()
    assert here.callback_states() == ["parked"]
    here.clock.turn(3700)  # and no process lives until its time is up
    return here


@pytest.mark.parametrize(
    "first",
    ["dispatch", "expire"],
)
async def test_an_answer_in_hand_is_heard_whichever_loop_turns_first(database: Database, first: str) -> None:
    here = await _parked(database)
    if first == "expire":
        await here.processor.expire()
    await here.dispatch()
    await here.callbacks()
    assert here.callback_states() == ["applied"]
    (detection_id,) = {run.detection_id for run in here.runs()}
    assert here.detection(detection_id).verdict == "ai_generated"


async def test_a_callback_that_two_processes_think_about_is_one_look(postgres_url: str) -> None:
    """Before its run is locked the lease may end, and another process be done with it."""
    with closing(Database(postgres_url)) as database, closing(Database(postgres_url)) as another:
        here = world(database, asc(submits=[job("j1")]))
        second = World(another, here.policy, here.clock)
        here.submit("asc")
        await here.dispatch()
        here.arrive(here.run().id, DONE, job_id="j1")
        loop, overtaken = asyncio.get_running_loop(), list[bool]()

        @event.listens_for(database.engine, "after_cursor_execute")
        def overtake(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if not overtaken and statement.startswith("SELECT run.id, run.successor_run_id"):
                overtaken.append(True)
                here.clock.turn(31)
                asyncio.run_coroutine_threadsafe(second.processor.step(), loop).result(_LONGEST_SECONDS)

        await here.processor.step()
        for one in (here, second):
            await one.callbacks()
        assert overtaken
        assert here.callback_states() == ["applied"]
        assert _looks(database) == [1]


async def test_a_callback_that_is_given_up_is_leased_to_nobody(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")]))
    here.submit("asc")
    here.arrive(here.run().id, ["no object"])
    await here.dispatch()
    for _ in range(7):
        await here.callbacks()
        here.clock.turn(31)
    assert here.callback_states() == ["stuck"]
    with database.reading() as session:
        assert session.exec(select(Callback.lease_token)).all() == [None]


def _looks(database: Database) -> Sequence[int]:
    """Return how many looks each callback is."""
    called = (
        select(func.count()).where(col(Observation.callback_id).is_not(None)).group_by(col(Observation.callback_id))
    )
    with database.reading() as session:
        return session.exec(called).all()
