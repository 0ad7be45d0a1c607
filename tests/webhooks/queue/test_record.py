"""What follows from attempts: each is written once, and its delivery and endpoint stand where they should."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from service.events.models import Event
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.webhooks.models import Attempt, Endpoint
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.queue.record import FinishedAttempt, record_attempts
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
)

SECOND = timedelta(seconds=1)


def record(database: Database, *batch: FinishedAttempt) -> Sequence[bool]:
    with database.writing() as session:
        return record_attempts(outbox())(session, batch)


def one(database: Database) -> ClaimedDelivery:
    """One claimed parcel."""
    put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    return claim


def test_a_success_ends_its_delivery(database: Database) -> None:
    assert record(database, finished(one(database))) == [True]
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.attempts, delivery.ended_at) == ("succeeded", 1, NOW)
    assert (delivery.due_at, delivery.lease_token) == (None, None)
    (attempt,) = attempts(database)
    assert (attempt.n, attempt.started_at, attempt.status_code, attempt.error_class) == (1, NOW, 200, None)
    assert (json.loads(attempt.phases_json), attempt.response_excerpt) == ({"total": 5}, b"\x00<answer>")
    assert attempt.explanation == "A sentence."


def test_a_failure_is_due_again_among_the_retries(database: Database) -> None:
    record(database, finished(one(database), 500))
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.lane, delivery.attempts) == ("due", "retry", 1)
    assert (delivery.due_at, delivery.lease_token, delivery.ended_at) == (NOW + SECOND, None, None)


def test_what_a_retry_brought_home_stays_a_retry(database: Database) -> None:
    record(database, finished(one(database), 500))
    (again,) = claimed(database, now=NOW + SECOND)
    record(database, finished(again))
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.lane, delivery.attempts) == ("succeeded", "retry", 2)


def test_after_the_last_try_a_delivery_is_exhausted(database: Database) -> None:
    record(database, finished(one(database), None, again=False))
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.due_at, delivery.ended_at) == ("exhausted", None, NOW)


def test_whoever_lost_the_lease_records_nothing(database: Database) -> None:
    slow = one(database)
    (quick,) = claimed(database, now=NOW + LEASE)
    assert record(database, finished(slow, 500)) == [False]
    assert (attempts(database), states(database)) == ([], ["due"])
    assert record(database, finished(quick)) == [True]
    assert record(database, finished(quick), finished(slow)) == [False, False]
    assert [attempt.n for attempt in attempts(database)] == [1]
    assert states(database) == ["succeeded"]


def test_a_try_is_numbered_once(database: Database) -> None:
    claim = one(database)
    taken = {
        "id": "att_0",
        "delivery_id": claim.delivery_id,
        "endpoint_id": claim.endpoint_id,
        "n": 1,
        "started_at": NOW,
    }
    with database.writing() as session:
        session.connection().execute(insert(table_of(Attempt)), taken | {"phases_json": "{}", "explanation": ""})
    with pytest.raises(IntegrityError):
        record(database, finished(claim))
    assert states(database) == ["due"]


def test_the_tries_of_one_delivery_are_counted(database: Database) -> None:
    one(database)
    for n in range(1, 4):
        (claim,) = claimed(database, now=NOW + n * LEASE)
        record(database, finished(claim, 500, now=NOW + n * LEASE))
    assert [attempt.n for attempt in attempts(database)] == [1, 2, 3]
    assert [delivery.attempts for delivery in deliveries(database)] == [3]


def test_many_attempts_are_a_handful_of_statements_in_one_transaction(database: Database) -> None:
    put_endpoint(database)
    put(database, *(draft(f"det_{n}") for n in range(100)))
    claims = claimed(database)
    batch = [finished(claim, 500 if n % 2 else 200) for n, claim in enumerate(claims)]
    statements: list[str] = []
    commits: list[object] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", listen)
    event.listen(database.engine, "commit", commits.append)
    assert record(database, *batch) == [True] * 100
    work = [each for each in statements if not each.startswith(("BEGIN", "SELECT pg_notify"))]
    assert len(work) == 6, work  # one of them for the endpoint that is charged
    assert len(commits) == 1
    assert sorted(states(database)) == ["due"] * 50 + ["succeeded"] * 50
    assert len(attempts(database)) == 100


def _two_in_line(database: Database) -> ClaimedDelivery:
    """The older of two events of one detection, claimed; the newer is blocked."""
    put_endpoint(database)
    put(database, draft(), draft())
    (claim,) = claimed(database)
    assert states(database) == ["due", "blocked"]
    return claim


def test_a_success_lets_the_newer_pass(database: Database) -> None:
    record(database, finished(_two_in_line(database), now=NOW + SECOND))
    assert states(database) == ["succeeded", "due"]
    assert deliveries(database)[1].due_at == NOW + SECOND
    assert len(claimed(database, now=NOW + SECOND)) == 1


def test_exhaustion_lets_the_newer_pass(database: Database) -> None:
    record(database, finished(_two_in_line(database), 500, again=False))
    assert states(database) == ["exhausted", "due"]


def test_the_third_failure_lets_the_newer_pass_and_no_earlier_one(database: Database) -> None:
    _two_in_line(database)
    for n, newer in ((1, "blocked"), (2, "blocked"), (3, "due")):
        (claim,) = claimed(database, now=NOW + n * LEASE)
        record(database, finished(claim, 500, now=NOW + n * LEASE))
        assert states(database) == ["due", newer]


def test_only_the_next_in_line_passes_and_only_there(database: Database) -> None:
    first, _ = put_endpoint(database)
    put_endpoint(database)
    put(database, draft(), draft(), draft())
    (claim,) = [each for each in claimed(database) if each.endpoint_id == first]
    record(database, finished(claim))
    line = {
        endpoint: [d.state for d in deliveries(database) if (d.endpoint_id == first) is endpoint]
        for endpoint in (True, False)
    }
    assert line == {True: ["succeeded", "due", "blocked"], False: ["due", "blocked", "blocked"]}


def test_gone_disables_the_endpoint_and_holds_what_it_did_not_take(database: Database) -> None:
    claim = one(database)
    record(database, finished(claim, 410))
    (delivery,) = deliveries(database)
    assert (delivery.state, delivery.due_at, delivery.ended_at) == ("held", None, None)
    with database.reading() as session:
        endpoint = session.get_one(Endpoint, claim.endpoint_id)
    assert (endpoint.status, endpoint.disabled_reason) == ("disabled", "gone")
    assert [attempt.status_code for attempt in attempts(database)] == [410]


def test_the_accounts_other_endpoints_hear_of_it_once(database: Database) -> None:
    gone, _ = put_endpoint(database, events=["*"])
    other, _ = put_endpoint(database, events=["webhook_endpoint.*"])
    put_endpoint(database, account_id="acc_2")
    put(database, draft("det_1"), draft("det_2"))
    first, second = claimed(database)
    record(database, finished(first, 410), finished(second, 410))
    with database.reading() as session:
        (told,) = session.exec(select(Event).where(Event.type == "webhook_endpoint.disabled"))
    assert json.loads(told.body)["data"] == {
        "endpoint_id": gone,
        "url": "https://customer.example/in",
        "disabled_reason": "gone",
        "disabled_at": "2026-11-20T12:00:00.000Z",
    }
    news = [delivery for delivery in deliveries(database) if delivery.event_id == told.id]
    assert [(delivery.endpoint_id, delivery.state) for delivery in news] == [(other, "due")]


def test_a_late_gone_changes_nothing_at_an_endpoint_that_stands_already(database: Database) -> None:
    claim = one(database)
    set_endpoint(database, claim.endpoint_id, status="disabled", disabled_reason="by_owner")
    record(database, finished(claim, 410))
    with database.reading() as session:
        assert session.get_one(Endpoint, claim.endpoint_id).disabled_reason == "by_owner"
        assert session.exec(select(Event).where(Event.type == "webhook_endpoint.disabled")).all() == []
