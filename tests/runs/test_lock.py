"""Who waits for whom. Where two transactions could wait for one another PostgreSQL would break one off."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from service.detectors.catalogue import Limits
from service.events.outbox import Outbox, Recorded
from service.kit.db.database import Database
from service.media.models import Media
from service.runs.inputs import DelayDue
from service.runs.load.lock import lock_detection
from service.runs.runner import Runner
from service.runs.state.models import Run
from service.runs.step import Done, Missed, Work, step, step_one
from service.vendor_calls.admission import claim_polls, claim_submissions
from service.vendor_calls.fetch_source import claim_sources, record_source
from tests.detections.rows import PLAN, World, policy_of, world
from tests.detections.scripted import NOW, asc, job, said
from tests.detections.sharing import ask, only, recording
from tests.runs.locking import impatient, meanwhile, polled, until_somebody_waits

_LONGEST = 10


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    """A database in which many write at once."""
    with closing(Database(postgres_url)) as database:
        yield database


@pytest.mark.parametrize("claims", ["polls", "runs"])
async def test_a_claim_does_not_wait_for_who_holds_the_detection(postgres: Database, claims: str) -> None:
    """Where it writes a run twice the foreign key is looked at again, while it holds runs of other detections."""
    limits = Limits(concurrency=1, per_minute=9)
    here = World(postgres, policy_of(asc(submits=[job("j1")]), plan=replace(PLAN, limits=limits)))
    first, second = here.submit("asc"), here.submit("asc")  # the second is to stand in line
    if claims == "polls":
        await here.dispatch()
        here.clock.turn(45)
    with postgres.writing() as holding:
        for detection_id in (first, second):
            lock_detection(holding, detection_id)
        with postgres.writing() as session:
            impatient(session)
            claim = claim_polls if claims == "polls" else claim_submissions
            found, _ = claim(session, here.policy.catalogue, now=here.clock(), limit=5)
            session.flush()
    assert [one.run.detection_id for one in found] == [first]


@pytest.mark.parametrize("claims", ["polls", "runs"])
async def test_a_claim_passes_over_a_run_that_a_step_has_loaded(postgres: Database, claims: str) -> None:
    here = world(postgres, asc(submits=[job("j1"), job("j2")]))
    first, second = here.submit("asc"), here.submit("asc")
    if claims == "polls":
        await here.dispatch()
        here.clock.turn(45)
    with postgres.writing() as holding:
        step_one(holding, DelayDue(first), here.policy, here.clock())
        with postgres.writing() as session:
            impatient(session)
            claim = claim_polls if claims == "polls" else claim_submissions
            found, _ = claim(session, here.policy.catalogue, now=here.clock(), limit=5)
    assert [one.run.detection_id for one in found] == [second]


@pytest.mark.parametrize("force", [False, True])
def test_a_detection_is_locked_by_one_at_a_time(postgres: Database, force: bool) -> None:
    here = world(postgres, asc())
    detection_id = here.submit("asc", force=force)
    with postgres.writing() as holding:
        lock_detection(holding, detection_id)
        with postgres.writing() as session:
            impatient(session)
            with pytest.raises(OperationalError, match="lock timeout"):
                lock_detection(session, detection_id)
            session.rollback()


@pytest.mark.parametrize("force", [False, True])
def test_a_step_that_waits_waits_for_who_holds_the_detection(postgres: Database, force: bool) -> None:
    here = world(postgres, asc())
    detection_id = here.submit("asc", force=force)
    happened = polled(here, here.run().id, "ai")
    with postgres.writing() as holding:
        lock_detection(holding, detection_id)
        with postgres.writing() as session:
            impatient(session)
            with pytest.raises(OperationalError, match="lock timeout"):
                step_one(session, happened, here.policy, NOW)
            session.rollback()
    with postgres.writing() as session:
        assert step_one(session, happened, here.policy, NOW) == "answered"


@pytest.mark.parametrize("force", [False, True])
def test_a_batch_misses_what_somebody_holds_and_does_the_rest(postgres: Database, force: bool) -> None:
    here = world(postgres, asc())
    held, free = (here.submit("asc", force=force) for _ in range(2))
    work = [Work(polled(here, only(here, each).id, "ai")) for each in (held, free)]
    with postgres.writing() as holding:
        lock_detection(holding, held)
        with postgres.writing() as session:
            impatient(session)
            missed, done = step(session, work, here.policy, NOW, wait=False)
    assert isinstance(missed, Missed)
    assert done == Done("answered")
    assert [here.detection(each).status for each in (held, free)] == ["queued", "completed"]
    with postgres.writing() as session:
        assert step(session, work[:1], here.policy, NOW, wait=False) == [Done("answered")]


def test_a_batch_misses_a_run_whose_audio_another_detection_is_being_decided_by(postgres: Database) -> None:
    """Runs that share answers about the same bytes are moved by one at a time, whosever they are."""
    here = world(postgres, asc())
    media_id = recording(here)
    leading, following = (ask(here, media_id) for _ in range(2))
    work = Work(polled(here, only(here, leading).id, "ai"))
    with postgres.writing() as holding:
        lock_detection(holding, following)
        with postgres.writing() as session:
            impatient(session)
            (missed,) = step(session, [work], here.policy, NOW, wait=False)
    assert isinstance(missed, Missed)


async def test_what_is_missed_comes_again(postgres: Database) -> None:
    here = world(postgres, asc())
    held, free = (here.submit("asc", force=True) for _ in range(2))
    happened = {each: polled(here, only(here, each).id, "ai") for each in (held, free)}
    runner = Runner(postgres, here.policy, here.clock)
    with postgres.writing() as holding:
        lock_detection(holding, held)
        one, other = (asyncio.create_task(runner.put(happened[each])) for each in (held, free))
        assert await other == "answered"
        assert not one.done()
    assert await one == "answered"


async def test_what_somebody_holds_keeps_nothing_waiting_that_is_put_later(postgres: Database) -> None:
    here = world(postgres, asc())
    held, free = (here.submit("asc", force=True) for _ in range(2))
    happened = {each: polled(here, only(here, each).id, "ai") for each in (held, free)}
    runner = Runner(postgres, here.policy, here.clock)
    with postgres.writing() as holding:
        lock_detection(holding, held)
        one = asyncio.create_task(runner.put(happened[held]))
        await asyncio.sleep(0.01)  # it is on its way, alone
        async with asyncio.timeout(_LONGEST):
            assert await runner.put(happened[free]) == "answered"
    assert await one == "answered"


async def test_of_two_forced_detections_that_end_at_once_the_last_lets_the_audio_go(database: Database) -> None:
    here = world(database, asc(submits=[job("j1"), job("j2")]))
    media_id = recording(here)
    first, second = (ask(here, media_id, force=True) for _ in range(2))
    await here.dispatch()
    happened = {each: polled(here, only(here, each).id, "ai") for each in (first, second)}

    def end(session: Session, detection_id: str) -> None:
        assert step_one(session, happened[detection_id], here.policy, here.clock()) == "answered"

    def end_the_second() -> None:
        with database.writing() as session:
            end(session, second)

    with ExitStack() as after, database.writing() as session:
        end(session, first)
        after.enter_context(meanwhile(end_the_second))
        if not database.is_sqlite:
            until_somebody_waits(database)
    with database.reading() as session:
        assert session.get_one(Media, media_id).delete_after == NOW + here.policy.media_retention


def test_of_two_forced_detections_that_end_in_one_batch_the_last_lets_the_audio_go(database: Database) -> None:
    here = world(database, asc())
    media_id = recording(here)
    asked = [ask(here, media_id, force=True) for _ in range(2)]
    work = [Work(polled(here, only(here, each).id, "ai")) for each in asked]
    with database.writing() as session:
        assert step(session, work, here.policy, NOW, wait=False) == [Done("answered")] * 2
        assert session.get_one(Media, media_id).delete_after == NOW + here.policy.media_retention


def test_audio_that_came_is_locked_after_the_runs_that_waited_for_it(postgres: Database) -> None:
    """What holds a run may be on its way to the audio."""
    here = world(postgres, asc())
    media_id = recording(here)
    detection_id = here.submit("asc", source_url="https://cdn.example/a.wav")
    run_id = only(here, detection_id).id
    with postgres.writing() as session:
        (claimed,) = claim_sources(session, now=NOW, lease_until=NOW + timedelta(minutes=1), limit=5)
        token = claimed.lease_token or ""

    def fetched() -> None:
        with postgres.writing() as session:
            record_source(session, detection_id, token, media_id, here.policy, NOW)

    with ExitStack() as after, postgres.writing() as session:
        session.get_one(Run, run_id, with_for_update=True)
        after.enter_context(meanwhile(fetched))
        until_somebody_waits(postgres)
        impatient(session)
        session.get_one(Media, media_id, with_for_update=True)
    assert here.detection(detection_id).media_id == media_id


async def test_a_late_answer_for_several_detections_is_told_at_once(database: Database) -> None:
    """Deliveries are locked in one order over all detections; in two goes they would be locked in two.

    The leader's own is told before, in a transaction of its own.
    """
    vendor = asc(submits=[job("j1")], fetches=[said("running"), said("human")])
    here = world(database, vendor, deadline=600)
    told: list[list[str]] = []

    def record(_session: Session, events: object, _now: object) -> None:
        assert isinstance(events, list)
        told.append([event.type for event in events if isinstance(event, Recorded)])

    here = World(database, replace(here.policy, outbox=Outbox([record])))
    media_id = recording(here)
    for _ in range(3):
        ask(here, media_id)
        here.clock.turn(1)
    await here.dispatch()
    here.clock.turn(597)
    await here.poll()
    here.clock.turn(3)
    await here.dispatch()
    told.clear()
    first, *_ = here.runs()
    here.arrive(first.id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    here.clock.turn(20)
    await here.poll()
    assert told == [["detection.revised"], ["detection.revised"] * 2]
