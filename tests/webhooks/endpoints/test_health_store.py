"""Failures are charged to their endpoint and to nobody else; its account is warned, and told of the return."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from service.events.models import Event
from service.kit.db.database import Database
from service.webhooks.endpoints.health import DisablePolicy, endpoints_to_judge, judge
from service.webhooks.endpoints.registry import disable, enable
from service.webhooks.models import Endpoint
from service.webhooks.queue.record import FinishedAttempt, record_attempts
from tests.webhooks.rows import (
    NOW,
    claimed,
    deliveries,
    draft,
    finished,
    outbox,
    put,
    put_endpoint,
    set_endpoint,
)

HOUR = timedelta(hours=1)
POLICY = DisablePolicy()


def record(database: Database, *batch: FinishedAttempt) -> None:
    with database.writing() as session:
        assert all(record_attempts(outbox())(session, batch))


def judged(database: Database, now: datetime) -> None:
    with database.reading() as session:
        found = endpoints_to_judge(session, POLICY, now)
    for endpoint_id in found:
        with database.writing() as session:
            judge(session, endpoint_id, outbox(), POLICY, now)


def standing(database: Database, endpoint_id: str) -> Endpoint:
    with database.reading() as session:
        return session.get_one(Endpoint, endpoint_id)


def news(database: Database) -> list[tuple[str, Any]]:
    """The facts about endpoints, in order: their type, and what they say."""
    with database.reading() as session:
        rows = session.exec(
            select(Event).where(col(Event.type).like("webhook_endpoint.%")).order_by(col(Event.position))
        ).all()
    return [(row.type.removeprefix("webhook_endpoint."), json.loads(row.body)["data"]) for row in rows]


def failing_for(database: Database, hours: float, failures: int = 20) -> str:
    endpoint_id, _ = put_endpoint(database, events=["detection.*"])
    set_endpoint(database, endpoint_id, failing_since=NOW - hours * HOUR, failures=failures)
    return endpoint_id


def test_failures_are_counted_from_the_first_and_a_success_wipes_them_out(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, *(draft(f"det_{n}") for n in range(3)))
    first, second, third = claimed(database)
    record(database, finished(first, 500), finished(second, None, now=NOW + HOUR))
    found = standing(database, endpoint_id)
    assert (found.failing_since, found.failures) == (NOW, 2)
    record(database, finished(third, now=NOW + HOUR))
    found = standing(database, endpoint_id)
    assert (found.failing_since, found.failures) == (None, 0)
    assert news(database) == []


def test_a_fault_of_ours_is_not_charged_and_ends_nothing(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    record(database, finished(claim, None)._replace(counted=False))
    assert standing(database, endpoint_id).failing_since is None
    assert [delivery.attempts for delivery in deliveries(database)] == [1]


def test_only_the_endpoint_that_failed_is_charged(database: Database) -> None:
    failing, _ = put_endpoint(database)
    healthy, _ = put_endpoint(database)
    put(database, draft())
    record(database, *(finished(each, 500 if each.endpoint_id == failing else 200) for each in claimed(database)))
    assert (standing(database, failing).failures, standing(database, healthy).failures) == (1, 0)


@pytest.mark.parametrize(("hours", "percent"), [(60, 50), (90, 75), (108, 90)])
def test_the_accounts_other_endpoints_are_warned_once(database: Database, hours: int, percent: int) -> None:
    failing = failing_for(database, hours)
    other, _ = put_endpoint(database, events=["webhook_endpoint.*"])
    judged(database, NOW)
    judged(database, NOW + timedelta(minutes=1))
    since = NOW - hours * HOUR
    assert news(database) == [
        (
            "failing",
            {
                "endpoint_id": failing,
                "url": "https://customer.example/in",
                "failing_since": since.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "failures": 20,
                "percent": percent,
                "disables_at": (since + 5 * 24 * HOUR).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            },
        )
    ]
    assert [(each.endpoint_id, each.state) for each in deliveries(database)] == [(other, "due")]
    assert standing(database, failing).status == "enabled"


def test_after_five_days_and_twenty_failures_it_is_disabled_with_the_reason(database: Database) -> None:
    failing, few = failing_for(database, 120), failing_for(database, 120, failures=19)
    judged(database, NOW)
    found = standing(database, failing)
    assert (found.status, found.disabled_reason) == ("disabled", "failing")
    assert standing(database, few).status == "enabled"
    assert ("disabled", failing, "failing") in [
        (kind, data["endpoint_id"], data.get("disabled_reason")) for kind, data in news(database)
    ]
    put(database, draft())
    assert {each.endpoint_id: each.state for each in deliveries(database)} == {failing: "held", few: "due"}


def test_an_endpoint_that_is_disabled_or_deleted_is_not_judged(database: Database) -> None:
    set_endpoint(database, failing_for(database, 200), status="disabled")
    set_endpoint(database, failing_for(database, 200), status="disabled", deleted_at=NOW)
    judged(database, NOW)
    assert news(database) == []


def test_a_success_after_a_warning_is_a_recovery(database: Database) -> None:
    failing = failing_for(database, 60)
    judged(database, NOW)
    put(database, draft("det_1"), draft("det_2"))
    first, second = claimed(database)
    record(database, finished(first, now=NOW + HOUR))
    record(database, finished(second, now=NOW + HOUR))
    kinds = [(kind, data["endpoint_id"]) for kind, data in news(database)]
    assert kinds == [("failing", failing), ("recovered", failing)]
    assert news(database)[1][1]["recovered_at"] == "2026-11-20T13:00:00.000Z"


def test_a_success_after_disabling_and_enabling_is_a_recovery_and_a_failure_is_none(database: Database) -> None:
    failing = failing_for(database, 120)
    judged(database, NOW)
    with database.writing() as session:
        enable(session, session.get_one(Endpoint, failing), "all", NOW + HOUR)
    found = standing(database, failing)
    assert (found.status, found.disabled_reason, found.failing_since, found.failures) == ("enabled", None, None, 0)
    put(database, draft("det_1"), draft("det_2"), now=NOW + HOUR)
    first, second = claimed(database, now=NOW + HOUR)
    record(database, finished(first, 500, now=NOW + HOUR))
    assert [kind for kind, _ in news(database)] == ["disabled"]
    record(database, finished(second, now=NOW + 2 * HOUR))
    assert [kind for kind, _ in news(database)] == ["disabled", "recovered"]


def test_what_was_under_way_at_the_disabling_is_no_recovery(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    with database.writing() as session:
        disable(session, session.get_one(Endpoint, endpoint_id), outbox(), NOW)
    record(database, finished(claim))
    assert [kind for kind, _ in news(database)] == ["disabled"]
    assert standing(database, endpoint_id).failure_reported


def test_an_answer_of_gone_from_before_the_enabling_does_not_disable_again(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    (claim,) = claimed(database)
    with database.writing() as session:
        endpoint = session.get_one(Endpoint, endpoint_id)
        disable(session, endpoint, outbox(), NOW)
        enable(session, endpoint, "all", NOW + HOUR)
    record(database, finished(claim, 410))
    assert standing(database, endpoint_id).status == "enabled"
