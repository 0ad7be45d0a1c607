"""What a detector's last runs have shown, and what is made of it: figures, and the time of the first poll."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, SQLModel

from service.detectors.latency import Latency
from service.kit.db.database import Database
from service.runs.reporting.detector_stats import MOST, Answered, Measurements, measure, summed
from service.runs.state.models import Run
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, asc, job

_PLAIN = Answered("succeeded", "poll", False, NOW, NOW + timedelta(seconds=60), None)


def _runs(database: Database, detection_id: str, count: int, **changes: Any) -> None:
    """So many answered runs, each a second slower than the one before; the last one took `count` seconds."""
    with database.writing() as session:
        session.add_all([_run(detection_id, n, **changes) for n in range(1, count + 1)])


def _run(detection_id: str, n: int, **changes: Any) -> SQLModel:
    place = changes.pop("place", 100) + n
    row: dict[str, Any] = {
        "id": f"run_{place}", "detection_id": detection_id, "position": place, "account_id": f"acc_{n}", "mode": "live",
        "vendor": "asc", "detector": "asc", "state": "succeeded", "via": "callback", "created_at": NOW,
        "deadline_at": NOW, "submit_started_at": NOW - timedelta(seconds=n), "answered_at": NOW, "ended_at": NOW,
        "confirmation_requested_at": NOW,
    }  # fmt: skip
    return Run(**(row | changes))


def _read(database: Database, measurements: Any = measure, *, mode: str = "live", after: float = 1) -> Any:
    def look(session: Session) -> Any:
        return measurements(session, mode, "asc", NOW + timedelta(seconds=after))

    with database.reading() as session:
        return look(session)


@pytest.fixture
def here(database: Database) -> World:
    return world(database, asc())


def test_figures_are_of_all_accounts_of_the_mode_together(database: Database, here: World) -> None:
    detection_id = here.submit("asc")
    _runs(database, detection_id, 100)
    _runs(database, detection_id, 3, place=300, mode="test")
    _runs(database, detection_id, 3, place=400, detector="asc/sync")
    assert _read(database).latency == Latency(50_000, 95_000, 100)
    assert _read(database, mode="test").latency.samples == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"via": "reuse"},
        {"state": "failed"},
        {"state": "timed_out", "via": None, "answered_at": None},
        {"answered_at": NOW - timedelta(days=8)},
    ],
)
def test_what_is_no_answer_of_the_vendors_lately_is_not_measured(
    database: Database, here: World, changes: dict[str, Any]
) -> None:
    _runs(database, here.submit("asc"), 2, **changes)
    measured = _read(database)
    assert (measured.latency, measured.callback_loss_pct) == (Latency(), None)


def test_only_the_last_five_hundred_count(database: Database, here: World) -> None:
    detection_id = here.submit("asc")
    _runs(database, detection_id, MOST, place=1000)
    earlier = NOW - timedelta(days=1)
    _runs(database, detection_id, 5, place=5000, answered_at=earlier, submit_started_at=earlier - timedelta(hours=1))
    latency = _read(database).latency
    assert (latency.samples, latency.p95_ms) == (MOST, 475_000)


def test_the_answered_runs_are_found_by_an_index(database: Database, here: World) -> None:
    question = (
        "SELECT answered_at FROM run WHERE mode = 'live' AND detector = 'asc' AND"
        " state IN ('succeeded', 'not_applicable') AND via <> 'reuse' AND answered_at > '2026-01-01'"
        " ORDER BY answered_at DESC LIMIT 500"
    )
    with database.reading() as session:
        connection = session.connection()
        if not database.is_sqlite:
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        plan = str(connection.exec_driver_sql(explain + question).all())
    assert "ix_run_measured" in plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan
    assert here.events() == []


def test_a_callback_is_lost_where_none_had_claimed_an_end_by_the_answer() -> None:
    by_callback = replace(_PLAIN, via="callback")
    called_then_polled = replace(_PLAIN, confirmation_requested_at=NOW)
    refused = replace(_PLAIN, state="not_applicable")
    assert summed([_PLAIN, by_callback, called_then_polled, refused]).callback_loss_pct == 33.3
    assert summed([refused]).callback_loss_pct is None


def test_the_plan_is_made_of_callbacks_alone_and_never_of_a_second_submission() -> None:
    by_callback = replace(_PLAIN, via="callback", answered_at=NOW + timedelta(seconds=20))
    measured = summed([_PLAIN, by_callback, replace(by_callback, resubmitted=True)])
    assert (measured.called_back, measured.latency) == (Latency(20_000, 20_000, 1), Latency(20_000, 60_000, 2))


def test_a_process_asks_for_figures_once_a_minute(database: Database, here: World) -> None:
    measurements = Measurements()
    assert _read(database, measurements).latency.samples == 0
    _runs(database, here.submit("asc"), 1)
    assert [_read(database, measurements, after=seconds).latency.samples for seconds in (60, 61)] == [0, 1]


@pytest.mark.parametrize(("count", "first_poll_is_set", "wait"), [(49, False, 45), (50, False, 53), (50, True, 45)])
async def test_a_run_is_polled_first_when_callbacks_usually_have_come(
    database: Database, count: int, first_poll_is_set: bool, wait: float
) -> None:
    vendor = asc(submits=[job("j1"), job("j2")])
    here = world(database, vendor, first_poll_is_set=first_poll_is_set)
    other = here.submit("asc")
    await here.dispatch()
    alter(database, here.runs(other), state="failed", due_at=None)
    _runs(database, other, count)
    here = World(database, replace(here.policy, measured=Measurements()), here.clock)
    detection_id = here.submit("asc")
    await here.dispatch()
    (run,) = here.runs(detection_id)
    assert run.due_at == NOW + timedelta(seconds=wait)
