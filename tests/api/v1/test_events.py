"""`/v1/events`: pulling facts, oldest first, with a cursor that is always good for going on."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.accounts.api_keys import account_named
from service.api.routes import ROUTES
from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.db.database import Database
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.events.settling import settle


@dataclass
class Door:
    """The door, a caller of the account `Acme`, and its facts."""

    client: httpx.AsyncClient
    database: Database
    key: dict[str, str]
    account_id: str

    def put(self, kind: EventType = EventType.DETECTION_COMPLETED, **changes: Any) -> str:
        draft: dict[str, Any] = {"account_id": self.account_id, "mode": "live", "data": {"id": "é", "n": 1.5}} | changes
        with self.database.writing() as session:
            (recorded,) = Outbox().record(session, [Draft(type=kind, **draft)], NOW)
        return recorded.id

    async def get(self, path: str = "", key: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        """Return the answer, once what was written is certain."""
        settle(self.database)
        return await self.client.get(f"/v1/events{path}", params=query, headers=key or self.key)


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    with database.writing() as session:
        account_id = account_named(session, "Acme", NOW).id
    async with client_of(app_of(ROUTES, context_on(database, tmp_path))) as client:
        yield Door(client, database, bearer(database), account_id)


async def test_a_puller_sees_every_event_once_and_can_always_go_on(door: Door) -> None:
    made = [door.put() for _ in range(3)]
    first = (await door.get(limit=2)).json()
    assert ([one["id"] for one in first["data"]], first["has_more"]) == (made[:2], True)
    second = (await door.get(limit=2, cursor=first["next_cursor"])).json()
    assert ([one["id"] for one in second["data"]], second["has_more"]) == (made[2:], False)
    nothing = (await door.get(cursor=second["next_cursor"])).json()
    assert (nothing["data"], nothing["has_more"]) == ([], False)
    later = door.put()
    assert [one["id"] for one in (await door.get(cursor=nothing["next_cursor"])).json()["data"]] == [later]


async def test_an_empty_feed_gives_a_cursor_too(door: Door) -> None:
    cursor = (await door.get()).json()["next_cursor"]
    made = door.put()
    assert [one["id"] for one in (await door.get(cursor=cursor)).json()["data"]] == [made]


async def test_an_event_is_what_webhooks_carry_with_its_id(door: Door) -> None:
    made = door.put()
    expected = {
        "id": made,
        "type": "detection.completed",
        "timestamp": "2026-11-20T12:00:00.000Z",
        "data": {"id": "é", "n": 1.5},
    }
    assert (await door.get(f"/{made}")).json() == expected
    assert (await door.get()).json()["data"] == [expected]


async def test_a_type_or_a_family_of_types_can_be_asked_for(door: Door) -> None:
    one, two = door.put(EventType.DETECTOR_COMPLETED), door.put(EventType.DETECTION_FAILED)
    assert [each["id"] for each in (await door.get(type="detector.completed")).json()["data"]] == [one]
    assert [each["id"] for each in (await door.get(type="detection.*")).json()["data"]] == [two]
    assert [each["id"] for each in (await door.get(type="*")).json()["data"]] == [one, two]


async def test_every_bad_parameter_is_named_at_once(door: Door) -> None:
    answer = await door.get(type="nonsense", cursor="x", limit="101", colour="red")
    assert answer.status_code == 422
    assert sorted(each["pointer"] for each in answer.json()["errors"]) == ["colour", "cursor", "limit", "type"]


async def test_a_cursor_is_of_no_use_to_another_account_or_mode(door: Door) -> None:
    door.put()
    cursor = (await door.get()).json()["next_cursor"]
    assert (await door.get(cursor=cursor)).status_code == 200
    assert (await door.get(cursor=cursor, key=bearer(door.database, mode="test"))).status_code == 422


@pytest.mark.parametrize("event_id", ["evt_01m7xt5xe5e54tsvvaszt0pgte", "x", "%00"])
async def test_an_unknown_event_is_not_found(door: Door, event_id: str) -> None:
    assert (await door.get(f"/{event_id}")).status_code == 404


async def test_another_accounts_event_is_not_found(door: Door) -> None:
    foreign = door.put(account_id="acc_2")
    assert (await door.get(f"/{foreign}")).status_code == 404
    assert (await door.get()).json()["data"] == []


@pytest.mark.parametrize("path", ["", "/evt_01m7xt5xe5e54tsvvaszt0pgte", "/stream"])
async def test_a_key_without_the_scope_is_refused(door: Door, path: str) -> None:
    assert (await door.get(path, key=bearer(door.database, scopes=["endpoints:read"]))).status_code == 403


async def test_a_filter_looks_at_so_many_events_and_the_cursor_leads_past_them(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.events.feed.WINDOW", 3)
    for _ in range(7):
        door.put()
    wanted = door.put(EventType.REVIEW_REQUIRED)
    pages, query = [], dict[str, Any](type="review.*")
    for _ in range(3):
        page = (await door.get(**query)).json()
        pages.append(([one["id"] for one in page["data"]], page["has_more"]))
        query["cursor"] = page["next_cursor"]
    assert pages == [([], True), ([], True), ([wanted], False)]
