"""An endpoint changed, switched, pinged, caught up with, and given a new secret; each on record."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from service.accounts.api_keys import account_named
from service.accounts.models import Audit
from service.api.v1 import endpoints
from service.events.models import Event
from service.kit.db.database import Database
from service.kit.http.guard import GuardPolicy
from service.webhooks.models import Endpoint
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.sending.signing import open_headers, open_secrets
from tests.api.doors import NOW, app_of, bearer, client_of, context_on
from tests.detections.rows import policy_of
from tests.webhooks.desk import StillClock
from tests.webhooks.rows import SEALER, claimed, deliveries, draft, outbox, put, put_endpoint, set_endpoint, states

PATH = "/v1/webhook-endpoints"
URL = "https://customer.example/in"


@dataclass
class Desk:
    """A caller of the account `Acme`, and its endpoint."""

    database: Database
    client: httpx.AsyncClient
    account_id: str
    id: str
    secret: str
    clock: StillClock

    async def act(self, action: str, body: object = None, endpoint_id: str | None = None) -> httpx.Response:
        path = f"{PATH}/{endpoint_id or self.id}/{action}"
        return await (self.client.post(path) if body is None else self.client.post(path, json=body))

    def put(self, *detections: str, now: datetime = NOW) -> None:
        put(self.database, *(draft(each, account_id=self.account_id) for each in detections), now=now)

    def audit(self) -> list[str]:
        with self.database.reading() as session:
            return list(session.exec(select(Audit.action).order_by(col(Audit.id)).where(Audit.subject == self.id)))

    def row(self) -> Endpoint:
        with self.database.reading() as session:
            return session.get_one(Endpoint, self.id)

    def claim(self) -> ClaimedDelivery:
        """Return what a worker would deliver now."""
        self.put("det_parcel", now=self.clock())
        return next(each for each in claimed(self.database, now=self.clock()) if each.endpoint_id == self.id)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    with database.writing() as session:
        account_id = account_named(session, "Acme", NOW).id
    endpoint_id, secret = put_endpoint(database, account_id=account_id, headers={"X-Key": "sesame"}, rate=9)
    clock = StillClock(NOW)
    context = replace(
        context_on(database, Path("unused")),
        sealer=SEALER,
        guard=GuardPolicy(),
        clock=clock,
        policy=replace(policy_of(), outbox=outbox()),
    )
    async with client_of(app_of(endpoints.ROUTES, context)) as client:
        client.headers.update(bearer(database))
        yield Desk(database, client, account_id, endpoint_id, secret, clock)


async def patch(desk: Desk, changes: object) -> httpx.Response:
    return await desk.client.patch(f"{PATH}/{desk.id}", json=changes)


async def test_what_is_named_is_changed_and_nothing_else(desk: Desk) -> None:
    before = (await desk.client.get(f"{PATH}/{desk.id}")).json()
    changed = {"url": "https://customer.example/new", "events": ["review.required"], "description": "Blue"}
    answer = await patch(desk, changed)
    assert (answer.status_code, answer.json()) == (200, before | changed)
    assert (await patch(desk, {})).json() == before | changed
    assert (await desk.client.get(f"{PATH}/{desk.id}")).json() == before | changed
    assert open_headers(SEALER, desk.id, desk.row().sealed_headers) == {"X-Key": "sesame"}


async def test_null_clears_what_may_be_absent(desk: Desk) -> None:
    await patch(desk, {"description": "Blue"})
    answer = await patch(desk, {"description": None, "headers": None, "rate_limit_per_second": None})
    body = answer.json()
    assert (body["description"], body["headers"], body["rate_limit_per_second"]) == (None, {}, None)
    assert desk.row().sealed_headers is None


async def test_headers_are_replaced_as_a_whole_and_masked(desk: Desk) -> None:
    answer = await patch(desk, {"headers": {"X-Other": "open"}})
    assert answer.json()["headers"] == {"X-Other": "********"}
    assert open_headers(SEALER, desk.id, desk.row().sealed_headers) == {"X-Other": "open"}


async def test_everything_wrong_with_a_change_is_said_at_once_and_nothing_is_changed(desk: Desk) -> None:
    wrong = {
        "url": "https://10.0.0.1/in",
        "events": None,
        "headers": {"Host": "x"},
        "rate_limit_per_second": 0,
        "status": "enabled",
        "description": 7,
    }
    answer = await patch(desk, wrong)
    assert answer.status_code == 422
    pointers = [each["pointer"] for each in answer.json()["errors"]]
    assert sorted(pointers) == ["/description", "/events", "/headers/Host", "/rate_limit_per_second", "/status", "/url"]
    assert desk.row().url == URL
    assert (await patch(desk, {"url": None})).status_code == 422


async def test_at_another_url_failures_begin_anew(desk: Desk) -> None:
    set_endpoint(desk.database, desk.id, failing_since=NOW, failures=19, warned_percent=90)
    await patch(desk, {"url": URL})
    assert desk.row().failures == 19
    await patch(desk, {"url": f"{URL}/2"})
    assert (desk.row().failing_since, desk.row().failures, desk.row().warned_percent) == (None, 0, 0)


async def test_while_disabled_all_is_held_and_when_enabled_it_goes_out_in_order(desk: Desk) -> None:
    desk.put("det_1", "det_1")
    off = await desk.act("disable")
    assert (off.status_code, off.json()["status"], off.json()["disabled_reason"]) == (200, "disabled", "by_owner")
    assert states(desk.database) == ["held", "blocked"]
    desk.put("det_2")
    on = await desk.act("enable")
    assert (on.status_code, on.json()["status"], on.json()["disabled_reason"]) == (200, "enabled", None)
    assert states(desk.database) == ["due", "blocked", "due"]


@pytest.mark.parametrize(
    ("release", "left"),
    [("all", ["due", "blocked"]), ("newest", ["skipped", "due"]), ("none", ["skipped", "skipped"])],
)
async def test_the_owner_chooses_what_becomes_of_what_was_held(desk: Desk, release: str, left: list[str]) -> None:
    await desk.act("disable", {})
    desk.put("det_1", "det_1")
    assert (await desk.act("enable", {"release": release})).status_code == 200
    assert states(desk.database) == left


async def test_the_reason_of_an_earlier_disabling_is_kept(desk: Desk) -> None:
    set_endpoint(desk.database, desk.id, status="disabled", disabled_reason="gone")
    assert (await desk.act("disable")).json()["disabled_reason"] == "gone"


async def test_the_accounts_other_endpoints_hear_of_a_disabling(desk: Desk) -> None:
    other, _ = put_endpoint(desk.database, account_id=desk.account_id, events=["webhook_endpoint.*"])
    await desk.act("disable")
    await desk.act("disable")
    assert [(each.endpoint_id, each.state) for each in deliveries(desk.database)] == [(other, "due")]


async def test_a_ping_goes_to_that_endpoint_alone_whatever_its_filters(desk: Desk) -> None:
    put_endpoint(desk.database, account_id=desk.account_id)
    set_endpoint(desk.database, desk.id, events_json='["review.required"]')
    answer = await desk.act("ping")
    (delivery,) = deliveries(desk.database)
    assert (answer.status_code, answer.json()) == (202, {"event_id": delivery.event_id, "delivery_id": delivery.id})
    assert delivery.endpoint_id == desk.id
    with desk.database.reading() as session:
        event = session.exec(select(Event)).one()
    assert (
        event.body
        == (
            f'{{"type":"webhook_endpoint.ping","timestamp":"2026-11-20T12:00:00.000Z","data":{{"endpoint_id":"{desk.id}"}}}}'
        ).encode()
    )


async def test_a_disabled_endpoint_is_not_pinged_nor_caught_up_with(desk: Desk) -> None:
    await desk.act("disable")
    refused = [await desk.act("ping"), await desk.act("recover", {"since": "2026-11-20T00:00:00Z"})]
    assert [(each.status_code, each.json()["code"]) for each in refused] == [(409, "endpoint_disabled")] * 2
    assert deliveries(desk.database) == []


async def test_a_new_secret_is_shown_and_both_sign_for_a_day(desk: Desk) -> None:
    answer = await desk.act("rotate-secret")
    body = answer.json()
    new = body["secret"]
    assert (answer.status_code, new.startswith("whsec_"), new != desk.secret) == (200, True, True)
    assert body["previous_secrets_end_at"] == "2026-11-21T12:00:00.000Z"
    assert sorted(open_secrets(SEALER, desk.claim().target.sealed_secrets)) == sorted([new, desk.secret])
    desk.clock.wait(86_400)
    assert open_secrets(SEALER, desk.claim().target.sealed_secrets) == [new]


@pytest.mark.parametrize("overlap", [-1, 604_801, True, 1.5, "60", None])
async def test_an_overlap_is_a_whole_number_of_seconds_up_to_a_week(desk: Desk, overlap: Any) -> None:
    answer = await desk.act("rotate-secret", {"overlap_seconds": overlap})
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/overlap_seconds"]
    assert (await desk.act("rotate-secret", {"overlap_seconds": 604_800})).status_code == 200


async def test_the_newest_secret_is_shown_to_who_may_see_it_and_that_is_on_record(desk: Desk) -> None:
    desk.clock.wait(1)
    new = (await desk.act("rotate-secret", {"overlap_seconds": 0})).json()["secret"]
    answer = await desk.client.get(f"{PATH}/{desk.id}/secret")
    assert (answer.status_code, answer.json()) == (200, {"id": desk.id, "secret": new})
    assert answer.headers["cache-control"] == "no-store"
    assert desk.audit() == ["endpoint.secret_rotated", "endpoint.secret_shown"]
    desk.client.headers.update(bearer(desk.database, scopes=("endpoints:read", "endpoints:write")))
    assert (await desk.client.get(f"{PATH}/{desk.id}/secret")).status_code == 403


async def test_what_was_lost_since_is_sent_again(desk: Desk) -> None:
    await desk.act("disable")
    desk.put("det_1", "det_2")
    await desk.act("enable", {"release": "none"})
    desk.clock.wait(60)
    answer = await desk.act("recover", {"since": "2026-11-20T13:00:00+01:00"})
    assert (answer.status_code, answer.json()) == (202, {"resent": 2, "has_more": False})
    assert states(desk.database) == ["due", "due"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/since"),
        ({"since": "2026-11-20T00:00:00"}, "/since"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "/since"),
        ({"since": 1_700_000_000}, "/since"),
        ({"since": "2026-11-20T00:00:00Z", "until": "2026-11-20T00:00:00Z"}, "/until"),
        ({"since": "2026-11-20T00:00:00Z", "all": True}, "/all"),
    ],
)
async def test_the_times_of_a_recovery_are_judged(desk: Desk, body: object, pointer: str) -> None:
    answer = await desk.act("recover", body)
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, [pointer])


async def test_stats_are_the_endpoints(desk: Desk) -> None:
    desk.put("det_1")
    desk.clock.wait(5)
    body = (await desk.client.get(f"{PATH}/{desk.id}/stats")).json()
    assert (body["endpoint_id"], body["backlog"]["pending"], body["oldest_waiting_ms"]) == (desk.id, 1, 5000)


async def test_every_action_is_on_record(desk: Desk) -> None:
    await patch(desk, {"description": "Blue"})
    for action, body in (
        ("ping", None),
        ("recover", {"since": "2026-11-20T00:00:00Z"}),
        ("disable", {}),
        ("enable", {}),
    ):
        assert (await desk.act(action, body)).is_success
    assert desk.audit() == [
        "endpoint.changed",
        "endpoint.pinged",
        "endpoint.recovered",
        "endpoint.disabled",
        "endpoint.enabled",
    ]


ACTIONS: list[tuple[str, str, object]] = [
    ("PATCH", "", {"description": "Mine"}),
    ("POST", "/enable", {}),
    ("POST", "/disable", {}),
    ("POST", "/ping", {}),
    ("POST", "/rotate-secret", {}),
    ("POST", "/recover", {"since": "2026-11-20T00:00:00Z"}),
    ("GET", "/secret", None),
    ("GET", "/stats", None),
]


@pytest.mark.parametrize(("method", "action", "body"), ACTIONS)
async def test_nobody_elses_endpoint_is_touched_nor_one_that_is_deleted(
    desk: Desk, method: str, action: str, body: object
) -> None:
    foreign, _ = put_endpoint(desk.database)
    deleted, _ = put_endpoint(desk.database, account_id=desk.account_id)
    set_endpoint(desk.database, deleted, deleted_at=NOW, status="disabled")
    other_mode, _ = put_endpoint(desk.database, account_id=desk.account_id, mode="test")
    for endpoint_id in (foreign, deleted, other_mode, "we_%00", "we_01jd8x6z3xe6ntqkzjv4m6q4pn"):
        answer = await desk.client.request(method, f"{PATH}/{endpoint_id}{action}", json=body)
        assert answer.status_code == 404


@pytest.mark.parametrize(("method", "action", "body"), ACTIONS)
async def test_each_needs_its_scope(desk: Desk, method: str, action: str, body: object) -> None:
    desk.client.headers.update(bearer(desk.database, scopes=("detections:read", "detections:write")))
    answer = await desk.client.request(method, f"{PATH}/{desk.id}{action}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


async def test_a_repeated_rotation_with_a_key_gives_the_same_secret(desk: Desk) -> None:
    key = {"Idempotency-Key": "once"}
    first, again = [await desk.client.post(f"{PATH}/{desk.id}/rotate-secret", headers=key) for _ in range(2)]
    assert first.json()["secret"] == again.json()["secret"]
    assert again.headers["idempotent-replayed"] == "true"
