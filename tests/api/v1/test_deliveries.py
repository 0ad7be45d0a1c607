"""`/v1/deliveries`: an owner sees what became of each event and why, and can have it sent again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from service.accounts.api_keys import account_named
from service.accounts.models import Audit
from service.api.v1.deliveries import ROUTES
from service.events.types import EventType
from service.kit.db.database import Database
from service.kit.ids import is_id, new_id
from service.webhooks.models import Delivery
from service.webhooks.queue.record import record_attempts
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.webhooks.rows import SEALER, claimed, deliveries, draft, finished, outbox, put, put_endpoint, set_endpoint

PATH = "/v1/deliveries"
SECOND = timedelta(seconds=1)


@dataclass
class Desk:
    """A caller of the account `Acme`, and its endpoint."""

    database: Database
    client: httpx.AsyncClient
    account_id: str
    endpoint_id: str

    def put(self, *detections: str, kind: EventType = EventType.DETECTION_COMPLETED, after: int = 0) -> None:
        drafts = [draft(each, kind, account_id=self.account_id) for each in detections]
        put(self.database, *drafts, now=NOW + after * SECOND)

    def finished(self, status: int | None, *, again: bool = True) -> None:
        """All that is due has been tried."""
        claims = claimed(self.database, now=NOW + 60 * SECOND)
        with self.database.writing() as session:
            batch = [finished(each, status, now=NOW, again=again) for each in claims]
            record_attempts(outbox())(session, batch)

    async def list(self, query: str = "") -> list[str | None]:
        """Return the detections of what is listed."""
        answer = await self.client.get(f"{PATH}{query}")
        assert answer.status_code == 200, answer.text
        return [each["detection_id"] for each in answer.json()["data"]]


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    with database.writing() as session:
        account_id = account_named(session, "Acme", NOW).id
    endpoint_id, _ = put_endpoint(database, account_id=account_id)
    context = replace(context_on(database, Path("unused")), sealer=SEALER)
    async with client_of(app_of(ROUTES, context)) as client:
        client.headers.update(bearer(database))
        yield Desk(database, client, account_id, endpoint_id)


async def test_a_delivery_is_shown_with_its_attempts(desk: Desk) -> None:
    desk.put("det_1")
    desk.finished(500)
    (row,) = deliveries(desk.database)
    answer = await desk.client.get(f"{PATH}/{row.id}")
    assert answer.status_code == 200
    shown = answer.json()
    attempt_id = shown["attempts"][0]["id"]
    assert is_id(attempt_id, "att")
    assert shown == {
        "id": row.id,
        "endpoint_id": desk.endpoint_id,
        "event_id": row.event_id,
        "event_type": "detection.completed",
        "detection_id": "det_1",
        "status": "pending",
        "lane": "retry",
        "next_attempt_at": "2026-11-20T12:00:01.000Z",
        "attempts": [
            {
                "id": attempt_id,
                "n": 1,
                "started_at": "2026-11-20T12:00:00.000Z",
                "status_code": 500,
                "error_class": "http_5xx",
                "phases_ms": {"dns": None, "connect": None, "tls": None, "first_byte": None, "total": 5},
                "response_excerpt": "\N{REPLACEMENT CHARACTER}<answer>",
                "explanation": "A sentence.",
            }
        ],
    }
    assert (await desk.client.get(PATH)).json() == {"data": [shown], "has_more": False, "next_cursor": None}


async def test_the_newest_come_first_and_every_one_once(desk: Desk) -> None:
    for n in range(5):
        desk.put(f"det_{n}", after=n)
    found, cursor = [], ""
    while True:
        page = (await desk.client.get(f"{PATH}?limit=2{cursor}")).json()
        found += [each["detection_id"] for each in page["data"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == ["det_4", "det_3", "det_2", "det_1", "det_0"]


async def test_filters_are_taken_together(desk: Desk) -> None:
    desk.put("det_1")
    desk.finished(200)
    put_endpoint(desk.database, account_id=desk.account_id)
    desk.put("det_2", kind=EventType.REVIEW_REQUIRED, after=1)
    event_id = deliveries(desk.database)[0].event_id
    assert await desk.list("?status=succeeded") == ["det_1"]
    assert await desk.list("?status=pending") == ["det_2", "det_2"]
    assert await desk.list(f"?endpoint={desk.endpoint_id}") == ["det_2", "det_1"]
    assert await desk.list(f"?endpoint={desk.endpoint_id}&status=pending&event=review.required") == ["det_2"]
    assert await desk.list(f"?event={event_id}") == ["det_1"]
    assert await desk.list("?event=detection.*") == ["det_1"]
    assert await desk.list(f"?endpoint={new_id('we')}") == []


async def test_every_bad_parameter_is_named(desk: Desk) -> None:
    answer = await desk.client.get(f"{PATH}?endpoint=we_x&status=due&event=nothing&limit=0&colour=blue")
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["colour", "endpoint", "status", "event", "limit"]


async def test_what_is_under_way_has_no_next_attempt(desk: Desk) -> None:
    desk.put("det_1")
    claimed(desk.database)
    (row,) = deliveries(desk.database)
    shown = (await desk.client.get(f"{PATH}/{row.id}")).json()
    assert (shown["status"], shown["next_attempt_at"]) == ("pending", None)


async def test_what_has_ended_is_sent_again_and_that_is_on_record(desk: Desk) -> None:
    desk.put("det_1")
    desk.finished(200)
    (row,) = deliveries(desk.database)
    answer = await desk.client.post(f"{PATH}/{row.id}/resend")
    shown = answer.json()
    assert (answer.status_code, shown["id"], shown["status"], shown["lane"]) == (202, row.id, "pending", "retry")
    assert [each["n"] for each in shown["attempts"]] == [1]
    desk.finished(204)
    again = (await desk.client.get(f"{PATH}/{row.id}")).json()
    assert [(each["n"], each["status_code"]) for each in again["attempts"]] == [(1, 200), (2, 204)]
    with desk.database.reading() as session:
        lines = session.exec(select(Audit.action).where(col(Audit.subject) == row.id)).all()
    assert lines == ["delivery.resent"]


async def test_what_is_on_its_way_or_has_nowhere_to_go_is_refused(desk: Desk) -> None:
    desk.put("det_1")
    (row,) = deliveries(desk.database)
    on_its_way = await desk.client.post(f"{PATH}/{row.id}/resend")
    desk.finished(500, again=False)
    set_endpoint(desk.database, desk.endpoint_id, status="disabled")
    nowhere = await desk.client.post(f"{PATH}/{row.id}/resend", json={})
    assert [(each.status_code, each.json()["code"]) for each in (on_its_way, nowhere)] == [
        (409, "delivery_under_way"),
        (409, "endpoint_disabled"),
    ]
    assert (await desk.client.post(f"{PATH}/{row.id}/resend", json={"now": True})).status_code == 422


@pytest.mark.parametrize("delivery_id", ["dlv_1", "dlv_%00", "dlv_01jd8x6z3xe6ntqkzjv4m6q4pn"])
async def test_what_is_not_there_is_not_found(desk: Desk, delivery_id: str) -> None:
    for answer in (
        await desk.client.get(f"{PATH}/{delivery_id}"),
        await desk.client.post(f"{PATH}/{delivery_id}/resend"),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize("headers", [{"mode": "test"}, {"scopes": ("detections:read",)}])
async def test_another_mode_sees_nothing_and_a_key_needs_its_scope(desk: Desk, headers: Any) -> None:
    desk.put("det_1")
    desk.client.headers.update(bearer(desk.database, **headers))
    (row,) = deliveries(desk.database)
    statuses = [
        (await desk.client.get(PATH)).status_code,
        (await desk.client.get(f"{PATH}/{row.id}")).status_code,
        (await desk.client.post(f"{PATH}/{row.id}/resend")).status_code,
    ]
    assert statuses == ([200, 404, 404] if "mode" in headers else [403, 403, 403])


async def test_a_filter_looks_at_so_many_deliveries_and_an_events_own_are_found_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.kit.paging.WINDOW", 3)
    for n in range(8):
        desk.put(f"det_{n}", after=n)
    with desk.database.writing() as session:
        first = session.exec(select(Delivery).where(Delivery.detection_id == "det_0")).one()
        first.state = "exhausted"
    shown, cursor = [], ""
    for _ in range(3):
        page = (await desk.client.get(f"{PATH}?status=exhausted{cursor}")).json()
        shown.append([each["detection_id"] for each in page["data"]])
        cursor = f"&cursor={page['next_cursor']}"
    assert (shown, page["has_more"]) == ([[], [], ["det_0"]], False)
    assert await desk.list(f"?event={first.event_id}") == ["det_0"]
