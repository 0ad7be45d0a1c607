"""Asking again: a new round of runs, no verdict meanwhile, a further revision at the end, and the old ones kept."""

from datetime import timedelta

import pytest
from sqlmodel import col, select

from service.detections.changes import cancel, recheck
from service.detections.queries import result_of
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.media.models import Media
from service.runs.load.lock import lock_detection
from service.runs.state.models import Detection, Observation, RawBody
from tests.detections.rows import World, policy_of, world
from tests.detections.scripted import NOW, asc, job, said


def _again(here: World, detection_id: str) -> None:
    with here.database.writing() as session:
        recheck(session, lock_detection(session, detection_id), here.policy, here.clock())


async def _answered(database: Database) -> tuple[World, str]:
    here = world(database, asc(submits=[said("ai"), job("j2")], fetches=[said("human")]))
    detection_id = here.submit("asc", answer_within_seconds=60)
    await here.dispatch()
    here.clock.turn(86_400)
    return here, detection_id


async def test_while_it_runs_again_there_is_no_verdict_and_the_number_of_what_is_coming(database: Database) -> None:
    here, detection_id = await _answered(database)
    _again(here, detection_id)
    with database.reading() as session:
        detection = session.get_one(Detection, detection_id)
        now = result_of(session, detection, here.policy, full=True)
        old = result_of(session, detection, here.policy, full=True, revision=1)
        with pytest.raises(CallerError) as refused:
            result_of(session, detection, here.policy, full=True, revision=2)
    assert (now["status"], now["verdict"], now["revision"], now["supersedes"]) == ("running", None, 2, 1)
    assert (now["completed_at"], now["detectors"][0]["verdict"]) == (None, None)
    assert (old["status"], old["verdict"], old["revision"]) == ("completed", "ai_generated", 1)
    assert old["detectors"][0]["raw"]["body"] == '{"said": "ai"}'
    assert refused.value.status == 404
    assert (detection.verdict, detection.completed_at, detection.status) == (None, None, "running")
    assert detection.answer_by_at == here.clock() + timedelta(seconds=60)


async def test_its_end_is_a_revision_told_by_one_event_and_the_old_round_stays(database: Database) -> None:
    here, detection_id = await _answered(database)
    (before,), (old_run,), told = here.results(detection_id), here.runs(), here.events()
    _again(here, detection_id)
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    first, second = here.results(detection_id)
    assert first == before
    assert (second["revision"], second["supersedes"], second["verdict"]) == (2, 1, "no_ai_detected")
    assert [each["run_id"] for each in second["detectors"]] == [here.runs()[1].id]
    assert second["totals"]["wall_ms"] == 45_000
    assert here.events()[len(told) :] == ["detector.completed", "detection.revised"]
    assert here.runs()[0] == old_run
    with database.reading() as session:
        looks = select(Observation.run_id).where(col(Observation.outcome).is_(None))
        kept = session.exec(looks.order_by(col(Observation.id))).all()
        assert list(kept) == [run.id for run in here.runs()]
        assert session.get(RawBody, (old_run.id, before["detectors"][0]["raw"]["sha256"])) is not None


async def test_it_can_be_asked_again_and_again_but_not_while_it_runs(database: Database) -> None:
    here, detection_id = await _answered(database)
    _again(here, detection_id)
    with pytest.raises(CallerError) as refused:
        _again(here, detection_id)
    assert (refused.value.status, refused.value.code) == (409, "not_ended")
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    _again(here, detection_id)
    assert [(run.round, run.position) for run in sorted(here.runs(), key=lambda run: run.round)] == [
        (1, 0),
        (2, 0),
        (3, 0),
    ]


async def test_what_an_earlier_round_says_late_is_kept_without_effect(database: Database) -> None:
    here = world(database, asc(submits=[job("j1"), job("j2")], fetches=[said("running")]), deadline=40)
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(40)
    await here.poll()
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    await here.callbacks()
    _again(here, detection_id)
    (old,) = (run for run in here.runs() if run.round == 1)
    assert old.due_at is None
    here.arrive(old.id, {"said": "ai", "again": 1}, job_id="j1")
    await here.callbacks()
    assert (here.callback_states(), here.detection(detection_id).status) == (["applied", "late"], "running")


async def test_audio_that_is_gone_is_not_asked_about(database: Database) -> None:
    here, detection_id = await _answered(database)
    with database.writing() as session:
        session.get_one(Media, here.detection(detection_id).media_id).erased_at = NOW
    with pytest.raises(CallerError) as refused:
        _again(here, detection_id)
    assert (refused.value.status, refused.value.code) == (409, "media_erased")
    assert here.detection(detection_id).status == "completed"


async def test_audio_is_kept_while_it_is_asked_about_again(database: Database) -> None:
    here, detection_id = await _answered(database)
    _again(here, detection_id)
    with database.reading() as session:
        assert session.get_one(Media, here.detection(detection_id).media_id).delete_after is None


async def test_a_detector_that_is_gone_is_named(database: Database) -> None:
    here, detection_id = await _answered(database)
    here.policy = policy_of()
    with pytest.raises(CallerError, match="asc") as refused:
        _again(here, detection_id)
    assert refused.value.status == 409


async def test_a_source_that_was_never_fetched_is_fetched_anew(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc", source_url="https://cdn.example/a.wav")
    with database.writing() as session:
        cancel(session, lock_detection(session, detection_id), here.policy, NOW)
    _again(here, detection_id)
    detection = here.detection(detection_id)
    assert (detection.source_state, detection.due_at, here.runs()[-1].state) == ("due", NOW, "sourcing")


async def test_a_cancelled_recheck_is_called_what_it_is_and_the_old_answer_stays(database: Database) -> None:
    here, detection_id = await _answered(database)
    _again(here, detection_id)
    with database.writing() as session:
        cancel(session, lock_detection(session, detection_id), here.policy, here.clock())
    first, second = here.results(detection_id)
    assert (first["verdict"], second["status"], second["verdict"]) == ("ai_generated", "cancelled", "not_analyzed")
    assert here.events()[-1] == "detection.cancelled"
