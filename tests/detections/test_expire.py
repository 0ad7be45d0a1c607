"""The belt under every deadline."""

from datetime import timedelta

import pytest

from service.detections.changes import expire_overdue, overdue_runs
from service.kit.db.database import Database
from service.runs.state.lifecycle import RunState
from tests.detections.rows import PLAN, alter, world
from tests.detections.scripted import NOW, asc

_OPEN = [state.value for state in RunState if not state.ended]
_LATE = NOW + timedelta(seconds=PLAN.deadline + 301)


@pytest.mark.parametrize("state", _OPEN)
def test_whatever_kept_a_run_it_ends_some_minutes_after_its_deadline(database: Database, state: str) -> None:
    here = world(database, asc())
    detection_id = here.submit("asc")
    alter(database, [here.run()], state=state)
    with database.reading() as session:
        assert overdue_runs(session, now=_LATE - timedelta(seconds=2)) == []
        (run_id,) = overdue_runs(session, now=_LATE)
    with database.writing() as session:
        expire_overdue(session, run_id, here.policy, _LATE)
    assert (here.run().state, here.run().reason_code) == ("timed_out", "no_callback_no_result")
    assert here.detection(detection_id).status == "expired"
    assert here.events() == ["detector.completed", "detection.failed"]


def test_a_run_that_ended_meanwhile_is_left_alone(database: Database) -> None:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], state="succeeded", ended_at=NOW)
    before = here.run()
    with database.writing() as session:
        assert overdue_runs(session, now=_LATE) == []
        expire_overdue(session, before.id, here.policy, _LATE)
    assert here.run() == before
    assert here.events() == []


def test_the_longest_overdue_come_first_and_only_so_many(database: Database) -> None:
    here = world(database, asc())
    for age in (3, 1, 2):
        here.submit("asc")
        alter(database, here.runs()[-1:], deadline_at=NOW - timedelta(hours=age))
    with database.reading() as session:
        found = overdue_runs(session, now=NOW, limit=2)
    first, _, third = here.runs()
    assert found == [first.id, third.id]
