"""Deliveries of endpoints that take nothing now leave the queue, but for those under way."""

from datetime import timedelta

import pytest

from service.kit.db.database import Database
from service.webhooks.models import Endpoint
from service.webhooks.queue import bulk_moves
from service.webhooks.queue.bulk_moves import hold_deliveries, stopped_endpoints
from tests.webhooks.rows import LEASE, NOW, claimed, deliveries, draft, put, put_endpoint, set_endpoint, states


def held(database: Database, endpoint_id: str, *, late: timedelta = timedelta(0)) -> int:
    """How many were held, now that the endpoint stands."""
    with database.writing() as session:
        endpoint = session.get_one(Endpoint, endpoint_id)
        endpoint.status = "disabled" if endpoint.status == "enabled" else endpoint.status
        session.flush()
        return hold_deliveries(session, endpoint_id, NOW + late)


def standing(database: Database) -> list[str]:
    with database.reading() as session:
        return stopped_endpoints(session)


def test_those_that_stand_and_have_deliveries_due_are_found(database: Database) -> None:
    first, _ = put_endpoint(database)
    second, _ = put_endpoint(database)
    put_endpoint(database)
    put(database, draft())
    put_endpoint(database, status="disabled")
    set_endpoint(database, first, status="disabled")
    set_endpoint(database, second, status="disabled")
    assert set(standing(database)) == {first, second}
    assert held(database, first) == held(database, second) == 1
    assert standing(database) == []


def test_only_that_endpoints_due_deliveries_are_held(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put_endpoint(database)
    put(database, draft(), draft())
    assert held(database, endpoint_id) == 1
    mine = [each for each in deliveries(database) if each.endpoint_id == endpoint_id]
    assert [(each.state, each.due_at, each.ended_at) for each in mine] == [
        ("held", None, None),
        ("blocked", None, None),
    ]
    assert sorted(states(database)) == ["blocked", "blocked", "due", "held"]


def test_what_is_under_way_is_left_until_its_lease_runs_out(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    claimed(database)
    assert held(database, endpoint_id) == 0
    assert held(database, endpoint_id, late=LEASE) == 1
    assert [each.lease_token for each in deliveries(database)] == [None]


def test_nothing_is_held_of_an_endpoint_that_was_enabled_meanwhile(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    with database.writing() as session:
        assert hold_deliveries(session, endpoint_id, NOW) == 0
    assert states(database) == ["due"]


def test_a_slice_at_a_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_moves, "SLICE", 2)
    endpoint_id, _ = put_endpoint(database)
    put(database, *(draft(f"det_{n}") for n in range(5)))
    assert [held(database, endpoint_id) for _ in range(4)] == [2, 2, 1, 0]


def test_what_was_left_for_a_deleted_endpoint_is_skipped(database: Database) -> None:
    endpoint_id, _ = put_endpoint(database)
    put(database, draft())
    set_endpoint(database, endpoint_id, status="disabled", deleted_at=NOW)
    assert standing(database) == [endpoint_id]
    assert held(database, endpoint_id) == 1
    assert [(each.state, each.ended_at) for each in deliveries(database)] == [("skipped", NOW)]
