"""A day of detections at ASC and AIPPIM stays inside what they allow, and every detection has its one last word.

Here a small part of a busy day with the same part of ASC's daily quota; the minute's limit and the places are whole.
The whole day takes a quarter of an hour: `DAY_DETECTIONS=4000 pytest tests/journeys/test_day.py`.
"""

import os
from collections import Counter

import pytest
from sqlmodel import col, select

from service.billing.models import Entry
from service.events.models import Event
from service.kit.db.database import Database
from service.quotas.models import Gate
from service.runs.state.models import Detection, Revision
from tests.journeys.day import MIDNIGHT, Day, Plan

SIZE = int(os.environ.get("DAY_DETECTIONS", "120"))
_FINAL = {
    "completed": "detection.completed",
    "completed_partial": "detection.completed",
    "failed": "detection.failed",
    "expired": "detection.failed",
}


@pytest.fixture
async def day(database: Database) -> Day:
    lived = Day(database, Plan(SIZE))
    await lived.live()
    return lived


@pytest.mark.timeout(max(120, SIZE))
async def test_a_busy_day_stays_inside_the_quotas_and_loses_nothing(day: Day) -> None:
    asc, aippim = day.asc, day.aippim
    told = day.summary()
    assert (asc.refused, aippim.refused) == ({}, {}), told
    assert aippim.most_in_a_minute <= 100, told
    assert asc.most_in_a_day <= day.plan.asc_a_day, told
    assert asc.most_at_once <= 10, told
    assert_busy(day)
    assert_each_has_one_last_word(day)
    assert_each_was_taken_once_and_counted_once(day)


def assert_busy(day: Day) -> None:
    """The limits were met, so that keeping them was work; and our own count is the vendors'."""
    assert day.aippim.most_in_a_minute > 80
    assert day.asc.most_at_once == 10
    with day.database.reading() as session:
        gates = {gate.vendor: gate for gate in session.exec(select(Gate))}
    # A request that never left is counted too; it is one that the vendor has not seen.
    assert day.asc.most_in_a_day <= gates["asc"].window_used <= day.asc.most_in_a_day * 1.03
    assert gates["asc"].window_started_at == MIDNIGHT


def assert_each_has_one_last_word(day: Day) -> None:
    with day.database.reading() as session:
        detections = session.exec(select(Detection)).all()
        revisions = Counter(session.exec(select(Revision.detection_id)))
        finals = session.exec(
            select(Event.detection_id, Event.type).where(col(Event.final_revision).is_not(None))
        ).all()
        ended = {one.id: _FINAL[one.status] for one in detections}
    assert len(ended) == len(day.asked) == SIZE
    assert sorted(finals) == sorted(ended.items())
    assert revisions == dict.fromkeys(ended, 1)
    runs = day.runs()
    # Time runs out only where nobody heard of a submission nor of its one repetition, once in ten thousand.
    unheard = [run for run in runs if run.state == "timed_out"]
    assert {(run.resubmitted, run.vendor_job_id) for run in unheard} <= {(True, None)}
    # Only the vendors' own failures: none because it waited too long, before a gate or for an answer.
    assert {run.state for run in runs} <= {"succeeded", "not_applicable", "failed", "timed_out"}
    assert {run.reason_code for run in runs if run.state == "failed"} <= {"vendor_error"}
    assert all(run.vendor_job_id or run.via == "reuse" for run in runs if run not in unheard)


def assert_each_was_taken_once_and_counted_once(day: Day) -> None:
    with day.database.reading() as session:
        ledger = Counter(session.exec(select(Entry.run_id)))
        unsure = set(session.exec(select(Entry.run_id).where(col(Entry.billed).is_(None))))
    left = day.asc.left + day.aippim.left
    assert ledger == left
    twice = {run_id for run_id, count in left.items() if count > 1}
    # Only what nobody heard of is submitted again, and once.
    assert twice <= {run.id for run in day.runs() if run.resubmitted}
    assert unsure == twice
    assert max(left.values()) <= 2
    assert Counter(one.run_id for one in day.asc.jobs.values()).most_common(1)[0][1] == 1


async def test_slow_uploads_do_not_bring_two_minutes_submissions_into_one(sqlite_url: str) -> None:
    """What is charged with its upload leaves up to a minute later, together with what was charged then."""
    database = Database(sqlite_url)
    day = Day(database, Plan(99, detectors=["aippim/standard"], bursts=[9, 9, 9], slowest_upload=58.0))
    await day.live()
    assert (day.aippim.most_in_a_minute <= 100, day.aippim.refused) == (True, {}), day.summary()
    database.close()
