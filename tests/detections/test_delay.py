"""Saying in good time that an answer is late: once, with the reason, and the final event still follows."""

import json
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import col, select

from service.detections.changes import emit_delayed, recheck, unannounced_delays
from service.events.models import Event
from service.kit.db.database import Database
from service.runs.load.lock import lock_detection
from tests.detections.rows import World, world
from tests.detections.scripted import NOW, asc, job, not_sent, raw, said


def _tell(here: World) -> int:
    """How many delays were told now."""
    with here.database.reading() as session:
        found = unannounced_delays(session, now=here.clock())
    told = 0
    for detection_id in found:
        with here.database.writing() as session:
            told += emit_delayed(session, detection_id, here.policy, here.clock())
    return told


def _data(here: World) -> dict[str, Any]:
    with here.database.reading() as session:
        (body,) = session.exec(select(Event.body).where(col(Event.type) == "detection.delayed"))
    data: dict[str, Any] = json.loads(body)["data"]
    return data


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_it_is_told_once_when_nine_tenths_of_the_time_have_passed(database: Database) -> None:
    here = world(database, asc(submits=[job("j1")], fetches=[said("ai")]))
    detection_id = here.submit("asc", answer_within_seconds=100)
    await here.dispatch()
    here.clock.turn(89.9)
    assert _tell(here) == 0
    here.clock.turn(0.1)
    assert (_tell(here), _tell(here)) == (1, 0)
    data = _data(here)
    assert (data["id"], data["status"], data["verdict"], data["revision"]) == (detection_id, "running", None, 1)
    assert data["delay"] == {
        "reason": "vendor",
        "waiting_for": [{"detector": "asc", "reason": "vendor"}],
        "answer_by_at": "2026-11-20T12:01:40.000Z",
        "estimated_at": "2026-11-20T12:00:45.000Z",
        "ends_at_latest": "2026-11-20T13:00:00.000Z",
    }
    await here.poll()
    assert here.events() == ["detection.delayed", "detector.completed", "detection.completed"]
    assert here.detection(detection_id).delayed_at == _at(90)


async def test_what_ended_in_time_is_not_called_late(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]))
    detection_id = here.submit("asc", answer_within_seconds=100)
    await here.dispatch()
    here.clock.turn(1000)
    assert (_tell(here), here.detection(detection_id).delayed_at) == (0, None)


async def test_the_reason_is_what_holds_the_run_up(database: Database) -> None:
    for submit, reason in ((not_sent(), "vendor_error"), (raw({}, 429), "rate_limited")):
        here = world(database, asc(submits=[submit]))
        here.submit("asc", answer_within_seconds=100)
        await here.dispatch()
        here.clock.turn(95)
        with database.writing() as session:
            for event in session.exec(select(Event)):
                session.delete(event)
        assert _tell(here) == 1
        assert _data(here)["delay"]["reason"] == reason


async def test_audio_that_does_not_come_is_a_reason(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc", answer_within_seconds=30, source_url="https://cdn.example/a.wav")
    here.clock.turn(27)
    assert _tell(here) == 1
    assert _data(here)["delay"]["reason"] == "source"


async def test_a_recheck_has_its_own_time_and_reminder(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]))
    detection_id = here.submit("asc", answer_within_seconds=100)
    await here.dispatch()
    here.clock.turn(1000)
    with database.writing() as session:
        recheck(session, lock_detection(session, detection_id), here.policy, here.clock())
    assert _tell(here) == 0
    here.clock.turn(90)
    assert (_tell(here), _data(here)["revision"]) == (1, 2)


async def test_a_detection_that_ended_between_looking_and_telling_is_left_alone(database: Database) -> None:
    here = world(database, asc(submits=[said("ai")]))
    detection_id = here.submit("asc", answer_within_seconds=100)
    await here.dispatch()
    with database.writing() as session:
        lock_detection(session, detection_id).delay_due_at = NOW
    assert (_tell(here), here.detection(detection_id).delay_due_at) == (0, None)
