"""Reading stored answers again, after an adapter was mended: which detections are revised, and which are left alone."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, delete, select

from service.detectors.enums import Kind, ReasonCode, RunStatus, Verdict
from service.detectors.port import Accepted, Raw, Refused
from service.detectors.reading import Attribution, Reading
from service.events.models import Event
from service.kit.db.database import Database
from service.reprocess.renormalise import AnswerFilter, Tally, renormalise
from service.reprocess.reread import ANSWER, DETECTOR_ANSWER
from service.retention.erase import erase_detection
from service.runs.load.lock import lock_detection
from service.runs.state.models import Observation, RawBody
from service.timeline.assemble import assemble
from tests.detections.rows import World, alter, policy_of, world
from tests.detections.scripted import NOW, Scripted, aippim, asc, job, raw, said
from tests.detections.sharing import ask, call_off, recording

_UNKNOWN = Reading(status=RunStatus.FAILED, reason_code=ReasonCode.UNKNOWN_VERDICT, verdict_raw="synthetic")
_AI = Reading(status=RunStatus.SUCCEEDED, verdict=Verdict.AI_GENERATED, verdict_raw="synthetic")
_HUMAN = Reading(status=RunStatus.SUCCEEDED, verdict=Verdict.NO_AI_DETECTED, verdict_raw="synthetic")
_LONG_AGO = NOW - timedelta(days=90)


@dataclass
class Mended(Scripted):
    """A vendor whose adapter reads the word `synthetic` as it is told, in jobs and in answers at once."""

    synthetic: Reading | Refused = _UNKNOWN
    read_at: list[Raw] = field(default_factory=list)

    def read(self, raw: Raw, detector: str) -> Reading | Refused:
        self.read_at.append(raw)
        return self.synthetic if b"synthetic" in raw.body else super().read(raw, detector)

    def parse_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        if b"synthetic" not in raw.body:
            return super().parse_submit(raw)
        return self.synthetic


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def _asked(database: Database, first: Reading | Refused = _UNKNOWN) -> tuple[World, Mended, str]:
    """A detection that ended by a poll that brought the word, read in the old way."""
    answer = raw({"said": "synthetic"}, at=_at(45))
    vendor = Mended(submits=[job("j1")], fetches=[answer], synthetic=first)
    here = world(database, vendor)
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(45)
    await here.poll()
    assert here.run().ended_at == _at(45)
    here.clock.turn(1000)
    return here, vendor, detection_id


async def _again(here: World, **more: Any) -> Tally:
    wanted = AnswerFilter(kept_since=more.pop("kept_since", _LONG_AGO), **more)
    return await renormalise(here.database, here.policy, wanted, here.clock)


async def test_an_unknown_verdict_that_is_understood_now_makes_the_next_revision_and_one_event(
    database: Database,
) -> None:
    here, vendor, detection_id = await _asked(database)
    (before,), told = here.results(detection_id), here.events()
    assert (before["status"], before["detectors"][0]["reason_code"]) == ("failed", "unknown_verdict")
    vendor.synthetic = _AI
    tally = await _again(here)
    first, second = here.results(detection_id)
    assert first == before
    assert (second["revision"], second["supersedes"], second["verdict"]) == (2, 1, "ai_generated")
    assert (second["status"], second["detectors"][0]["reason_code"]) == ("completed", None)
    assert here.events()[len(told) :] == ["detection.revised"]
    (change,) = tally.changes
    assert (change.detection_id, change.before, change.after) == (detection_id, "not_analyzed", "ai_generated")
    assert (tally.detections, tally.runs, tally.last) == (1, {"read": 1}, detection_id)
    assert (here.detection(detection_id).verdict, here.run().state) == ("ai_generated", "succeeded")
    assert vendor.times("fetch") == 1


async def test_who_ended_when_and_what_came_how_stays_as_it_was(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    vendor.synthetic = _AI
    await _again(here)
    before, after = here.results(detection_id)
    assert [result["completed_at"] for result in (before, after)] == [before["completed_at"]] * 2
    same = ("obtained", "timing", "raw", "raw_events", "cost", "run_id")
    assert {name: after["detectors"][0][name] for name in same} == {name: before["detectors"][0][name] for name in same}
    assert here.run().ended_at == here.run().answered_at == here.detection(detection_id).completed_at == _at(45)


async def test_a_second_time_changes_nothing(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    vendor.synthetic = _AI
    await _again(here)
    told = here.events()
    tally = await _again(here)
    assert (tally.changes, tally.runs, here.events()) == ([], {"read": 1}, told)
    assert len(here.results(detection_id)) == 2


async def test_it_can_be_mended_again_and_reads_the_bytes_as_of_when_they_came(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    for reading in (_AI, _HUMAN):
        vendor.synthetic = reading
        here.clock.turn(100)
        await _again(here)
    assert [result["verdict"] for result in here.results(detection_id)] == [
        "not_analyzed",
        "ai_generated",
        "no_ai_detected",
    ]
    assert {(seen.received_at, seen.status, seen.content_type) for seen in vendor.read_at} == {
        (_at(45), 200, "application/json")
    }


async def test_what_is_understood_as_before_makes_no_revision(database: Database) -> None:
    here, vendor, detection_id = await _asked(database, _AI)
    told = here.events()
    vendor.synthetic = _AI.model_copy(update={"reason_text": "other words", "extras": {"new": 1}, "vendor_ms": 7})
    tally = await _again(here)
    assert (tally.changes, here.events(), len(here.results(detection_id))) == ([], told, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", Kind.AI_COVER),
        ("attribution", Attribution(raw_label="suno_v5", family="suno", version="5")),
        ("verdict_derived", True),
        ("reasons", ["a bright spectrum"]),
    ],
)
async def test_another_reading_of_the_same_verdict_is_a_change_too(
    database: Database, name: str, value: object
) -> None:
    here, vendor, detection_id = await _asked(database, _AI)
    vendor.synthetic = _AI.model_copy(update={name: value})
    await _again(here)
    _, second = here.results(detection_id)
    assert second["verdict"] == "ai_generated"
    assert here.events()[-1] == "detection.revised"


async def test_each_field_of_a_result_is_known_to_be_answer_or_not(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]))
    detection_id = here.submit("asc")
    await here.dispatch()
    (result,) = here.results(detection_id)
    of_all = {
        "id", "revision", "supersedes", "mode", "schema_version", "links", "external_id", "metadata", "declared",
        "track", "display", "decision", "detectors", "totals", "created_at", "completed_at",
    }  # fmt: skip
    of_one = {
        "run_id", "detector", "vendor", "reason_text", "refs", "obtained", "timing", "cost", "waiting_for",
        "next_look_at", "deadline_at",
        "possible_duplicate_charge", "raw", "raw_events", "extras",
    }  # fmt: skip
    assert set(result) == {*ANSWER, *of_all}
    assert set(result["detectors"][0]) == {*DETECTOR_ANSWER, *of_one}


async def test_a_trial_tells_what_would_change_and_writes_nothing(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    told = here.events()
    vendor.synthetic = _AI
    tally = await renormalise(database, here.policy, AnswerFilter(_LONG_AGO), here.clock, dry_run=True)
    assert [change.after for change in tally.changes] == ["ai_generated"]
    assert (here.events(), len(here.results(detection_id)), here.run().state) == (told, 1, "failed")


@pytest.mark.parametrize(
    "reading", [Refused(ReasonCode.VENDOR_ERROR, "later", retryable=True), Reading(status=RunStatus.RUNNING)]
)
async def test_an_end_is_never_taken_back(database: Database, reading: Reading | Refused) -> None:
    here, vendor, detection_id = await _asked(database, _AI)
    vendor.synthetic = reading
    tally = await _again(here)
    assert (tally.runs, tally.changes) == ({"no_end": 1}, [])
    assert here.detection(detection_id).verdict == "ai_generated"


async def test_a_verdict_that_was_none_is_withdrawn(database: Database) -> None:
    here, vendor, detection_id = await _asked(database, _AI)
    vendor.synthetic = Refused(ReasonCode.SCHEMA_MISMATCH, "no verdict in it", retryable=False)
    await _again(here)
    assert (here.run().state, here.run().reason_code) == ("failed", "schema_mismatch")
    assert (here.detection(detection_id).status, here.detection(detection_id).verdict) == ("failed", "not_analyzed")
    assert here.events()[-1] == "detection.revised"
    vendor.synthetic = _HUMAN
    await _again(here)
    assert here.detection(detection_id).verdict == "no_ai_detected"


def _drop_raw(here: World) -> None:
    with here.database.writing() as session:
        session.exec(delete(RawBody).where(col(RawBody.owner_id) == here.run().id))


@pytest.mark.parametrize("prepare", [_drop_raw, lambda _here: None], ids=["gone", "past its time"])
async def test_without_the_bytes_a_run_is_counted_and_left(
    database: Database, prepare: Callable[[World], None]
) -> None:
    here, vendor, detection_id = await _asked(database)
    prepare(here)
    vendor.synthetic = _AI
    tally = await _again(here, kept_since=_at(46))
    assert (tally.runs, tally.changes, len(here.results(detection_id))) == ({"raw_missing": 1}, [], 1)


async def test_what_was_erased_is_not_looked_at(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    with database.writing() as session:
        erase_detection(session, lock_detection(session, detection_id), here.clock())
    vendor.synthetic = _AI
    assert (await _again(here)).detections == 0
    assert here.detection(detection_id).revision == 1


async def test_what_was_cancelled_or_is_asked_again_is_not_looked_at(database: Database) -> None:
    vendor = Mended(submits=[job("j1"), said("synthetic")])
    here = world(database, vendor, aippim())
    detection_id = here.submit("asc", "aippim/standard")
    alter(database, here.runs(detection_id)[1:], due_at=None)
    await here.dispatch()
    vendor.synthetic = _AI
    assert (await _again(here)).detections == 0
    call_off(here, detection_id)
    assert (await _again(here)).detections == 0
    assert here.events()[-1] == "detection.cancelled"


async def test_an_answer_at_once_is_read_as_one(database: Database) -> None:
    vendor = Mended(submits=[said("synthetic")])
    here = world(database, vendor)
    detection_id = here.submit("asc")
    await here.dispatch()
    vendor.synthetic = _AI
    await _again(here)
    assert (here.detection(detection_id).verdict, vendor.read_at) == ("ai_generated", [])


async def test_an_answer_that_was_taken_over_is_read_as_its_vendor_gave_it(database: Database) -> None:
    vendor = Mended(submits=[said("synthetic")], synthetic=_AI)
    here = world(database, vendor)
    media_id = recording(here)
    first = ask(here, media_id)
    await here.dispatch()
    second = ask(here, media_id)
    assert [run.via for run in here.runs()] == ["sync", "reuse"]
    vendor.synthetic = _HUMAN
    tally = await _again(here)
    assert [here.detection(each).verdict for each in (first, second)] == ["no_ai_detected"] * 2
    assert (tally.runs, vendor.read_at) == ({"read": 2}, [])
    assert (await _again(here)).changes == []


async def test_a_status_nobody_knew_at_the_deadline_is_an_answer_once_it_is_known(database: Database) -> None:
    odd = Reading(status=RunStatus.RUNNING, extras={"unknown_status": "synthetic"})
    vendor = Mended(submits=[job("j1")], fetches=[said("synthetic")], synthetic=odd)
    here = world(database, vendor, deadline=40)
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(40)
    await here.poll()
    assert (here.run().reason_code, here.run().observation_n) == ("schema_mismatch", None)
    vendor.synthetic = _AI
    await _again(here)
    _, second = here.results(detection_id)
    assert (second["verdict"], second["detectors"][0]["reason_code"]) == ("ai_generated", None)
    assert second["detectors"][0]["obtained"]["authenticity"] == "tls_fetch"


async def test_our_own_refusal_of_audio_is_no_answer(database: Database) -> None:
    vendor = Mended()
    here = world(database, vendor)
    here.submit("asc")
    vendor.taken = replace(vendor.taken, max_bytes=1)  # its limit was higher when the question was taken
    await here.dispatch()
    assert here.run().reason_code == "file_too_large"
    assert (await _again(here)).runs == {"nothing_said": 1}


async def test_only_the_wanted_detector_and_time_are_looked_at(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    vendor.synthetic = _AI
    for wanted in ({"detector": "pex"}, {"since": _at(1)}, {"after": detection_id}):
        assert (await _again(here, **wanted)).detections == 0
    assert (await _again(here, detector="asc", since=NOW)).detections == 1
    assert here.detection(detection_id).revision == 2


async def test_one_detection_that_fails_harms_no_other(database: Database) -> None:
    vendor = Mended(submits=[said("synthetic"), said("synthetic", n=2)])
    here = world(database, vendor)
    ids = [here.submit("asc") for _ in range(2)]
    await here.dispatch()
    with database.writing() as session:
        seen = session.exec(select(Observation).where(col(Observation.outcome).is_(None))).first()
        assert seen is not None
        seen.reading = "{"
        broken = seen.run_id
    vendor.synthetic = _AI
    tally = await _again(here)
    assert (tally.detections, tally.broken, len(tally.changes)) == (2, 1, 1)
    revised = {run.detection_id: run.id != broken for run in here.runs()}
    assert {each: here.detection(each).revision == 2 for each in ids} == revised


async def test_the_timeline_tells_that_it_was_read_again_and_of_no_poll(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    vendor.synthetic = _AI
    await _again(here)
    with database.reading() as session:
        facts = [fact.shown() for fact in assemble(session, here.detection(detection_id), here.clock()).facts]
    seen = [
        (fact["kind"], fact.get("effect"), fact.get("verdict")) for fact in facts if fact["at"].endswith("17:25.000Z")
    ]
    assert ("run.observed", "reread", "ai_generated") in seen
    assert [fact["kind"] for fact in facts].count("run.polled") == 1


async def test_the_event_carries_the_new_answer(database: Database) -> None:
    here, vendor, detection_id = await _asked(database)
    vendor.synthetic = _AI
    await _again(here)
    with database.reading() as session:
        row = session.exec(select(Event).where(Event.type == "detection.revised")).one()
    data = json.loads(row.body)["data"]
    assert (data["id"], data["revision"], data["verdict"]) == (detection_id, 2, "ai_generated")


async def test_a_detector_that_is_not_offered_any_more_is_counted_and_left(database: Database) -> None:
    here, _, _ = await _asked(database)
    other = World(database, replace(here.policy, catalogue=policy_of(aippim()).catalogue), here.clock)
    assert (await _again(other)).runs == {"no_adapter": 1}
