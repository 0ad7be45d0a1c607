"""What is left of a detection once it is erased, in every room, and what may not be erased yet."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, SQLModel, select

from service.detections.changes import cancel
from service.detections.erase import without_content
from service.detections.queries import result_of
from service.events.models import Event
from service.events.outbox import Outbox
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.media.erase import find_media
from service.media.models import Media
from service.retention.erase import erase_detection, erase_media
from service.runs.load.lock import lock_detection
from service.runs.state.models import Detection
from service.webhooks.fanout import fan_out
from service.webhooks.queue.record import record_attempts
from tests.detections.rows import ACCOUNT, World, world
from tests.detections.scripted import NOW, aippim, asc, job, raw, said
from tests.webhooks.rows import attempts, claimed, deliveries, finished, put_endpoint

CANARY = "canary-7f3a"
DONE = {"said": "ai", "words": CANARY}


async def _answered(database: Database) -> tuple[World, str]:
    """A detection that ended, with the canary in every place where a customer's or a vendor's words are kept."""
    here = world(database, asc(submits=[job("j1")], fetches=[said("ai", words=CANARY)]))
    here.policy.outbox._recorders.append(fan_out(lambda: None))
    put_endpoint(database, events=["*", "detector.completed"])
    detection_id = here.submit(
        "asc", external_id=CANARY, metadata={"isrc": CANARY}, declared={"ai": True}, media={"name": f"{CANARY}.wav"}
    )
    await here.dispatch()
    here.arrive(here.run().id, DONE, job_id="j1")
    await here.callbacks()
    await here.poll()
    claim = claimed(database, limit=1)[0]
    with database.writing() as session:
        record_attempts(Outbox())(session, [finished(claim, 500)])
    return here, detection_id


def _erase(here: World, detection_id: str) -> None:
    with here.database.writing() as session:
        erase_detection(session, lock_detection(session, detection_id), here.clock())


def _everything(session: Session) -> Iterator[str]:
    for table in SQLModel.metadata.sorted_tables:
        for row in session.connection().execute(text(f"SELECT * FROM {table.name}")):  # noqa: S608 - our own names
            yield f"{table.name}: {[bytes(each) if isinstance(each, memoryview) else each for each in row]!r}"


def _places(database: Database) -> set[str]:
    """The tables that hold the canary."""
    with database.reading() as session:
        return {line.partition(":")[0] for line in _everything(session) if CANARY in line}


async def test_no_word_of_the_customers_or_the_vendors_is_left(database: Database) -> None:
    here, detection_id = await _answered(database)
    assert _places(database) >= {"detection", "revision", "event", "callback", "raw_body", "media"}
    _erase(here, detection_id)
    assert _places(database) == {"media"}
    with database.writing() as session:
        media = find_media(session, ACCOUNT, "live", here.detection(detection_id).media_id or "")
        assert media is not None
        assert media.delete_after == here.clock()
        erase_media(session, media, here.clock())
    assert _places(database) == set()


async def test_ids_states_times_and_the_verdict_are_left_and_can_be_read(database: Database) -> None:
    here, detection_id = await _answered(database)
    (before,) = here.results(detection_id)
    _erase(here, detection_id)
    with database.reading() as session:
        after = result_of(session, session.get_one(Detection, detection_id), here.policy, full=True)
        short = result_of(session, session.get_one(Detection, detection_id), here.policy, full=False)
    kept = ("id", "revision", "status", "verdict", "votes", "decision", "created_at", "completed_at", "links")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after.keys() == {*before, "erased_at"}
    assert after["detectors"][0].keys() == before["detectors"][0].keys()
    assert (after["metadata"], after["external_id"], after["detectors"][0]["raw"]) == ({}, None, None)
    assert after["detectors"][0]["verdict"] == "ai_generated"
    assert after["track"]["audio_sha256"] == before["track"]["audio_sha256"]
    assert short["erased_at"] == "2026-11-20T12:00:00.000Z"
    assert here.run().state == "succeeded"


async def test_no_review_is_promised_of_what_was_erased(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]), aippim(prepares=[raw({"ref": "m"})], submits=[said("human")]))
    detection_id = here.submit("asc", "aippim/pro")
    await here.dispatch()
    (before,) = here.results(detection_id)
    assert (before["review"]["state"], before["display"]) == ("open", "detectors disagree, under review")
    _erase(here, detection_id)
    (after,) = here.results(detection_id)
    assert (after["review"]["required"], after["review"]["state"]) == (False, "none")
    assert after["review"]["reasons"] == before["review"]["reasons"]
    assert after["display"] == "detectors disagree"


@pytest.mark.parametrize("display", ["detectors disagree, reviewed", "not scanned: file too short", None])
def test_what_promises_nothing_is_said_after_erasing_too(display: str | None) -> None:
    review = {"required": True, "state": "decided", "decided_by": "x", "note": "y"}
    plain: dict[str, Any] = {"track": {}, "components": {}, "detectors": [], "review": review, "display": display}
    after = without_content(plain, NOW)
    assert (after["display"], after["review"]["state"], after["review"]["required"]) == (display, "decided", True)


async def test_what_was_not_delivered_never_is_and_events_say_what_became_of_them(database: Database) -> None:
    here, detection_id = await _answered(database)
    assert [each.state for each in deliveries(database)] == ["due", "blocked"]
    types = here.events()
    _erase(here, detection_id)
    assert [(each.state, each.due_at, each.attempts) for each in deliveries(database)] == [
        ("skipped", None, 1),
        ("skipped", None, 0),
    ]
    assert [each.response_excerpt for each in attempts(database)] == [None]
    with database.reading() as session:
        bodies = [json.loads(event.body) for event in session.exec(select(Event).order_by(Event.position))]  # type: ignore[arg-type] # a column
    assert [body["type"] for body in bodies] == types
    assert {body["data"]["id"] for body in bodies} == {detection_id}
    assert all(body["data"].keys() == {"id", "revision", "erased_at"} for body in bodies)


async def test_erasing_twice_changes_nothing(database: Database) -> None:
    here, detection_id = await _answered(database)
    _erase(here, detection_id)
    before = (here.detection(detection_id), here.results(detection_id))
    here.clock.turn(60)
    _erase(here, detection_id)
    assert (here.detection(detection_id), here.results(detection_id)) == before


async def test_a_callback_that_comes_after_it_leaves_no_word(database: Database) -> None:
    here, detection_id = await _answered(database)
    with database.writing() as session:
        media = session.get_one(Media, here.detection(detection_id).media_id)
        media.name = "x"
    _erase(here, detection_id)
    here.arrive(here.run().id, {**DONE, "again": 1}, job_id="j1")
    await here.callbacks()
    assert (here.callback_states(), _places(database)) == (["applied", "late"], set())


async def test_what_has_not_ended_is_not_erased(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")]))
    detection_id = here.submit("asc", metadata={"kept": CANARY})
    with pytest.raises(CallerError) as refused:
        _erase(here, detection_id)
    assert (refused.value.status, refused.value.code) == (409, "not_ended")
    assert "detection" in _places(database)
    with database.writing() as session:
        cancel(session, lock_detection(session, detection_id), here.policy, NOW)
    _erase(here, detection_id)
    assert _places(database) == set()


async def test_a_late_answer_of_an_erased_detection_does_not_revise_it(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=[raw({}, 503)]), deadline=40)
    detection_id = here.submit("asc")
    await here.dispatch()
    here.clock.turn(40)
    await here.poll()
    here.arrive(here.run().id, DONE, job_id="j1")
    await here.callbacks()
    _erase(here, detection_id)
    assert here.run().due_at is None
    await here.poll()
    assert (here.detection(detection_id).revision, here.run().state) == (1, "timed_out")


def test_audio_that_another_detection_has_is_kept_and_needed_audio_cannot_be_erased(database: Database) -> None:
    here = world(database, asc())
    first = here.submit("asc")
    media_id = here.detection(first).media_id or ""
    with database.writing() as session:
        with pytest.raises(CallerError) as refused:
            erase_media(session, session.get_one(Media, media_id), NOW)
        assert (refused.value.status, refused.value.code) == (409, "media_in_use")
        cancel(session, lock_detection(session, first), here.policy, NOW)
    second = here.submit("asc", media={"sha256": "0" * 64})
    with database.writing() as session:
        lock_detection(session, second).media_id = media_id
        session.get_one(Media, media_id).delete_after = None
    _erase(here, first)
    with database.reading() as session:
        assert session.get_one(Media, media_id).delete_after is None
