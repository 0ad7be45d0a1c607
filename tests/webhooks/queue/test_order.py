"""Transactions that meet: whichever is first, no delivery is blocked for ever, and none outlives its endpoint."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from service.kit.db.database import Database
from service.webhooks.endpoints.registry import delete_endpoint, disable, enable
from service.webhooks.models import Delivery, Endpoint
from service.webhooks.queue.bulk_moves import hold_deliveries
from service.webhooks.queue.claim import claim_deliveries
from service.webhooks.queue.record import FinishedAttempt, record_attempts
from service.webhooks.queue.requeue import release_held
from tests.waiting import until
from tests.webhooks.rows import (
    LEASE,
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
    tell,
)

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

Verb = Callable[[Session], object]
_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


async def meet(database: Database, first: Verb, second: Verb) -> None:
    """`second` begins while `first` is done but not committed, and finds it in its way."""

    async def waits() -> bool:
        return await database.read(lambda session: session.connection().execute(_WAITING).scalar_one() > 0)

    with database.writing() as session:
        first(session)
        session.flush()
        other = asyncio.create_task(database.write(second))
        await until(waits)
    await other


def telling(session: Session) -> object:
    return tell(session, draft())


def recording(*batch: FinishedAttempt) -> Verb:
    return lambda session: record_attempts(outbox())(session, batch)


def deleting(endpoint_id: str) -> Verb:
    return lambda session: delete_endpoint(session, session.get_one(Endpoint, endpoint_id), NOW)


async def test_a_newer_event_told_before_the_older_is_recorded_is_released(database: Database) -> None:
    put_endpoint(database)
    put(database, draft())
    (older,) = claimed(database)
    await meet(database, telling, recording(finished(older)))
    assert states(database) == ["succeeded", "due"]


async def test_a_newer_event_told_after_the_older_is_recorded_is_not_blocked(database: Database) -> None:
    put_endpoint(database)
    put(database, draft())
    (older,) = claimed(database)
    await meet(database, recording(finished(older)), telling)
    assert states(database) == ["succeeded", "due"]


@pytest.mark.parametrize("record_first", [True, False])
async def test_the_same_holds_for_the_third_failure(database: Database, record_first: bool) -> None:
    put_endpoint(database)
    put(database, draft())
    for n in range(2):
        (older,) = claimed(database, now=NOW + n * LEASE)
        with database.writing() as session:
            recording(finished(older, 500, now=NOW + n * LEASE))(session)
    (older,) = claimed(database, now=NOW + 2 * LEASE)
    third = recording(finished(older, 500, now=NOW + 2 * LEASE))
    await meet(database, *((third, telling) if record_first else (telling, third)))
    assert states(database) == ["due", "due"]


async def test_what_is_told_while_its_endpoint_is_deleted_is_skipped_too(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    claimed(database)
    await meet(database, telling, deleting(endpoint_id))
    assert states(database) == ["skipped", "skipped"]


async def test_what_is_told_after_a_deletion_goes_nowhere(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    await meet(database, deleting(endpoint_id), telling)
    assert states(database) == ["skipped"]


@pytest.mark.parametrize("told_first", [True, False])
async def test_a_fact_told_while_the_endpoint_says_gone_ends_up_held(database: Database, told_first: bool) -> None:
    put_endpoint(database)
    put(database, draft())
    (older,) = claimed(database)
    gone = recording(finished(older, 410))
    await meet(database, *((telling, gone) if told_first else (gone, telling)))
    assert states(database)[0] == "held"
    assert states(database)[1] in ("held", "blocked")
    assert claimed(database, now=NOW + LEASE) == []


async def test_an_attempt_recorded_while_its_delivery_is_claimed_again_is_not_written(database: Database) -> None:
    put_endpoint(database)
    put(database, draft())
    (slow,) = claimed(database)
    late, recorded = NOW + LEASE, list[object]()

    def claiming(session: Session) -> object:
        return claim_deliveries(session, now=late, lease_until=late + LEASE, limit=9)

    await meet(database, claiming, lambda session: recorded.append(recording(finished(slow))(session)))
    assert recorded == [[False]]
    assert (states(database), attempts(database)) == (["due"], [])


async def test_two_endpoints_that_say_gone_at_once_do_not_wait_for_one_another(database: Database) -> None:
    for _ in range(2):
        put_endpoint(database)
    put(database, draft())
    one, other = claimed(database)
    with database.writing() as session:
        recording(finished(one, 410))(session)
        session.flush()
        async with asyncio.timeout(5):
            await database.write(recording(finished(other, 410)))
    assert states(database)[:2] == ["held", "held"]
    assert claimed(database, now=NOW + LEASE) == []


async def test_what_is_just_being_claimed_is_not_held_behind_the_claimers_back(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    put(database, draft("det_2"), now=NOW + timedelta(seconds=1))
    later = NOW + timedelta(seconds=1)
    with database.writing() as session:
        (claim,) = claim_deliveries(session, now=later, lease_until=later + LEASE, limit=1)
        set_endpoint(database, endpoint_id, status="disabled")
        assert await database.write(hold_deliveries, endpoint_id, later) == 1
    assert {each.id: each.state for each in deliveries(database)}[claim.delivery_id] == "due"


def enabling(endpoint_id: str) -> Verb:
    return lambda session: enable(session, session.get_one(Endpoint, endpoint_id), "all", NOW)


async def test_what_is_released_while_the_older_is_recorded_is_not_blocked_for_ever(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (older,) = claimed(database)
    put(database, draft())
    with database.writing() as session:
        disable(session, session.get_one(Endpoint, endpoint_id), outbox(), NOW)
    put(database, draft())
    assert states(database) == ["due", "blocked", "held"]
    await meet(database, recording(finished(older)), enabling(endpoint_id))
    assert states(database) == ["succeeded", "due", "blocked"]


async def test_what_is_recorded_while_the_newer_is_released_lets_it_pass(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (older,) = claimed(database)
    with database.writing() as session:
        disable(session, session.get_one(Endpoint, endpoint_id), outbox(), NOW)
    put(database, draft())
    assert states(database) == ["due", "held"]
    await meet(database, enabling(endpoint_id), recording(finished(older)))
    assert states(database) == ["succeeded", "due"]


async def test_two_workers_release_one_after_the_other(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database, status="disabled")
    put(database, draft(), draft())
    await meet(database, enabling(endpoint_id), lambda session: release_held(session, endpoint_id, NOW))
    assert states(database) == ["due", "blocked"]


def _without_indexes(session: Session) -> None:
    """Rows come as they lie in the table: where nothing orders them, the one that was written last is the last."""
    for way in ("indexscan", "bitmapscan"):
        session.connection().execute(text(f"SET LOCAL enable_{way} = off"))


async def _locks_in_order(database: Database, first: Delivery, last: Delivery, verb: Verb) -> None:
    """While we hold the first row, `verb` waits for it and has not locked the last."""
    with database.writing() as session:  # the first is now the last in the table
        found = session.get_one(Delivery, first.id)
        found.created_at += timedelta(seconds=1)

    def other(session: Session) -> object:
        _without_indexes(session)
        return verb(session)

    async def waits() -> bool:
        return await database.read(lambda session: session.connection().execute(_WAITING).scalar_one() > 0)

    with database.writing() as session:
        session.get_one(Delivery, first.id, with_for_update=True)
        task = asyncio.create_task(database.write(other))
        await until(waits)
        session.get_one(Delivery, last.id, with_for_update={"nowait": True})
    await task


async def test_an_endpoint_that_goes_locks_its_deliveries_in_the_recorders_order(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    for n in range(3):
        put(database, draft(f"det_{n}"))
    first, _, last = deliveries(database)
    await _locks_in_order(database, first, last, deleting(endpoint_id))
    assert states(database) == ["skipped"] * 3


async def test_what_is_released_is_locked_in_the_recorders_order(database: Database) -> None:
    put_endpoint(database)
    for n in range(2):
        put(database, draft(f"det_{n}"))
    sent = claimed(database)
    for n in range(2):
        put(database, draft(f"det_{n}"))
    *_, first, last = deliveries(database)
    await _locks_in_order(database, first, last, recording(*(finished(one) for one in sent)))
    assert states(database) == ["succeeded", "succeeded", "due", "due"]
