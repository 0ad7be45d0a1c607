"""Answers that come after a run's time ran out: one look more, and a further revision with one event."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from tests.detections.rows import World, world
from tests.detections.scripted import NOW, Answer, Scripted, aippim, asc, job, lost, not_sent, raw, said

DONE = {"said": "ai"}


async def _timed_out(database: Database, fetches: Sequence[Answer], **plan: Any) -> tuple[World, Scripted, str]:
    """A detection whose only run was polled at its deadline, in vain."""
    vendor = asc(submits=[job("j1", 20)], fetches=[said("running"), *fetches])
    here = world(database, vendor, deadline=40, **plan)
    detection_id = here.submit("asc", answer_within_seconds=30)
    await here.dispatch()
    here.clock.turn(40)
    await here.poll()
    assert (here.run().state, here.detection(detection_id).status) == ("timed_out", "expired")
    return here, vendor, detection_id


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def _called(here: World, body: object = DONE, wait: float = 100) -> None:
    here.clock.turn(wait)
    here.arrive(here.run().id, body, job_id="j1")
    await here.callbacks()


async def test_a_late_callback_is_confirmed_by_one_fetch_whose_answer_makes_the_next_revision(
    database: Database,
) -> None:
    here, vendor, detection_id = await _timed_out(database, [said("human")])
    (before,) = here.results(detection_id)
    told = here.events()
    await _called(here)
    assert (here.run().state, here.run().due_at, here.callback_states()) == ("timed_out", _at(140), ["applied"])
    await here.poll()
    first, second = here.results(detection_id)
    assert first == before
    assert (second["revision"], second["supersedes"], second["verdict"]) == (2, 1, "no_ai_detected")
    assert second["detectors"][0]["obtained"] == {
        "via": "callback",
        "authenticity": "url_token",
        "confirmed_by_fetch": True,
        "callbacks_seen": 1,
        "duplicates": 0,
    }
    assert here.events()[len(told) :] == ["detection.revised"]
    assert (here.run().state, here.run().reason_code, here.run().due_at) == ("succeeded", None, None)
    assert (here.detection(detection_id).revision, vendor.times("fetch")) == (2, 2)
    await _called(here, {**DONE, "again": 1})
    assert (here.callback_states()[-1], len(here.results(detection_id))) == ("late", 2)


@pytest.mark.parametrize(
    ("answer", "state", "status"), [("short", "not_applicable", "completed"), ("broken", "failed", "failed")]
)
async def test_a_late_end_without_a_verdict_is_a_revision_too(
    database: Database, answer: str, state: str, status: str
) -> None:
    here, _, detection_id = await _timed_out(database, [said(answer)])
    await _called(here)
    await here.poll()
    assert (here.run().state, here.detection(detection_id).status) == (state, status)
    assert (here.detection(detection_id).revision, here.events().count("detection.revised")) == (2, 1)


@pytest.mark.parametrize("trouble", [said("running"), lost(), not_sent(), raw({}, 503), raw({}, 401)])
async def test_a_late_look_that_brings_no_answer_changes_nothing_and_is_not_repeated(
    database: Database, trouble: Answer
) -> None:
    here, vendor, detection_id = await _timed_out(database, [trouble, said("ai")])
    told = here.events()
    await _called(here)
    await here.poll()
    here.clock.turn(10_000)
    await here.poll()
    assert (vendor.times("fetch"), here.run().state, here.run().due_at) == (2, "timed_out", None)
    assert (len(here.results(detection_id)), here.events()) == (1, told)
    await _called(here, {**DONE, "again": 1})
    await here.poll()
    assert here.detection(detection_id).verdict == "ai_generated"


async def test_late_callbacks_keep_ten_seconds_apart_too(database: Database) -> None:
    async def slow(_context: RunContext) -> Raw:
        here.clock.turn(2)
        await _called(here, {**DONE, "again": 1}, wait=0)
        return said("running")

    here, vendor, detection_id = await _timed_out(database, [])
    vendor.fetches += [slow, said("ai")]
    await _called(here)
    await here.poll()
    assert (here.run().due_at, here.run().lease_token) == (_at(150), None)
    here.clock.now = _at(150)
    await here.poll()
    assert here.detection(detection_id).revision == 2


async def test_a_late_processing_asks_nothing(database: Database) -> None:
    here, _, _ = await _timed_out(database, [])
    await _called(here, {"said": "running"})
    assert (here.callback_states(), here.run().due_at) == (["late"], None)


async def test_where_the_operator_trusts_it_a_late_callback_decides_itself(database: Database) -> None:
    here, vendor, detection_id = await _timed_out(database, [], trust="payload")
    await _called(here)
    assert (here.detection(detection_id).verdict, here.detection(detection_id).revision) == ("ai_generated", 2)
    assert (here.events()[-1], vendor.times("fetch")) == ("detection.revised", 1)


async def test_a_late_answer_before_the_detections_end_is_no_revision_and_told_once(database: Database) -> None:
    fast = asc(submits=[job("j1")], fetches=[said("running"), said("ai")])
    slow = aippim(prepares=[raw({"ref": "m"})], submits=[job("t1")])
    here = world(database, fast, slow, deadline=40)
    detection_id = here.submit("asc", "aippim/standard")
    await here.dispatch()
    (run, other) = here.runs()
    with database.writing() as session:
        held = session.get_one(type(other), other.id)
        held.deadline_at, held.due_at = _at(9000), _at(9000)
    here.clock.turn(40)
    await here.poll()
    assert here.events() == ["detector.completed"]
    here.arrive(run.id, DONE, job_id="j1")
    here.clock.turn(20)
    await here.callbacks()
    await here.poll()
    assert [each.state for each in here.runs()] == ["succeeded", "waiting"]
    assert (here.results(detection_id), here.events()) == ([], ["detector.completed"])


async def test_a_disagreement_found_late_is_told_by_the_one_event_of_its_revision(database: Database) -> None:
    fast = asc(submits=[job("j1")], fetches=[said("running"), said("ai")])
    other = aippim(prepares=[raw({"ref": "m"})], submits=[said("human")])
    here = world(database, fast, other, deadline=40)
    detection_id = here.submit("asc", "aippim/standard")
    await here.dispatch()
    here.clock.turn(40)
    await here.poll()
    here.clock.turn(20)
    here.arrive(here.runs()[0].id, DONE, job_id="j1")
    await here.callbacks()
    await here.poll()
    first, second = here.results(detection_id)
    assert (first["status"], first["verdict"]) == ("completed_partial", "no_ai_detected")
    assert (second["status"], second["verdict"], second["review"]["required"]) == ("completed", "inconclusive", True)
    assert here.events()[-2:] == ["detection.completed", "detection.revised"]


async def test_the_reason_says_when_nobody_knows_whether_the_vendor_took_it(database: Database) -> None:
    here = world(database, asc(submits=[lost()]), deadline=40)
    detection_id = here.submit("asc")
    await here.dispatch()
    assert (here.run().state, here.run().waiting_for) == ("unknown", "unknown_outcome")
    here.clock.turn(40)
    await here.dispatch()
    (result,) = here.results(detection_id)
    assert result["detectors"][0]["reason_code"] == "no_callback_no_result"
    assert "whether the vendor took it" in result["detectors"][0]["reason_text"]
