"""Who waits for whom. Where two transactions could wait for one another PostgreSQL would break one off."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from service.callbacks.match import Match, match
from service.callbacks.models import Callback
from service.callbacks.process import claim_callbacks, process
from service.detections.dispatch import claim_runs
from service.detections.fetch_source import claim_sources, record_source
from service.detections.lock import lock_detection, lock_run
from service.detections.observe import Sighting, observe
from service.detectors.catalogue import Limits, Line
from service.detectors.words import Authenticity, Via
from service.events.outbox import Outbox, Recorded
from service.kit.database import Database
from service.media.models import Media
from service.polling.poll import claim_polls
from service.runs.models import Detection, Run
from tests.detections.rows import PLAN, World, policy_of, world
from tests.detections.scripted import NOW, asc, job, said
from tests.detections.sharing import ask, only, recording

_LONGEST = 30


@contextmanager
def _meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """`work` has been done in a thread of its own, begun before the body."""
    troubles: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as trouble:  # noqa: BLE001 - raised below, in the test's own thread
            troubles.append(trouble)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(_LONGEST)
    assert not thread.is_alive()
    assert troubles == []


def _impatient(session: Session) -> None:
    session.connection().execute(text("SET LOCAL lock_timeout = '3s'"))


@pytest.mark.parametrize("claims", ["polls", "runs"])
async def test_a_claim_does_not_wait_for_who_holds_the_detection(postgres_url: str, claims: str) -> None:
    """It writes a run twice, and then the foreign key is looked at again, while it holds runs of other detections."""
    limits = Limits(concurrency=1, per_minute=9)
    with closing(Database(postgres_url)) as database:
        here = World(database, policy_of(asc(submits=[job("j1")]), plan=replace(PLAN, limits=limits)))
        first, second = here.submit("asc"), here.submit("asc")  # the second is to stand in line
        if claims == "polls":
            await here.dispatch()
            here.clock.turn(45)
        now, catalogue = here.clock(), here.policy.catalogue
        claim = claim_polls if claims == "polls" else claim_runs
        with database.writing() as holding:
            for detection_id in (first, second):
                lock_detection(holding, detection_id)
            with database.writing() as session:
                _impatient(session)
                found, _ = claim(session, catalogue, now=now, lease_until=now + timedelta(minutes=1), limit=5)
                session.flush()
        assert [one.run.detection_id for one in found] == [first]


async def test_a_detection_is_locked_by_one_at_a_time(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        detection_id = world(database, asc()).submit("asc")
        with database.writing() as holding:
            lock_detection(holding, detection_id)
            with database.writing() as session:
                _impatient(session)
                with pytest.raises(OperationalError, match="lock timeout"):
                    lock_detection(session, detection_id)
                session.rollback()


async def test_of_two_forced_detections_that_end_at_once_the_last_lets_the_audio_go(database: Database) -> None:
    vendor = asc(submits=[job("j1"), job("j2")])
    here = world(database, vendor)
    media_id = recording(here)
    first, second = (ask(here, media_id, force=True) for _ in range(2))
    await here.dispatch()

    runs = {each: only(here, each).id for each in (first, second)}

    def end(session: Session, detection_id: str) -> None:
        sighting = Sighting(Via.POLL, said("ai"), vendor.read(said("ai"), "asc"), Authenticity.TLS_FETCH)
        observe(session, runs[detection_id], sighting, here.policy, here.clock())
        session.flush()

    def end_the_second() -> None:
        with database.writing() as session:
            end(session, second)

    with ExitStack() as after, database.writing() as session:
        end(session, first)
        after.enter_context(_meanwhile(end_the_second))
        if not database.is_sqlite:
            _until_somebody_waits(database)
    with database.reading() as session:
        assert session.get_one(Media, media_id).delete_after == NOW + here.policy.media_retention


def test_audio_that_came_is_locked_after_the_runs_that_waited_for_it(postgres_url: str) -> None:
    """What holds a run may be on its way to the audio."""
    with closing(Database(postgres_url)) as database:
        here = world(database, asc())
        media_id = recording(here)
        detection_id = here.submit("asc", source_url="https://cdn.example/a.wav")
        run_id = only(here, detection_id).id
        with database.writing() as session:
            (claimed,) = claim_sources(session, now=NOW, lease_until=NOW + timedelta(minutes=1), limit=5)
            token = claimed.lease_token or ""

        def fetched() -> None:
            with database.writing() as session:
                record_source(session, detection_id, token, media_id, here.policy, NOW)

        with ExitStack() as after, database.writing() as session:
            session.get_one(Run, run_id, with_for_update=True)
            after.enter_context(_meanwhile(fetched))
            _until_somebody_waits(database)
            _impatient(session)
            session.get_one(Media, media_id, with_for_update=True)
        assert here.detection(detection_id).media_id == media_id


def _until_somebody_waits(database: Database) -> None:
    """Another transaction waits for ours."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(1000):
        with database.reading() as session:
            if session.connection().execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")


async def test_a_late_answer_for_several_detections_is_told_at_once(database: Database) -> None:
    """Deliveries are locked in one order over all detections; in two goes they would be locked in two."""
    vendor = asc(submits=[job("j1")], fetches=[said("running"), said("human")])
    here = world(database, vendor, deadline=600)
    told: list[list[str]] = []

    def record(_session: Session, events: object, _now: object) -> None:
        assert isinstance(events, list)
        told.append([event.type for event in events if isinstance(event, Recorded)])

    here = World(database, replace(here.policy, outbox=Outbox([record])))
    media_id = recording(here)
    for _ in range(2):
        ask(here, media_id)
        here.clock.turn(1)
    await here.dispatch()
    here.clock.turn(598)
    await here.poll()
    here.clock.turn(2)
    await here.dispatch()
    told.clear()
    first, _ = here.runs()
    here.arrive(first.id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    here.clock.turn(20)
    await here.poll()
    assert told == [["detection.revised", "detection.revised"]]


async def test_a_callback_that_meets_its_run_goes_to_the_detection_without_the_key(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the detection may be waiting for that key, to tell a callback that is parked."""
    with closing(Database(postgres_url)) as database:
        here = world(database, asc(submits=[job("j1")]))
        here.submit("asc")
        await here.dispatch()
        here.arrive("j1", {"said": "running"}, job_id="j1")
        keys: list[int] = []
        ours = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        looks = iter([lambda *_: Match(None), match])  # the run learned its job id between the two

        def lock(session: Session, run_id: str) -> tuple[Detection, Run]:
            keys.append(session.connection().execute(ours).scalar_one())
            return lock_run(session, run_id)

        def look(session: Session, callback: Callback, line: Line | None) -> Match:
            return next(looks)(session, callback, line)

        monkeypatch.setattr("service.callbacks.process.match", look)
        monkeypatch.setattr("service.callbacks.process.lock_run", lock)
        await here.callbacks()
        assert (here.callback_states(), keys) == (["applied"], [0])


def test_a_callback_that_another_process_merged_meanwhile_is_nobodys(database: Database) -> None:
    here = world(database, asc())
    here.arrive("j1", {"said": "running"}, job_id="j1")
    with database.writing() as session:
        ((callback_id, token),) = claim_callbacks(session, now=NOW, lease_until=NOW + timedelta(seconds=30), limit=5)
    with database.writing() as session:
        session.delete(session.get_one(Callback, callback_id))
    with database.writing() as session:
        assert process(session, callback_id, token, here.policy, here.clock()) == "lease_lost"
