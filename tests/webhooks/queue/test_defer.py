"""A dead endpoint's backlog stands aside: others do not wait behind it, and it is back soon after it answers."""

from datetime import datetime, timedelta

import pytest

from service.kit.db.database import Database
from service.webhooks.models import Delivery
from service.webhooks.queue import bulk_moves
from service.webhooks.queue.bulk_moves import bring_forward, due_deliveries, postpone, spread_out
from service.webhooks.sending.throttle import OPENS_AFTER_FAILURES
from tests.loopback import answer
from tests.waiting import until
from tests.webhooks.desk import customer, desk
from tests.webhooks.rows import LEASE, NOW, claimed, deliveries, draft, put, put_endpoint

SECOND = timedelta(seconds=1)
FULL = 400


def due_times(database: Database) -> list[datetime | None]:
    return [each.due_at for each in deliveries(database)]


async def test_a_fresh_event_does_not_wait_behind_a_dead_endpoints_backlog(database: Database) -> None:
    async with customer(slow=True) as dead, customer() as healthy, desk(database, timeout_seconds=30) as sender:
        put_endpoint(database, url=dead.url, events=["detection.completed"])
        await sender.tell(*(draft(f"det_{n}") for n in range(FULL)))
        put_endpoint(database, url=healthy.url)
        sender.clock.wait(0.5)
        (event_id,) = await sender.tell(draft("det_last"))
        for _ in range(2):  # the first round meets the crowd, the second what is behind it
            await sender.deliverer.step()
        await until(lambda: healthy.ids == [event_id])
        assert len(dead.got) <= 32


async def test_an_endpoint_that_never_answers_in_time_keeps_one_attempt_under_way(database: Database) -> None:
    failures = OPENS_AFTER_FAILURES
    async with customer(slow=True) as dead, desk(database, timeout_seconds=0.3, per_endpoint=failures) as sender:
        put_endpoint(database, url=dead.url)
        await sender.tell(*(draft(f"det_{n}") for n in range(FULL)))
        await sender.work()
        seen = len(dead.got)
        assert seen == failures
        for _ in range(3):
            sender.clock.wait(61)
            await sender.work()
        assert len(dead.got) == seen + 3


async def test_the_backlog_goes_out_as_soon_as_one_probe_is_taken(database: Database) -> None:
    def answers(n: int) -> bytes:
        return answer(b"", status="500 No" if n <= OPENS_AFTER_FAILURES else "200 OK")

    async with customer(answers) as receiver, desk(database, per_endpoint=2) as sender:
        put_endpoint(database, url=receiver.url)
        await sender.tell(*(draft(f"det_{n}") for n in range(FULL)))
        for _ in range(600):
            await sender.work()
            sender.clock.wait(1)
            if len(receiver.got) > OPENS_AFTER_FAILURES:
                break
        assert sender.kicks
        waits = [each for each in deliveries(database) if each.state == "due" and not each.attempts]
        assert waits
        assert all(each.due_at and each.due_at <= sender.clock() + 60 * SECOND for each in waits)


def many(database: Database, count: int) -> str:
    endpoint_id, _ = put_endpoint(database)
    put(database, *(draft(f"det_{n}") for n in range(count)))
    return endpoint_id


def test_rows_line_up_unless_somebody_has_them_by_now(database: Database) -> None:
    endpoint_id = many(database, 3)
    with database.reading() as session:
        waiting = due_deliveries(session, endpoint_id, NOW)
    (claim,) = claimed(database, limit=1)
    with database.writing() as session:
        spread_out(session, [(row, NOW + 9 * SECOND) for row in waiting], NOW)
    after = {each.id: each.due_at for each in deliveries(database)}
    assert after.pop(claim.delivery_id) == NOW + LEASE
    assert list(after.values()) == [NOW + 9 * SECOND] * 2


def test_only_that_endpoints_due_rows_are_deferred_a_slice_at_most(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_moves, "SLICE", 3)
    endpoint_id = many(database, 2)
    put_endpoint(database)
    put(database, draft("det_8"), draft("det_9"))
    with database.writing() as session:
        assert [postpone(session, endpoint_id, NOW, NOW + 300 * SECOND) for _ in range(3)] == [3, 1, 0]
    assert {each.endpoint_id == endpoint_id: each.due_at for each in deliveries(database)} == {
        True: NOW + 300 * SECOND,
        False: NOW,
    }


def test_what_waited_in_line_is_brought_forward_and_retries_keep_their_time(database: Database) -> None:
    endpoint_id = many(database, 3)
    later = NOW + 100 * SECOND
    with database.writing() as session:
        postpone(session, endpoint_id, NOW, later)
        retry, again, _ = (session.get_one(Delivery, each.id) for each in deliveries(database))
        retry.attempts = 2
        again.attempts = again.attempts_before = 2
    with database.writing() as session:
        assert bring_forward(session, endpoint_id, NOW) == 2
    assert due_times(database) == [later, NOW, NOW]


def test_a_retry_is_not_postponed_with_what_was_never_tried(database: Database) -> None:
    endpoint_id = many(database, 2)
    with database.writing() as session:
        session.get_one(Delivery, deliveries(database)[0].id).attempts = 1
    with database.writing() as session:
        assert postpone(session, endpoint_id, NOW, NOW + 300 * SECOND) == 1
    assert due_times(database) == [NOW, NOW + 300 * SECOND]
