"""Many at once: one leader, no run left behind, and no two transactions that wait for one another."""

import threading
from collections.abc import Callable
from contextlib import closing, suppress

import pytest
from sqlalchemy import event, text
from sqlmodel import select

from service.detectors.enums import Authenticity, Via
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.runs.inputs import VendorAnswer
from service.runs.load.lock import lock_detection
from service.runs.state.models import Run
from service.vendor_calls.fetch_source import claim_sources, record_source
from tests.detections.rows import World, world
from tests.detections.scripted import Scripted, aippim, asc, job, said
from tests.detections.sharing import ask, call_off, only, outcome, recording
from tests.runs.acting import observe

_LONGEST = 60


def _at_once(*works: Callable[[], object]) -> None:
    """Each has been done, in a thread of its own, all begun together; what one of them raised is raised."""
    gate, troubles = threading.Barrier(len(works)), []

    def run(work: Callable[[], object]) -> None:
        try:
            gate.wait(_LONGEST)
            work()
        except BaseException as trouble:  # noqa: BLE001 - raised below, in the test's own thread
            troubles.append(trouble)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_LONGEST)
    assert not any(thread.is_alive() for thread in threads)
    assert troubles == []


def _answer(here: World, run_id: str, word: str, vendor: Scripted, detector: str) -> None:
    sighting = VendorAnswer(Via.POLL, said(word), vendor.read(said(word), detector), Authenticity.TLS_FETCH)
    with here.database.writing() as session:
        observe(session, run_id, sighting, here.policy, here.clock())


def _call_off_if_open(here: World, detection_id: str) -> None:
    with suppress(CallerError):  # it has ended meanwhile
        call_off(here, detection_id)


def _deadlocks(database: Database) -> list[str]:
    """Where what the database broke off as a deadlock is noted."""
    found: list[str] = []

    @event.listens_for(database.engine, "handle_error")
    def note(context: object) -> None:
        found.append(str(getattr(context, "original_exception", context)))

    return found


async def test_twenty_at_once_are_one_submission_and_one_observation(database: Database) -> None:
    vendor = asc(submits=[job("j1")], fetches=[said("ai")])
    here = world(database, vendor)
    media_id, ids = recording(here), list[str]()
    _at_once(*[lambda: ids.append(ask(here, media_id))] * 20)
    runs = [only(here, each) for each in ids]
    (leader,) = [run for run in runs if run.leader_key is not None]
    assert {run.follows_run_id for run in runs if run is not leader} == {leader.id}
    await here.dispatch()
    here.clock.turn(60)
    await here.poll()
    assert (vendor.times("submit"), vendor.times("fetch")) == (1, 1)
    assert {outcome(here, each) for each in ids} == {("completed", "ai_generated", 1)}
    assert sorted(here.events()) == ["detection.completed"] * 20 + ["detector.completed"] * 20


@pytest.mark.parametrize("chance", range(3))
def test_who_comes_while_the_leader_ends_has_its_answer_or_leads(database: Database, chance: int) -> None:
    del chance
    vendor = asc()
    here = world(database, vendor)
    media_id, ids = recording(here), list[str]()
    leader = only(here, ask(here, media_id))
    ending = lambda: _answer(here, leader.id, "ai", vendor, "asc")  # noqa: E731 - one of the works
    _at_once(ending, *[lambda: ids.append(ask(here, media_id))] * 6)
    assert {outcome(here, each) for each in ids} == {("completed", "ai_generated", 1)}


@pytest.mark.parametrize("chance", range(3))
def test_leaders_that_follow_one_another_crosswise_end_without_a_deadlock(database: Database, chance: int) -> None:
    del chance
    fast, slow = asc(), aippim()
    here = world(database, fast, slow)
    troubles = _deadlocks(database)
    media_id = recording(here)
    alone, first = ask(here, media_id, "asc"), ask(here, media_id, "aippim/pro", "asc")
    second = ask(here, media_id, "asc", "aippim/pro")
    third = ask(here, media_id, "aippim/pro", "asc")
    _answer(here, only(here, alone).id, "broken", fast, "asc")  # then the oldest follower leads
    leads = {run.detector: run for each in (first, second, third) for run in here.runs(each) if run.leader_key}
    assert set(leads) == {"asc", "aippim/pro"}
    _at_once(
        lambda: _answer(here, leads["asc"].id, "ai", fast, "asc"),
        lambda: _answer(here, leads["aippim/pro"].id, "ai", slow, "aippim/pro"),
        lambda: _call_off_if_open(here, third),
        lambda: ask(here, media_id, "asc", "aippim/pro"),
    )
    assert troubles == []
    assert {outcome(here, each) for each in (first, second)} == {("completed", "ai_generated", 1)}


@pytest.mark.parametrize("chance", range(3))
def test_calling_off_and_answering_at_once_lose_no_follower(database: Database, chance: int) -> None:
    del chance
    vendor = asc()
    here = world(database, vendor)
    troubles = _deadlocks(database)
    media_id = recording(here)
    ids = [ask(here, media_id) for _ in range(4)]
    leader = only(here, ids[0])
    _at_once(lambda: _call_off_if_open(here, ids[0]), lambda: _answer(here, leader.id, "ai", vendor, "asc"))
    assert troubles == []
    assert {outcome(here, each) for each in ids[1:]} == {("completed", "ai_generated", 1)}


async def test_no_open_run_is_left_following_an_ended_one_whatever_happens(database: Database) -> None:
    vendor = asc(submits=[job("j1"), said("broken"), said("broken"), said("ai"), said("ai")])
    here = world(database, vendor)
    media_id = recording(here)
    ids = [ask(here, media_id) for _ in range(6)]
    await here.dispatch()
    for each in ids[:2]:
        call_off(here, each)
    for _ in range(4):
        _end_waiting(here, vendor)
        await here.dispatch()
        with database.reading() as session:
            open_runs = session.exec(select(Run).where(Run.ended_at == None)).all()  # noqa: E711 - SQL
            by_id = {run.id for run in open_runs}
            assert {run.follows_run_id for run in open_runs} - {None} <= by_id
    assert all(here.detection(each).completed_at for each in ids)


def _end_waiting(here: World, vendor: Scripted) -> None:
    for run in here.runs():
        if run.state == "waiting":
            _answer(here, run.id, "broken", vendor, "asc")


def test_a_detection_whose_audio_comes_this_moment_is_locked_after_its_audio(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        here = world(database, asc())
        media_id = recording(here)
        detection_id = here.submit("asc", source_url="https://cdn.example/a.wav")
        with database.writing() as session:
            (claimed,) = claim_sources(session, now=here.clock(), lease_until=here.clock(), limit=5)
            token = claimed.lease_token or ""
        recorded, waiting = threading.Event(), threading.Event()

        @event.listens_for(database.engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
            if recorded.is_set() and "FROM detection" in statement and "FOR NO KEY UPDATE" in statement:
                waiting.set()

        def fetched() -> None:
            with database.writing() as session:
                record_source(session, detection_id, token, media_id, here.policy, here.clock())
                recorded.set()
                assert waiting.wait(_LONGEST)

        def lock() -> None:
            assert recorded.wait(_LONGEST)
            with database.writing() as session:
                assert lock_detection(session, detection_id).media_id == media_id
                ours = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
                assert session.connection().execute(ours).scalar_one() == 1

        _at_once(fetched, lock)
