"""`GET /v1/detections`: what may be asked, what is refused, and that one account sees nothing of another."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.accounts.api_keys import account_named
from service.api.v1.detections import ROUTES
from service.kit.db.database import Database
from service.runs.state.models import Detection
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.detections.rows import World, policy_of
from tests.detections.scripted import aippim, asc, said


@dataclass
class Door:
    """The door, a caller of the account `Acme`, and what is behind."""

    client: httpx.AsyncClient
    here: World
    key: dict[str, str]
    account_id: str

    async def ask(self, key: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return await self.client.get("/v1/detections", params=query, headers=key or self.key)

    def submit(self, **asked: Any) -> str:
        return self.here.submit("asc", media={"account": self.account_id}, account_id=self.account_id, **asked)


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    here = World(database, policy_of(aippim(), asc(submits=[said("ai")])))
    context = replace(context_on(database, tmp_path), policy=here.policy, clock=here.clock)
    with database.writing() as session:
        account_id = account_named(session, "Acme", NOW).id
    async with client_of(app_of(ROUTES, context)) as client:
        yield Door(client, here, bearer(database), account_id)


async def test_pages_lead_through_all_of_them_once(door: Door) -> None:
    made = []
    for _ in range(5):
        made.append(door.submit())
        door.here.clock.turn(1)
    shown: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for more in (True, True, False):
        page = (await door.ask(**query)).json()
        shown += [one["id"] for one in page["data"]]
        assert page["has_more"] is more
        query["cursor"] = page["next_cursor"]
    assert (shown, query["cursor"]) == (made[::-1], None)


async def test_an_item_is_the_short_form_of_the_result(door: Door) -> None:
    detection_id = door.submit(external_id="catalogue-42")
    await door.here.dispatch()
    (item,) = (await door.ask(verdict="ai_generated", external_id="catalogue-42")).json()["data"]
    assert (item["id"], item["status"], item["verdict"]) == (detection_id, "completed", "ai_generated")
    assert "raw" not in item["detectors"][0]


async def test_filters_hold_together(door: Door) -> None:
    door.submit(external_id="a")
    wanted = door.submit(external_id="b")
    query: dict[str, Any] = {
        "status": "queued",
        "detector": "asc",
        "external_id": "b",
        "created_after": "2026-11-20T12:00:00Z",
        "created_before": "2026-11-20T14:00:00+01:00",
    }
    assert [one["id"] for one in (await door.ask(**query)).json()["data"]] == [wanted]
    assert (await door.ask(**query, verdict="ai_generated")).json()["data"] == []
    assert (await door.ask(**query, stuck="true")).json()["data"] == []
    door.here.clock.turn(900)
    assert [one["id"] for one in (await door.ask(**query, stuck="true")).json()["data"]] == [wanted]


async def test_every_bad_parameter_is_named_at_once(door: Door) -> None:
    answer = await door.ask(
        status="done",
        verdict="maybe",
        detector="no such",
        external_id="",
        created_after="yesterday",
        created_before="2026-02-30T00:00:00Z",
        stuck="yes",
        limit="0",
        cursor="x",
        colour="red",
    )
    named = [each["pointer"] for each in answer.json()["errors"]]
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert sorted(named) == [
        "colour", "created_after", "created_before", "cursor", "detector", "external_id", "limit", "status", "stuck",
        "verdict",
    ]  # fmt: skip


async def test_a_parameter_given_twice_is_refused(door: Door) -> None:
    answer = await door.client.get("/v1/detections?status=queued&status=running", headers=door.key)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "status")


async def test_a_plus_that_nobody_escaped_is_still_a_zone(door: Door) -> None:
    detection_id = door.submit()
    answer = await door.client.get("/v1/detections?created_after=2026-11-20T13:00:00+01:00", headers=door.key)
    assert [one["id"] for one in answer.json()["data"]] == [detection_id]


async def test_accounts_and_modes_see_nothing_of_one_another(door: Door) -> None:
    door.submit()
    assert (await door.ask(key=bearer(door.here.database, mode="test"))).json()["data"] == []
    door.here.submit("asc")  # another account's
    assert len((await door.ask()).json()["data"]) == 1


async def test_a_key_without_the_scope_is_refused(door: Door) -> None:
    answer = await door.ask(key=bearer(door.here.database, scopes=["detections:write"]))
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


async def test_a_filter_without_an_index_looks_at_so_many_and_pages_lead_through_all_all_the_same(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.kit.paging.WINDOW", 3)
    made = []
    for _ in range(8):
        made.append(door.submit())
        door.here.clock.turn(1)
    with door.here.database.writing() as session:
        for one in (0, 7):
            session.get_one(Detection, made[one]).verdict = "no_ai_detected"
    shown: list[list[str]] = []
    query: dict[str, Any] = {"verdict": "no_ai_detected", "limit": 2}
    while "cursor" not in query or query["cursor"]:
        page = (await door.ask(**query)).json()
        assert page["has_more"] is (page["next_cursor"] is not None)
        shown.append([one["id"] for one in page["data"]])
        query["cursor"] = page["next_cursor"]
    assert shown == [[made[7]], [], [made[0]]]
