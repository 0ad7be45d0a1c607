"""What was held goes out in order when the endpoint is enabled; what was lost goes out again when its owner says so."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.webhooks.endpoints.registry import disable, enable
from service.webhooks.models import Delivery, Endpoint
from service.webhooks.queue import requeue
from service.webhooks.queue.record import record_attempts
from service.webhooks.queue.requeue import Choice, endpoints_to_release, recover, release_held, resend
from tests.webhooks.rows import (
    NOW,
    attempts,
    claimed,
    deliveries,
    draft,
    finished,
    outbox,
    put,
    put_endpoint,
    set_endpoint,
    states,
)

HOUR = timedelta(hours=1)
LATER = NOW + 24 * HOUR


def held(database: Database, *detections: str) -> str:
    """A disabled endpoint for which an event of each of these detections waits, a second apart."""
    endpoint_id, _ = put_endpoint(database, status="disabled")
    for n, detection_id in enumerate(detections):
        put(database, draft(detection_id), now=NOW + timedelta(seconds=n))
    assert set(states(database)) <= {"held"}
    return endpoint_id


def enabled(database: Database, endpoint_id: str, choice: Choice = "all", now: datetime = LATER) -> None:
    with database.writing() as session:
        enable(session, session.get_one(Endpoint, endpoint_id), choice, now)


def released(database: Database, endpoint_id: str, now: datetime = LATER) -> bool:
    with database.writing() as session:
        return release_held(session, endpoint_id, now)


def to_release(database: Database) -> list[str]:
    with database.reading() as session:
        return endpoints_to_release(session)


def ended(database: Database, status: int = 500) -> Delivery:
    """A delivery after its only try."""
    put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    with database.writing() as session:
        record_attempts(outbox())(session, [finished(claim, status, again=False)])
    return deliveries(database)[0]


def sent_again(database: Database, delivery_id: str, now: datetime = LATER) -> None:
    with database.writing() as session:
        resend(session, session.get_one(Delivery, delivery_id), now)


def recovered(database: Database, since: datetime, until: datetime = LATER, now: datetime = LATER) -> tuple[int, bool]:
    with database.writing() as session:
        return recover(session, session.get_one(Endpoint, deliveries(database)[0].endpoint_id), since, until, now)


def change(database: Database, delivery_id: str, **values: Any) -> None:
    with database.writing() as session:
        found = session.get_one(Delivery, delivery_id)
        for name, value in values.items():
            setattr(found, name, value)


def test_all_that_was_held_goes_out_in_order_among_the_retries(database: Database) -> None:
    enabled(database, held(database, "det_1", "det_1", "det_2", "det_1"))
    assert states(database) == ["due", "blocked", "due", "blocked"]
    assert {(each.lane, each.due_at) for each in deliveries(database) if each.state == "due"} == {("retry", LATER)}
    sent = []
    while claims := claimed(database, now=LATER):
        sent += [claim.event_position for claim in claims if claim.detection_id == "det_1"]
        with database.writing() as session:
            record_attempts(outbox())(session, [finished(claim, now=LATER) for claim in claims])
    assert sent == sorted(sent)
    assert len(sent) == 3
    assert states(database) == ["succeeded"] * 4


def test_the_newest_of_each_detection_goes_out_if_that_is_wished(database: Database) -> None:
    enabled(database, held(database, "det_1", "det_1", "det_2", "det_1"), "newest")
    assert states(database) == ["skipped", "skipped", "due", "due"]
    assert [each.ended_at for each in deliveries(database)] == [LATER, LATER, None, None]


def test_nothing_goes_out_if_that_is_wished(database: Database) -> None:
    enabled(database, held(database, "det_1", "det_1", "det_2"), "none")
    assert states(database) == ["skipped"] * 3
    put(database, draft("det_1"), now=LATER)
    assert states(database)[-1] == "due"


def test_the_rest_is_released_slice_by_slice(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeue, "SLICE", 2)
    endpoint_id = held(database, *(f"det_{n % 3}" for n in range(5)))
    enabled(database, endpoint_id)
    assert states(database).count("held") == 3
    assert to_release(database) == [endpoint_id]
    assert [released(database, endpoint_id) for _ in range(2)] == [True, False]
    assert states(database) == ["due", "due", "due", "blocked", "blocked"]
    assert to_release(database) == []


def test_a_choice_holds_for_every_slice(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeue, "SLICE", 2)
    endpoint_id = held(database, *(["det_1"] * 5))
    enabled(database, endpoint_id, "newest")
    assert states(database) == ["skipped", "skipped", "held", "held", "held"]
    while released(database, endpoint_id):
        pass
    assert states(database) == ["skipped"] * 4 + ["due"]


def test_a_fresh_event_waits_for_what_is_still_held_of_its_detection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "SLICE", 1)
    endpoint_id = held(database, "det_1", "det_2")
    enabled(database, endpoint_id)
    put(database, draft("det_2"), draft("det_3"), now=LATER)
    assert states(database) == ["due", "held", "blocked", "due"]
    released(database, endpoint_id)
    assert states(database) == ["due", "due", "blocked", "due"]


def test_disabled_again_in_the_middle_nothing_more_is_released(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "SLICE", 1)
    endpoint_id = held(database, "det_1", "det_2")
    enabled(database, endpoint_id)
    with database.writing() as session:
        disable(session, session.get_one(Endpoint, endpoint_id), outbox(), LATER)
    assert not released(database, endpoint_id)
    assert (states(database), to_release(database)) == (["held", "held"], [])


def test_held_in_the_middle_of_its_schedule_it_begins_a_new_one(database: Database) -> None:
    endpoint_id = held(database, "det_1")
    change(database, deliveries(database)[0].id, attempts=7)
    enabled(database, endpoint_id)
    (claim,) = claimed(database, now=LATER)
    assert (claim.attempts, claim.attempts_before) == (7, 7)


@pytest.mark.parametrize("status", [200, 500])
def test_what_has_ended_is_sent_again_with_the_next_number_and_the_same_bytes(database: Database, status: int) -> None:
    delivery = ended(database, status)
    sent_again(database, delivery.id)
    (claim,) = claimed(database, now=LATER)
    assert (claim.event_id, claim.attempts, claim.attempts_before) == (delivery.event_id, 1, 1)
    with database.writing() as session:
        record_attempts(outbox())(session, [finished(claim, now=LATER)])
    assert [attempt.n for attempt in attempts(database)] == [1, 2]
    assert states(database) == ["succeeded"]


@pytest.mark.parametrize("under_way", [False, True])
def test_what_is_on_its_way_is_not_sent_again(database: Database, under_way: bool) -> None:
    put_endpoint(database)
    put(database, draft(), draft())
    if under_way:
        claimed(database)
    for delivery in deliveries(database):
        with pytest.raises(CallerError) as refused:
            sent_again(database, delivery.id)
        assert (refused.value.status, refused.value.code) == (409, "delivery_under_way")
    assert states(database) == ["due", "blocked"]


def test_to_a_disabled_endpoint_nothing_is_sent_again(database: Database) -> None:
    delivery = ended(database)
    set_endpoint(database, delivery.endpoint_id, status="disabled")
    for refuse in (lambda: sent_again(database, delivery.id), lambda: recovered(database, NOW)):
        with pytest.raises(CallerError) as refused:
            refuse()
        assert (refused.value.status, refused.value.code) == (409, "endpoint_disabled")
    assert states(database) == ["exhausted"]


def test_all_that_was_lost_since_is_sent_again_and_nothing_else(database: Database) -> None:
    put_endpoint(database)
    for n in range(6):
        put(database, draft(f"det_{n}"), now=NOW + n * HOUR)
    old, lost, skipped, taken, waits, fresh = deliveries(database)
    for each in (old, lost):
        change(database, each.id, state="exhausted", due_at=None, attempts=10, ended_at=NOW)
    change(database, skipped.id, state="skipped", due_at=None, ended_at=NOW)
    change(database, taken.id, state="succeeded", due_at=None, attempts=1)
    change(database, waits.id, lane="retry", due_at=LATER + HOUR, attempts=5)
    assert recovered(database, NOW + HOUR) == (3, False)
    after = deliveries(database)
    assert [each.state for each in after] == ["exhausted", "due", "due", "succeeded", "due", "due"]
    assert [each.due_at for each in after if each.id in (lost.id, skipped.id, waits.id)] == [LATER] * 3
    assert [each.ended_at for each in after][1:3] == [None, None]
    assert {each.id: each.lane for each in after}[fresh.id] == "fresh"
    assert recovered(database, NOW + HOUR) == (0, False)


def test_until_a_time_and_a_slice_at_most(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    put_endpoint(database)
    for n in range(5):
        put(database, draft("det_1"), now=NOW + n * HOUR)
    for each in deliveries(database):
        change(database, each.id, state="skipped", due_at=None)
    monkeypatch.setattr(requeue, "SLICE", 3)
    assert recovered(database, NOW, until=NOW + 4 * HOUR) == (3, True)
    assert states(database) == ["due", "blocked", "blocked", "skipped", "skipped"]
    assert recovered(database, NOW, until=NOW + 4 * HOUR) == (1, False)
    assert states(database) == ["due", "blocked", "blocked", "blocked", "skipped"]


def test_what_is_being_tried_is_not_pulled_from_under_the_worker(database: Database) -> None:
    put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    with database.writing() as session:
        record_attempts(outbox())(session, [finished(claim, 500)])
    (again,) = claimed(database, now=NOW + HOUR)
    assert recovered(database, NOW, now=NOW + HOUR) == (0, False)
    assert [each.lease_token for each in deliveries(database)] == [again.lease_token]
