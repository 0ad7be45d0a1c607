"""Calling a detection off: what ends, what is told, and that nothing comes after it."""

import pytest

from service.detections.changes import cancel
from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.media.models import Media
from service.runs.load.lock import lock_detection
from service.vendor_calls.fetch_source import claim_sources, record_source
from service.verdicts.votes import Rule
from tests.detections.rows import World, add_media, world
from tests.detections.scripted import NOW, aippim, asc, job, raw, said

DONE = {"said": "ai"}


def _cancel(here: World, detection_id: str) -> None:
    with here.database.writing() as session:
        cancel(session, lock_detection(session, detection_id), here.policy, here.clock())


async def test_open_runs_are_skipped_and_one_final_event_says_so(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]), aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")]))
    detection_id = here.submit("asc", "aippim/standard")
    await here.dispatch()
    _cancel(here, detection_id)
    assert [(run.state, run.reason_code) for run in here.runs()] == [("succeeded", None), ("skipped", "cancelled")]
    (result,) = here.results(detection_id)
    assert (result["status"], result["verdict"], result["outcome_reason"]) == ("cancelled", "not_analyzed", "cancelled")
    assert (result["votes"]["ai"], result["completed_at"] is not None) == (1, True)
    assert here.events() == ["detector.completed", "detector.completed", "detection.cancelled"]
    with database.reading() as session:
        media = session.get_one(Media, here.detection(detection_id).media_id)
        assert media.delete_after is not None


async def test_a_late_callback_after_it_is_kept_without_effect(database: Database) -> None:
    vendor = asc(submits=[job("j1")])
    here = world(database, vendor)
    detection_id = here.submit("asc")
    await here.dispatch()
    _cancel(here, detection_id)
    told = here.events()
    here.arrive(here.run().id, DONE, job_id="j1")
    here.clock.turn(100)
    await here.callbacks()
    await here.poll()
    assert (here.callback_states(), vendor.times("fetch")) == (["late"], 0)
    assert (len(here.results(detection_id)), here.events()) == (1, told)


async def test_a_run_whose_time_had_run_out_is_not_revived_either(database: Database) -> None:
    late, slow = asc(submits=[job("j1")], fetches=[said("running")]), aippim(prepares=[raw({"ref": "m"})])
    here = world(database, late, slow, deadline=40)
    detection_id = here.submit("asc", "aippim/standard", rule=Rule.CASCADE)
    await here.dispatch()
    here.clock.turn(40)
    await here.poll()
    here.arrive(here.runs()[0].id, DONE, job_id="j1")
    await here.callbacks()
    assert here.runs()[0].due_at is not None
    _cancel(here, detection_id)
    assert [(run.state, run.due_at) for run in here.runs()] == [("timed_out", None), ("skipped", None)]
    here.arrive(here.runs()[0].id, {**DONE, "again": 1}, job_id="j1")
    await here.callbacks()
    assert here.callback_states() == ["applied", "late"]


async def test_an_ended_detection_cannot_be_cancelled(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    before = (here.run(), here.events())
    with pytest.raises(CallerError) as refused:
        _cancel(here, detection_id)
    assert (refused.value.status, refused.value.code) == (409, "already_ended")
    assert (here.run(), here.events()) == before


async def test_a_download_under_way_comes_to_nothing(database: Database) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc", source_url="https://cdn.example/a.wav")
    with database.writing() as session:
        (claimed,) = claim_sources(session, now=NOW, lease_until=here.clock(), limit=5)
        token = claimed.lease_token or ""
    _cancel(here, detection_id)
    with database.writing() as session:
        record_source(session, detection_id, token, add_media(session).id, here.policy, NOW)
        assert claim_sources(session, now=NOW, lease_until=NOW, limit=5) == []
    detection = here.detection(detection_id)
    assert (detection.source_state, detection.media_id, here.run().state) == ("cancelled", None, "skipped")


async def test_an_answer_that_was_under_way_comes_too_late(database: Database) -> None:
    async def slow(_context: RunContext) -> Raw:
        _cancel(here, detection_id)
        return said("ai")

    here = world(database, asc(submits=[job("j1")], fetches=[slow]))
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    assert (here.run().state, len(here.results(detection_id))) == ("skipped", 1)
    assert here.events() == ["detector.completed", "detection.cancelled"]
