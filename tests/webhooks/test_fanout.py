"""Each fact has one delivery for every endpoint that wants it, in order within a detection, in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session, select

from service.events.models import Event
from service.events.types import EventType
from service.kit.db.database import Database
from service.webhooks.fanout import TOPIC
from service.webhooks.models import Delivery
from service.webhooks.queue.claimed import Leased
from tests.waiting import until
from tests.webhooks.rows import ACCOUNT, LEASE, NOW, deliveries, draft, put, put_endpoint, set_endpoint, states, tell


class Desk:
    """Takes what is handed over, if there is room."""

    def __init__(self, *, room: bool = True) -> None:
        self.room = room
        self.taken: list[Leased] = []

    def reserve(self, account_ids: Sequence[str], now: datetime) -> tuple[str, datetime] | None:
        assert account_ids
        return ("lease_1", now + LEASE) if self.room else None

    def take(self, leased: Sequence[Leased]) -> None:
        self.taken += leased


def set_deliveries(database: Database, **values: object) -> None:
    with database.writing() as session:
        for delivery in deliveries(database):
            found = session.get_one(Delivery, delivery.id)
            for name, value in values.items():
                setattr(found, name, value)


def test_only_the_accounts_endpoints_of_that_mode_hear_of_it(database: Database) -> None:
    mine, _ = put_endpoint(database)
    put_endpoint(database, account_id="acc_2")
    put_endpoint(database, mode="test")
    gone, _ = put_endpoint(database)
    set_endpoint(database, gone, deleted_at=NOW)
    (event,) = put(database, draft())
    (delivery,) = deliveries(database)
    assert (delivery.endpoint_id, delivery.event_id, delivery.event_position) == (mine, event.id, event.position)
    assert (delivery.state, delivery.lane, delivery.due_at, delivery.attempts) == ("due", "fresh", NOW, 0)


def test_an_endpoint_hears_what_its_filters_take_and_each_fact_once(database: Database) -> None:
    put_endpoint(database, events=["detection.*", "detection.completed", "batch.completed"])
    put(database, draft(), draft(kind=EventType.REVIEW_REQUIRED), draft(kind=EventType.BATCH_COMPLETED))
    assert len(deliveries(database)) == 2


def test_one_runs_end_is_told_only_to_who_named_it(database: Database) -> None:
    put_endpoint(database, events=["*"])
    put_endpoint(database, events=["detection.*"])
    named = {put_endpoint(database, events=[name])[0] for name in ("detector.*", "detector.completed")}
    put(database, draft(kind=EventType.DETECTOR_COMPLETED))
    assert {delivery.endpoint_id for delivery in deliveries(database)} == named


def test_an_endpoint_that_the_fact_is_about_is_not_told(database: Database) -> None:
    about, _ = put_endpoint(database)
    other, _ = put_endpoint(database)
    put(database, draft(None, EventType.ENDPOINT_DISABLED, not_to=about))
    assert [delivery.endpoint_id for delivery in deliveries(database)] == [other]


def test_for_an_endpoint_that_is_disabled_it_is_held(database: Database) -> None:
    put_endpoint(database, status="disabled")
    desk = Desk()
    with database.writing() as session:
        tell(session, draft(), local_deliverer=desk)
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.due_at) == ("held", None)
    assert desk.taken == []


def test_what_is_held_stands_behind_nothing(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    set_endpoint(database, endpoint_id, status="disabled")
    put(database, draft())
    assert states(database) == ["due", "held"]


def test_a_newer_event_of_a_detection_waits_for_the_older_at_that_endpoint(database: Database) -> None:
    put_endpoint(database)
    put(database, draft())
    put(database, draft(kind=EventType.DETECTION_REVISED))
    put(database, draft(kind=EventType.REVIEW_REQUIRED))
    assert [(each.state, each.due_at) for each in deliveries(database)] == [
        ("due", NOW),
        ("blocked", None),
        ("blocked", None),
    ]


def test_two_events_of_one_detection_told_at_once_are_ordered_too(database: Database) -> None:
    put_endpoint(database)
    put(database, draft(), draft(kind=EventType.REVIEW_REQUIRED))
    assert states(database) == ["due", "blocked"]


def test_detections_never_wait_for_one_another_nor_endpoints(database: Database) -> None:
    first, _ = put_endpoint(database, events=["detection.completed"])
    second, _ = put_endpoint(database, events=["detection.*"])
    put(database, draft("det_1"))
    put(database, draft("det_2"), draft(None), draft(None))
    put(database, draft("det_1", EventType.DETECTION_REVISED))
    waiting = [each for each in deliveries(database) if each.state == "blocked"]
    assert [(each.endpoint_id, each.detection_id) for each in waiting] == [(second, "det_1")]
    assert sum(each.endpoint_id == first for each in deliveries(database)) == 4


@pytest.mark.parametrize("values", [{"state": "succeeded"}, {"state": "exhausted"}, {"attempts": 3}])
def test_nobody_waits_for_what_has_ended_or_failed_three_times(database: Database, values: dict[str, object]) -> None:
    put_endpoint(database)
    put(database, draft())
    set_deliveries(database, **values)
    put(database, draft(kind=EventType.DETECTION_REVISED))
    assert states(database)[1] == "due"


@pytest.mark.parametrize("values", [{"state": "held"}, {"state": "blocked"}, {"attempts": 2}])
def test_what_has_failed_less_often_or_is_held_is_waited_for(database: Database, values: dict[str, object]) -> None:
    put_endpoint(database)
    put(database, draft())
    set_deliveries(database, **values)
    put(database, draft(kind=EventType.DETECTION_REVISED))
    assert states(database)[1] == "blocked"


def test_what_is_handed_over_is_leased_and_taken_after_the_commit(database: Database) -> None:
    put_endpoint(database)
    desk = Desk()
    with database.writing() as session:
        tell(session, draft(), draft(kind=EventType.REVIEW_REQUIRED), local_deliverer=desk)
        assert desk.taken == []
    due, blocked = deliveries(database)
    (taken,) = desk.taken
    with database.reading() as session:
        event = session.exec(select(Event).where(Event.id == due.event_id)).one()
    facts = (due.event_id, due.event_position, event.type, event.body)
    assert taken == Leased(due.id, "lease_1", 0, 0, ACCOUNT, "live", due.endpoint_id, "det_1", *facts)
    assert (due.state, due.lease_token, due.due_at) == ("due", "lease_1", NOW + LEASE)
    assert (blocked.state, blocked.lease_token) == ("blocked", None)


def _told_in_vain(session: Session, desk: Desk) -> None:
    tell(session, draft(), local_deliverer=desk)
    raise RuntimeError("no commit")


async def test_after_a_rollback_nothing_is_taken(database: Database) -> None:
    put_endpoint(database)
    desk = Desk()
    with pytest.raises(RuntimeError, match="no commit"):
        await database.write(_told_in_vain, desk)
    assert desk.taken == []
    assert deliveries(database) == []


async def test_a_full_desk_leaves_the_row_to_the_claim_and_wakes_it(database: Database) -> None:
    put_endpoint(database)
    database.wake.attach()
    woken = database.wake.subscribe(TOPIC)
    with database.writing() as session:
        tell(session, draft(), local_deliverer=Desk(room=False))
    assert [(each.due_at, each.lease_token) for each in deliveries(database)] == [(NOW, None)]
    await until(woken.is_set)


def test_what_was_handed_over_wakes_nobody_else(database: Database) -> None:
    put_endpoint(database)
    with database.writing() as session:
        tell(session, draft(), local_deliverer=Desk())
        assert TOPIC not in session.info["topics"]


def _statements_of(database: Database, count: int) -> list[str]:
    """What the driver is asked for so many facts of as many accounts, each with two endpoints, in one transaction."""
    for n in range(count):
        for events in (["*"], ["detection.*"]):
            put_endpoint(database, account_id=f"acc_{count}_{n}", events=events)
    asked: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(database.engine, "before_cursor_execute", listen)
    put(database, *(draft(f"det_{count}_{n}", account_id=f"acc_{count}_{n}") for n in range(count)))
    event.remove(database.engine, "before_cursor_execute", listen)
    return asked


def test_fifty_events_take_as_many_statements_as_one(database: Database) -> None:
    one, fifty = _statements_of(database, 1), _statements_of(database, 50)
    assert one == fifty
    assert len(deliveries(database)) == 2 * 51
    assert {delivery.state for delivery in deliveries(database)} == {"due"}
    work = [statement for statement in one if not statement.startswith(("BEGIN", "SELECT pg_notify"))]
    assert len(work) == 5  # positions, events, endpoints, older deliveries, deliveries
