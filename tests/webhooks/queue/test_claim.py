"""Who claims gets what is due, fresh before retries, with all an attempt needs; nobody else gets it meanwhile."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text, update
from sqlmodel import select

from service.events.models import Event
from service.kit.concurrency.shares import Shares
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.webhooks.endpoints.registry import delete_endpoint
from service.webhooks.models import Delivery, Endpoint, EndpointSecret
from service.webhooks.queue.claim import claim_deliveries, hold_claimed, release_claims
from service.webhooks.queue.claimed import Leased, load_claimed
from service.webhooks.sending.signing import HEADERS_PURPOSE, SECRET_PURPOSE, open_headers, open_secrets
from tests.webhooks.rows import (
    LEASE,
    NOW,
    SEALER,
    claimed,
    deliveries,
    draft,
    put,
    put_endpoint,
    set_endpoint,
    states,
)

SECOND = timedelta(seconds=1)


def many(database: Database, count: int) -> None:
    put(database, *(draft(f"det_{n}") for n in range(count)))


def change(database: Database, delivery_id: str, **values: Any) -> None:
    with database.writing() as session:
        table = table_of(Delivery)
        session.connection().execute(update(table).where(table.c.id == delivery_id).values(values))


def test_a_parcel_holds_all_that_an_attempt_needs(database: Database) -> None:
    endpoint_id, secret = put_endpoint(database, headers={"X-Key": "sesame"}, rate=7)
    (told,) = put(database, draft())
    (claim,) = claimed(database)
    with database.reading() as session:
        body = session.exec(select(Event.body)).one()
    assert (claim.event_id, claim.event_type, claim.body) == (told.id, "detection.completed", body)
    assert (claim.endpoint_id, claim.target.url, claim.target.rate_limit_per_second) == (
        endpoint_id,
        "https://customer.example/in",
        7,
    )
    assert (claim.account_id, claim.mode, claim.detection_id, claim.attempts) == ("acc_1", "live", "det_1", 0)
    assert open_secrets(SEALER, claim.target.sealed_secrets) == [secret]
    assert open_headers(SEALER, endpoint_id, claim.target.sealed_headers) == {"X-Key": "sesame"}
    assert SEALER.open(HEADERS_PURPOSE, endpoint_id, claim.target.sealed_headers or b"")


def test_every_valid_secret_comes_along_and_no_other(database: Database) -> None:
    endpoint_id, first = put_endpoint(database)
    spans = {
        "ending": (-9 * SECOND, SECOND),
        "next": (-SECOND, None),
        "ended": (-9 * SECOND, timedelta(0)),
        "not yet": (SECOND, None),
    }
    with database.writing() as session:
        for name, (begins, ends) in spans.items():
            session.add(
                EndpointSecret(
                    id=name,
                    endpoint_id=endpoint_id,
                    sealed=SEALER.seal(SECRET_PURPOSE, name, name.encode()),
                    valid_from=NOW + begins,
                    valid_until=None if ends is None else NOW + ends,
                )
            )
    put(database, draft())
    (claim,) = claimed(database)
    assert open_secrets(SEALER, claim.target.sealed_secrets) == [first, "next", "ending"]


def test_retries_get_what_fresh_ones_leave(database: Database) -> None:
    put_endpoint(database)
    many(database, 5)
    old = [delivery.id for delivery in deliveries(database)[:3]]
    for delivery_id in old:
        change(database, delivery_id, lane="retry", due_at=NOW - timedelta(hours=3))
    fresh = {delivery.id for delivery in deliveries(database)[3:]}
    assert {claim.delivery_id for claim in claimed(database, limit=2)} == fresh
    assert {claim.delivery_id for claim in claimed(database, limit=10)} == set(old)


def test_never_more_than_asked_for(database: Database) -> None:
    put_endpoint(database)
    many(database, 6)
    change(database, deliveries(database)[0].id, lane="retry")
    assert [len(claimed(database, limit=4)) for _ in range(3)] == [4, 2, 0]


def test_a_lease_that_ran_out_is_anybodys_again(database: Database) -> None:
    put_endpoint(database)
    put(database, draft())
    (first,) = claimed(database)
    assert claimed(database, now=NOW + LEASE - timedelta(microseconds=1)) == []
    (second,) = claimed(database, now=NOW + LEASE)
    assert (first.delivery_id, first.event_id) == (second.delivery_id, second.event_id)
    assert first.lease_token != second.lease_token


async def test_two_workers_at_once_never_carry_the_same(database: Database) -> None:
    put_endpoint(database)
    many(database, 120)
    claims = [database.write(claim_deliveries, now=NOW, lease_until=NOW + LEASE, limit=20) for _ in range(8)]
    carried = [claim.delivery_id for claims in await asyncio.gather(*claims) for claim in claims]
    assert len(carried) == len(set(carried)) == 120


def test_what_a_disabled_endpoint_would_get_is_held(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    set_endpoint(database, endpoint_id, status="disabled")
    assert claimed(database) == []
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.due_at, delivery.lease_token, delivery.ended_at) == ("held", None, None, None)


def test_what_a_deleted_endpoint_would_get_is_skipped(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    other, _ = put_endpoint(database)
    put(database, draft())
    set_endpoint(database, endpoint_id, deleted_at=NOW, status="disabled")
    assert [claim.endpoint_id for claim in claimed(database)] == [other]
    (skipped,) = [each for each in deliveries(database) if each.endpoint_id == endpoint_id]
    assert (skipped.state, skipped.due_at, skipped.lease_token, skipped.ended_at) == ("skipped", None, None, NOW)


def test_what_is_no_longer_leased_to_us_is_no_parcel_and_is_not_touched(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    lost = {claim.delivery_id: "an older token"}
    with database.reading() as session:
        leased = Leased(*claim[:-1])
        assert load_claimed(session, [leased._replace(lease_token="an older token")], NOW) == []
        assert load_claimed(session, [leased], NOW) == [claim]
    set_endpoint(database, endpoint_id, status="disabled")
    with database.writing() as session:
        hold_claimed(session, lost, NOW)
    assert states(database) == ["due"]


def test_what_was_handed_back_is_due_at_the_time_given_and_nobodys(database: Database) -> None:
    put_endpoint(database)
    many(database, 3)
    first, second, third = claimed(database)
    with database.writing() as session:
        release_claims(session, [(second, NOW + SECOND), (first, NOW + 2 * SECOND)])
    rows = {
        delivery.id: (delivery.due_at, delivery.lease_token, delivery.attempts) for delivery in deliveries(database)
    }
    assert rows == {
        first.delivery_id: (NOW + 2 * SECOND, None, 0),
        second.delivery_id: (NOW + SECOND, None, 0),
        third.delivery_id: (NOW + LEASE, third.lease_token, 0),
    }


def test_what_another_has_claimed_since_cannot_be_handed_back(database: Database) -> None:
    put_endpoint(database)
    put(database, draft())
    (slow,) = claimed(database)
    (quick,) = claimed(database, now=NOW + LEASE)
    with database.writing() as session:
        release_claims(session, [(slow, NOW)])
        release_claims(session, [])
    assert [delivery.lease_token for delivery in deliveries(database)] == [quick.lease_token]


def test_a_deletion_between_claim_and_attempt_ends_the_lease(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    with database.writing() as session:
        delete_endpoint(session, session.get_one(Endpoint, endpoint_id), NOW)
    with database.reading() as session:
        assert load_claimed(session, [Leased(*claim[:-1])], NOW) == []
    assert states(database) == ["skipped"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_claim_reads_the_index_of_what_waits_only(database: Database) -> None:
    put_endpoint(database)
    many(database, 3)
    template = deliveries(database)[0].model_dump()
    done = [template | {"id": f"dlv_{n}", "event_id": f"evt_{n}", "state": "succeeded"} for n in range(5000)]
    statements: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    with database.writing() as session:
        session.connection().execute(insert(table_of(Delivery)), done)
        session.connection().execute(text("ANALYZE delivery"))
    event.listen(database.engine, "before_cursor_execute", listen)
    with database.writing() as session:
        assert len(claim_deliveries(session, now=NOW, lease_until=NOW + LEASE, limit=50)) == 3
        claims = [each for each in statements if each[0].endswith("SKIP LOCKED")]
        plans = [
            "\n".join(session.connection().exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            for statement, parameters in claims
        ]
    assert len(plans) == 2
    assert all("ix_delivery_due" in plan and "Seq Scan" not in plan for plan in plans), plans


def test_one_accounts_backlog_hides_no_other_account(database: Database) -> None:
    for account_id, count in (("acc_1", 30), ("acc_2", 3), ("acc_3", 1)):
        put_endpoint(database, account_id=account_id)
        put(database, *(draft(f"det_{account_id}_{n}", account_id=account_id) for n in range(count)))
    shares = Shares(8)
    with database.writing() as session:
        claims = claim_deliveries(session, now=NOW, lease_until=NOW + LEASE, limit=8, shares=shares)
    assert Counter(claim.account_id for claim in claims) == {"acc_1": 4, "acc_2": 2, "acc_3": 1}
    assert {"acc_1", "acc_2"} <= shares.refused


def test_a_look_past_a_backlog_does_not_walk_through_it(database: Database) -> None:
    put_endpoint(database)
    many(database, 3)
    other, _ = put_endpoint(database, account_id="acc_2")
    template = deliveries(database)[0].model_dump()
    backlog = [template | {"id": f"dlv_{n}", "event_id": f"evt_{n}"} for n in range(3000)]
    behind = template | {"id": "dlv_behind", "event_id": "evt_behind", "endpoint_id": other, "account_id": "acc_2"}
    asked: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    with database.writing() as session:
        session.connection().execute(insert(table_of(Delivery)), [*backlog, behind])
        if not database.is_sqlite:  # there nobody analyses: it goes by its rules
            session.connection().execute(text("ANALYZE"))
    event.listen(database.engine, "before_cursor_execute", listen)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.writing() as session:
        claim_deliveries(session, now=NOW, lease_until=NOW + LEASE, limit=8, shares=Shares(8))
        looks = [(statement, how) for statement, how in asked if "lane ||" in statement]
        plans = [
            "\n".join(str(row) for row in session.connection().exec_driver_sql(f"{explain} {statement}", how))
            for statement, how in looks
        ]
    assert plans
    assert all("ix_delivery_endpoint_due" in plan for plan in plans), plans
