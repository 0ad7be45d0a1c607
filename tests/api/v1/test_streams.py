"""The two streams over real sockets: live, each thing once, also over lost connections; and their ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from service.accounts.api_keys import account_named, revoke
from service.accounts.models import ApiKey
from service.api import sse
from service.api.context import Context
from service.api.routes import ROUTES
from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.concurrency.wake import Sleeper
from service.kit.db.database import Database
from service.kit.errors import Overdue
from service.webhooks.queue.record import record_attempts
from tests.api.doors import NOW, app_of, bearer, context_on
from tests.api.listening import listening
from tests.detections.rows import World, policy_of
from tests.detections.scripted import asc, job, said
from tests.events.settling import settle
from tests.journeys.outside import serving
from tests.waiting import until
from tests.webhooks.rows import claimed, finished, outbox, put_endpoint


@dataclass
class Door:
    """The doors on a socket, a caller of the account `Acme`, and what is behind."""

    client: httpx.AsyncClient
    here: World
    context: Context
    key: dict[str, str]
    account_id: str

    def submit(self) -> str:
        return self.here.submit("asc", media={"account": self.account_id}, account_id=self.account_id)

    def put(self, kind: EventType = EventType.DETECTION_COMPLETED, **changes: Any) -> str:
        draft: dict[str, Any] = {"account_id": self.account_id, "mode": "live", "data": {"n": 1}} | changes
        with self.here.database.writing() as session:
            (recorded,) = Outbox().record(session, [Draft(type=kind, **draft)], NOW)
        return recorded.id

    def deliver(self) -> None:
        now = self.here.clock()
        claims = claimed(self.here.database, now=now)
        with self.here.database.writing() as session:
            record_attempts(outbox())(session, [finished(claim, now=now) for claim in claims])


@pytest.fixture
async def door(database: Database, tmp_path: Path) -> AsyncIterator[Door]:
    database.wake.attach()
    policy = policy_of(asc(submits=[job("j1"), job("j2")], fetches=[said("ai")]))
    here = World(database, replace(policy, outbox=outbox()))
    context = replace(context_on(database, tmp_path), policy=here.policy, clock=here.clock, heartbeat_seconds=0.2)
    with database.writing() as session:
        account_id = account_named(session, "Acme", NOW).id
    async with serving(app_of(ROUTES, context)) as base, httpx.AsyncClient(base_url=base, timeout=20) as client:
        yield Door(client, here, context, bearer(database), account_id)
        context.shutdown.begin()


async def test_a_detection_is_told_fact_by_fact_until_it_is_over(door: Door) -> None:
    put_endpoint(door.here.database, account_id=door.account_id)
    detection_id = door.submit()
    async with listening(door.client, f"/v1/detections/{detection_id}/stream", door.key) as reader:
        await reader.hears(2)
        assert reader.names == ["detection.created", "run.queued"]
        await door.here.dispatch()
        await reader.hears(3)
        door.here.clock.turn(45)
        await door.here.poll()
        await until(lambda: "delivery.created" in reader.names)
        assert not reader.ended.is_set()
        door.deliver()
        await asyncio.wait_for(reader.ended.wait(), 10)
    story = (await door.client.get(f"/v1/detections/{detection_id}/timeline", headers=door.key)).json()
    ended = [name for name, fact in reader.said[:-1] if fact.get("outcome") != "in_flight"]  # seen by chance
    assert sorted(ended) == sorted(fact["kind"] for fact in story["data"])
    assert [fact for name, fact in reader.said if name == "run.queued"] == [story["data"][1]]
    name, end = reader.said[-1]
    assert (name, end["status"], end["waits"]) == ("end", "completed", story["waits"])


async def test_a_reader_that_comes_back_hears_only_what_it_has_not_had(door: Door) -> None:
    detection_id = door.submit()
    path = f"/v1/detections/{detection_id}/stream"
    async with listening(door.client, path, door.key) as first:
        await first.hears(2)
    await door.here.dispatch()
    async with listening(door.client, path, door.key, last=first.last_id) as second:
        await second.hears(1)
    door.here.clock.turn(45)
    await door.here.poll()
    async with listening(door.client, path, door.key, last=second.last_id) as third:
        await asyncio.wait_for(third.ended.wait(), 10)
    told = first.names + second.names + third.names
    assert (first.names, second.names[0], third.names[-1]) == (
        ["detection.created", "run.queued"], "run.submitted", "end",
    )  # fmt: skip
    story = (await door.client.get(f"/v1/detections/{detection_id}/timeline", headers=door.key)).json()
    assert sorted(told[:-1]) == sorted(fact["kind"] for fact in story["data"])
    again = await door.client.get(path, headers=door.key | {"Last-Event-ID": third.last_id})
    assert (again.status_code, again.content) == (204, b"")  # an EventSource does not come again


async def test_events_come_as_they_happen(door: Door) -> None:
    old = door.put()
    settle(door.here.database)
    async with listening(door.client, "/v1/events/stream", door.key) as reader:
        await until(lambda: reader.blocks)
        made = [door.put(), door.put(EventType.DETECTION_FAILED)]
        door.put(account_id="acc_2")
        door.put(mode="test")
        made.append(door.put())
        await reader.hears(3)
    assert [event["id"] for _, event in reader.said] == made
    assert old not in made
    assert reader.last_id == made[-1]
    name, event = reader.said[1]
    assert (name, event) == (
        "detection.failed",
        {"id": made[1], "type": "detection.failed", "timestamp": "2026-11-20T12:00:00.000Z", "data": {"n": 1}},
    )


# On PostgreSQL another test's transaction may hold the event back until after the wake.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_wake_brings_an_event_at_once(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sleeper, "every", 3600)
    async with listening(door.client, "/v1/events/stream", door.key) as reader:
        await until(lambda: reader.blocks)
        door.put()
        await reader.hears(1)


async def test_no_event_is_lost_between_two_connections(door: Door) -> None:
    async with listening(door.client, "/v1/events/stream", door.key) as first:
        await until(lambda: first.blocks)
    one = door.put()  # before the reader had any event
    async with listening(door.client, "/v1/events/stream", door.key, last=first.last_id) as second:
        await second.hears(1)
    two = [door.put() for _ in range(3)]
    async with listening(door.client, "/v1/events/stream", door.key, last=second.last_id) as third:
        await third.hears(3)
    assert [event["id"] for _, event in second.said + third.said] == [one, *two]


async def test_the_stream_goes_on_from_a_cursor_and_takes_only_the_types_asked_for(door: Door) -> None:
    cursor = (await door.client.get("/v1/events", headers=door.key)).json()["next_cursor"]
    made = [door.put(kind) for kind in (EventType.DETECTOR_COMPLETED, EventType.DETECTION_FAILED)]
    path, query = "/v1/events/stream", {"cursor": cursor, "type": "detection.*"}
    async with listening(door.client, path, door.key, **query) as reader:
        await reader.hears(1)
        made.append(door.put())
        await reader.hears(2)
    assert [event["id"] for _, event in reader.said] == made[1:]


async def test_many_events_come_at_once_and_in_order(door: Door) -> None:
    cursor = (await door.client.get("/v1/events", headers=door.key)).json()["next_cursor"]
    with door.here.database.writing() as session:
        draft = Draft(door.account_id, "live", EventType.DETECTION_COMPLETED, {})
        made = [recorded.id for recorded in Outbox().record(session, [draft] * 250, NOW)]
    async with listening(door.client, "/v1/events/stream", door.key, cursor=cursor) as reader:
        await reader.hears(250)
    assert [event["id"] for _, event in reader.said] == made


async def test_a_silent_stream_says_that_it_lives(door: Door) -> None:
    async with listening(door.client, "/v1/events/stream", door.key) as reader:
        await until(lambda: len(reader.comments) >= 2)
    assert reader.said == []


async def test_a_stream_ends_when_its_key_is_revoked(door: Door) -> None:
    async with listening(door.client, "/v1/events/stream", door.key) as reader:
        await until(lambda: reader.comments)
        with door.here.database.writing() as session:
            revoke(session, session.exec(select(ApiKey)).one().id, NOW)
        await asyncio.wait_for(reader.ended.wait(), 10)


@asynccontextmanager
async def unsure_of_keys(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Begins in a round that looks at the key, and ends a few such rounds later: no key can be looked up inside."""
    tries = 0

    def away(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise Overdue("no connection was free in time")

    with monkeypatch.context() as patched:
        patched.setattr(sse, "_AGAIN_SECONDS", 0.02)
        patched.setattr(sse, "authenticate", away)
        await until(lambda: tries >= 1)
        yield
        before = tries
        await until(lambda: tries >= before + 2)


async def test_events_outlive_a_fault_that_falls_between_the_reads_of_a_round(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(door.client, "/v1/events/stream", door.key) as reader:
        await until(lambda: reader.comments)
        async with unsure_of_keys(monkeypatch):
            made = [door.put(), door.put()]
            settle(door.here.database)
        made.append(door.put())
        await reader.hears(3)
    assert [event["id"] for _, event in reader.said] == made


async def test_the_end_of_a_detection_outlives_a_fault_between_the_reads_of_a_round(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    detection_id = door.submit()
    async with listening(door.client, f"/v1/detections/{detection_id}/stream", door.key) as reader:
        await reader.hears(2)
        async with unsure_of_keys(monkeypatch):
            await door.here.dispatch()
            door.here.clock.turn(45)
            await door.here.poll()
        await asyncio.wait_for(reader.ended.wait(), 10)
    story = (await door.client.get(f"/v1/detections/{detection_id}/timeline", headers=door.key)).json()
    assert reader.names[-1] == "end"
    assert {fact["kind"] for fact in story["data"]} <= set(reader.names)


async def test_streams_and_waits_end_when_the_process_does(door: Door) -> None:
    detection_id = door.submit()
    wait = asyncio.create_task(door.client.get(f"/v1/detections/{detection_id}?wait=25", headers=door.key))
    async with (
        listening(door.client, "/v1/events/stream", door.key) as events,
        listening(door.client, f"/v1/detections/{detection_id}/stream", door.key) as facts,
    ):
        await facts.hears(2)
        await until(lambda: len(door.here.database.wake._waiting) == 2)
        door.context.shutdown.begin()
        await asyncio.wait_for(asyncio.gather(events.ended.wait(), facts.ended.wait()), 5)
        answer = await asyncio.wait_for(wait, 5)
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert "end" not in facts.names  # the reader comes back, to another process


async def test_a_reader_that_goes_leaves_nothing_behind(door: Door) -> None:
    async with listening(door.client, "/v1/events/stream", door.key):
        await until(lambda: door.here.database.wake._waiting)
    await until(lambda: not door.here.database.wake._waiting)


@pytest.mark.parametrize("last", ["x", "evt_01m7xt5xe5e54tsvvaszt0pgte", "AAAA"])
async def test_an_unknown_place_to_go_on_from_is_refused(door: Door, last: str) -> None:
    detection_id = door.submit()
    for path in ("/v1/events/stream", f"/v1/detections/{detection_id}/stream"):
        answer = await door.client.get(path, headers=door.key | {"Last-Event-ID": last})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "Last-Event-ID")


async def test_another_accounts_detection_is_not_found(door: Door) -> None:
    foreign = door.here.submit("asc")
    for door_of in ("timeline", "stream"):
        answer = await door.client.get(f"/v1/detections/{foreign}/{door_of}", headers=door.key)
        assert answer.status_code == 404


async def test_a_head_is_answered_without_a_stream(door: Door) -> None:
    answer = await door.client.head("/v1/events/stream", headers=door.key)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
