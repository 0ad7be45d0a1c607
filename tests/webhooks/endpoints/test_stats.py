"""An endpoint's figures are of its own attempts of the last day, and of what waits for it now."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert

from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.webhooks.endpoints.stats import percentile, stats_of
from service.webhooks.models import Attempt, Delivery, Endpoint
from tests.webhooks.rows import NOW, deliveries, draft, put, put_endpoint

HOUR = timedelta(hours=1)


def attempted(database: Database, endpoint_id: str, *tries: tuple[int | None, int, float]) -> None:
    """Tries: status, total ms, hours ago."""
    rows = [
        {
            "id": f"att_{endpoint_id}_{n}",
            "delivery_id": f"dlv_{endpoint_id}",
            "endpoint_id": endpoint_id,
            "n": n,
            "started_at": NOW - ago * HOUR,
            "status_code": status,
            "error_class": None if status == 200 else "http_5xx" if status else "timeout",
            "phases_json": f'{{"total": {total}}}',
            "explanation": "",
        }
        for n, (status, total, ago) in enumerate(tries)
    ]
    with database.writing() as session:
        session.connection().execute(insert(table_of(Attempt)), rows)


def test_the_figures_of_an_endpoint(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    other, _ = put_endpoint(database)
    attempted(database, endpoint_id, (200, 10, 1), (200, 30, 2), (500, 20, 3), (None, 15_000, 4), (200, 1, 25))
    attempted(database, other, (500, 1, 1))
    put(database, draft("det_1"), draft("det_1"), now=NOW - 2 * HOUR)
    put(database, draft("det_2"), now=NOW - HOUR)
    newest = [each.id for each in deliveries(database) if each.endpoint_id == endpoint_id][-1]
    with database.writing() as session:
        session.get_one(Delivery, newest).state = "held"
        session.get_one(Endpoint, endpoint_id).failures = 7
    with database.reading() as session:
        found = stats_of(session, session.get_one(Endpoint, endpoint_id), NOW)
    assert found == {
        "endpoint_id": endpoint_id,
        "since": "2026-11-19T12:00:00.000Z",
        "attempts": {"total": 4, "succeeded": 2, "failed": 2},
        "success_rate": 0.5,
        "latency_ms": {"p50": 20, "p95": 30},
        "backlog": {"pending": 1, "blocked": 1, "held": 1},
        "oldest_waiting_at": "2026-11-20T10:00:00.000Z",
        "oldest_waiting_ms": 7_200_000,
        "failing_since": None,
        "failures": 7,
    }


def test_of_nothing_nothing_is_said(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    with database.reading() as session:
        found = stats_of(session, session.get_one(Endpoint, endpoint_id), NOW)
    assert (found["success_rate"], found["latency_ms"]) == (None, {"p50": None, "p95": None})
    assert (found["backlog"], found["oldest_waiting_at"]) == ({"pending": 0, "blocked": 0, "held": 0}, None)


@pytest.mark.parametrize(("percent", "value"), [(1, 1), (50, 50), (95, 95), (100, 100)])
def test_percentiles_of_a_hundred(percent: int, value: int) -> None:
    assert percentile(range(1, 101), percent) == value


@given(st.lists(st.integers(0, 100), min_size=1).map(sorted), st.integers(1, 100))
def test_so_many_percent_do_not_exceed_it(ordered: list[int], percent: int) -> None:
    found = percentile(ordered, percent)
    assert found in ordered
    assert sum(each <= found for each in ordered) * 100 >= percent * len(ordered)
