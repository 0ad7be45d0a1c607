"""What may still happen to an answer: a vendor speaks too late, the customer asks again, the customer erases it.

One deployment takes all of it. AIPPIM stands still until it is let go; ASC answers at once.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlmodel import select
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.kit.db.database import Database
from service.runs.state.models import Run
from service.sandbox.track import write_track
from tests.journeys.at_once import on_both
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import HeldClock, Inbox, inbox, serving, vendors
from tests.journeys.processes import Deployment, deployment
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)

CANARY = "canary-7f3a9c"  # in all that the customer sends, and in what one endpoint answers
VENDORS_WORDS = "Natural micro-timing variation"  # of ASC's answer
CALLBACKS_WORDS = "analysis.complete"  # of ASC's callback
CALM = {f"{vendor}_TIMEOUT_SECONDS": "10" for vendor in ("AIPPIM", "ASC")}
SHORT = {"AIPPIM_DEADLINE_SECONDS": "3", "AIPPIM_FIRST_POLL_SECONDS": "60"}
WITH_WORDS = {"result", "first answer", "second answer", "list", "events", "event", "deliveries", "delivery"}
LOOKS_APART = timedelta(seconds=10)
KEPT = ("id", "revision", "status", "verdict", "votes", "outcome_reason", "created_at", "completed_at")


@dataclass
class Overheard:
    """An application, and the links to audio that its callers gave it."""

    app: ASGIApp
    links: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> Message:
            message = await receive()
            if b"/media/" in message.get("body", b""):
                self.links.append(json.loads(message["body"])["url"])
            return message

        await self.app(scope, listen, send)


@dataclass
class Scene:
    """A live deployment between vendors and a customer, who has two endpoints."""

    one: Deployment
    who: Customer
    box: Inbox
    aippim_clock: HeldClock
    asc: Overheard
    source_url: str

    async def told(self, detection_id: str, *types: str) -> None:
        """By now the customer has been told this of the detection, in this order, and nothing else."""
        await until(lambda: len(self._heard(detection_id)) >= len(types), seconds=20)
        assert self._heard(detection_id) == [(kind, place) for place, kind in enumerate(types, start=1)]

    def _heard(self, detection_id: str) -> list[tuple[str, int]]:
        events = [json.loads(each.body) for each in self.box.receiver.received if each.verified]
        return [(event["type"], event["data"]["revision"]) for event in events if event["data"]["id"] == detection_id]

    async def text(self, path: str, **parameters: Any) -> str:
        """What stands there."""
        response = await self.who.client.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.text


@asynccontextmanager
async def scene(database_url: str, folder: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        quick, clock = await stack.enter_async_context(vendors()), HeldClock()
        slow = await stack.enter_async_context(vendors(clock=clock))
        asc = quick.watched.app = Overheard(quick.watched.app)
        aippim = {name: value for name, value in slow.environment.items() if name.startswith("AIPPIM_")}
        box = await stack.enter_async_context(inbox())
        chatty = await stack.enter_async_context(serving(PlainTextResponse(f"thank you for {CANARY}")))
        audio = Response(marked(folder, seconds=2), media_type="audio/wav")
        elsewhere = await stack.enter_async_context(serving(audio))
        one = stack.enter_context(deployment(database_url, folder, **quick.environment | aippim | CALM | SHORT))
        one.start()
        address, key, _ = await asyncio.gather(one.callback_url(), one.key("live"), one.ready())
        slow.callback_url.append(address)
        who = Customer(await stack.enter_async_context(customer(one.url, key)))
        box.secrets.append(await who.register(box.url))
        await who.register(chatty)
        yield Scene(one, who, box, clock, asc, f"{elsewhere}/{CANARY}/{CANARY}.wav")


def marked(folder: Path, seconds: float) -> bytes:
    """Audio with the canary at its end."""
    path = folder / "track.wav"
    write_track(path, seconds)
    return path.read_bytes()[: -len(CANARY)] + CANARY.encode()


async def ask(now: Scene, source: Mapping[str, str], **more: Any) -> str:
    """The id of a detection with the canary in every field that is the customer's."""
    body = {"source": source, "external_id": CANARY, "metadata": {"note": CANARY}, **more}
    once = {"Idempotency-Key": secrets.token_hex(8)}  # so that the first answer is kept as well
    asked = await now.who.post("/v1/detections", json=body, headers=once)
    return str(asked["id"])


def ends(result: Mapping[str, Any]) -> dict[str, tuple[str, str | None]]:
    """How each vendor's run ended, and by which way."""
    return {each["vendor"]: (each["status"], each["obtained"]["via"]) for each in result["detectors"]}


def outcome(result: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(result[name] for name in ("revision", "supersedes", "status", "verdict", "votes"))


def votes(no_ai: int, no_answer: int = 0) -> dict[str, int]:
    return {"ai": 0, "no_ai": no_ai, "abstained": 0, "no_answer": no_answer}


async def answered_late(now: Scene, database_url: str, folder: Path) -> str:
    """AIPPIM's callback came after its run's deadline: a second answer replaced the first, which stands as it was."""
    files = {"file": (f"{CANARY}.wav", marked(folder, seconds=1))}
    media = await now.who.post("/v1/media", files=files)
    detection_id = await ask(now, {"media_id": media["id"]})
    first = await now.who.ended(detection_id)
    assert outcome(first) == (1, None, "completed_partial", "no_ai_detected", votes(1, no_answer=1))
    assert ends(first) == {"aippim": ("timed_out", None), "asc": ("succeeded", "callback")}
    await now.told(detection_id, "detection.completed")
    await asyncio.to_thread(let_time_pass, database_url, detection_id)
    now.aippim_clock.release()
    await now.told(detection_id, "detection.completed", "detection.revised")
    second = await now.who.result(detection_id)
    assert outcome(second) == (2, 1, "completed", "no_ai_detected", votes(2))
    assert ends(second) == {"aippim": ("succeeded", "callback"), "asc": ("succeeded", "callback")}
    assert json.loads(await now.text(f"/v1/detections/{detection_id}", revision=1)) == first
    return detection_id


def let_time_pass(database_url: str, detection_id: str) -> None:
    """The look at AIPPIM's run that its deadline brought is old enough for the next one."""
    database = Database(database_url)
    with database.writing() as session:
        run = session.exec(select(Run).where(Run.detection_id == detection_id, Run.vendor == "aippim")).one()
        assert run.polled_at is not None
        run.polled_at -= LOOKS_APART
        session.add(run)
    database.close()


async def asked_again(now: Scene) -> str:
    """A re-check of an answer made the next one; the first can still be read."""
    detection_id = await ask(now, {"url": now.source_url}, detectors=["asc"])
    path = f"/v1/detections/{detection_id}"
    first = await now.who.ended(detection_id)
    assert outcome(first) == (1, None, "completed", "no_ai_detected", votes(1))
    begun = await now.who.post(f"{path}/recheck")
    assert (begun["revision"], begun["status"], begun["verdict"]) == (2, "running", None)
    second = await now.who.ended(detection_id)
    assert outcome(second) == (2, 1, "completed", "no_ai_detected", votes(1))
    runs = [each["run_id"] for result in (first, second) for each in result["detectors"]]
    assert len(set(runs)) == 2
    assert json.loads(await now.text(path, revision=1)) == first
    await now.told(detection_id, "detection.completed", "detection.revised")
    return detection_id


async def doors(now: Scene, detection_id: str) -> dict[str, str]:
    """What each door says of the detection."""
    path = f"/v1/detections/{detection_id}"
    feed, deliveries = await now.text("/v1/events", limit=100), await now.text("/v1/deliveries", limit=100)
    events = [event_id for event_id, _ in told_in_feed({"events": feed}, detection_id)]
    of_it = [each["id"] for each in json.loads(deliveries)["data"] if each["detection_id"] == detection_id]
    return {
        "result": await now.text(path),
        "summary": await now.text(path, detail="summary"),
        "first answer": await now.text(path, revision=1),
        "second answer": await now.text(path, revision=2),
        "timeline": await now.text(f"{path}/timeline"),
        "stream": await now.text(f"{path}/stream"),
        "list": await now.text("/v1/detections", limit=100),
        "events": feed,
        "event": "".join([await now.text(f"/v1/events/{each}") for each in events]),
        "deliveries": deliveries,
        "delivery": "".join([await now.text(f"/v1/deliveries/{each}") for each in of_it]),
    }


async def erased(now: Scene, detection_id: str) -> None:
    """No door says a word of the customer's or a vendor's any more; that it was, and how it ended, stays."""
    path = f"/v1/detections/{detection_id}"
    before, result = await doors(now, detection_id), await now.who.result(detection_id)
    assert {name for name, text in before.items() if CANARY in text} >= WITH_WORDS
    assert VENDORS_WORDS in before["result"]
    for gone in (path, f"/v1/media/{result['track']['media_id']}"):
        answers = [await now.who.client.delete(gone) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [204, 204]
    after, left = await doors(now, detection_id), await now.who.result(detection_id)
    assert told_in_feed(before, detection_id) == told_in_feed(after, detection_id)
    types = [kind for _, kind in told_in_feed(after, detection_id) if kind != "detector.completed"]
    assert types == ["detection.completed", "detection.revised"]
    # The others may be of a detection that is not erased yet.
    own = {name: text for name, text in after.items() if name not in ("list", "events", "deliveries")}
    assert [name for name, text in own.items() if CANARY in text or VENDORS_WORDS in text] == []
    assert [left[name] for name in KEPT] == [result[name] for name in KEPT]
    assert left["erased_at"] is not None
    assert ends(left) == ends(result)
    assert [run["run_id"] for run in left["detectors"]] == [run["run_id"] for run in result["detectors"]]
    again = await now.who.client.post(f"{path}/recheck")
    assert (again.status_code, again.json()["code"]) == (409, "erased")


def told_in_feed(said: Mapping[str, str], detection_id: str) -> list[tuple[str, str]]:
    """The detection's events in the feed, those of its runs too: ids and types."""
    feed = [(event["id"], event["type"], event["data"]) for event in json.loads(said["events"])["data"]]
    return [
        (event_id, kind) for event_id, kind, data in feed if detection_id in (data.get("id"), data.get("detection_id"))
    ]


async def nothing_is_left(now: Scene, database_url: str, folder: Path) -> None:
    """Every list is clean, the links to audio are dead, and neither the database nor the folder has the canary."""
    lists = [await now.text(path, limit=100) for path in ("/v1/detections", "/v1/events", "/v1/deliveries")]
    assert [text for text in lists if CANARY in text] == []
    assert json.loads(await now.text("/v1/detections", external_id=CANARY))["data"] == []
    assert len(now.asc.links) == 3
    assert [(await now.who.client.get(link)).status_code for link in now.asc.links] == [404, 404, 404]
    for process in now.one.processes:
        assert await asyncio.to_thread(process.stop) in (0, -15)
    assert words_in(stored(database_url, folder)) == []
    assert len(now.box.receiver.received) == 4  # each answer of each detection was told once, to the last moment
    assert (now.box.receiver.duplicates, now.box.receiver.refused) == (0, [])
    errors = [line for each in now.one.processes for line in each.log.splitlines() if '"level": "error"' in line]
    assert errors == []


def stored(database_url: str, folder: Path) -> bytes:
    """All that is kept: the rows of PostgreSQL; SQLite's own files, unused pages too, and those of the audio."""
    if database_url.startswith("sqlite"):
        database = Path(database_url.removeprefix("sqlite:///"))
        audio = [path for path in (folder / "media").rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in [*database.parent.glob(f"{database.name}*"), *audio])
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        rows = []
        for (table,) in tables:
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
                rows += [bytes(piece) for piece in copy]
    return b"".join(rows)


def words_in(kept: bytes) -> list[str]:
    """Which of the words are there, as text or as PostgreSQL writes bytes."""
    words = (CANARY, VENDORS_WORDS, CALLBACKS_WORDS)
    return [word for word in words if word.encode() in kept or word.encode().hex().encode() in kept]


async def journey(database_url: str, folder: Path) -> None:
    async with scene(database_url, folder) as now:
        late, again = await asyncio.gather(answered_late(now, database_url, folder), asked_again(now))
        assert words_in(stored(database_url, folder)) == [CANARY, VENDORS_WORDS, CALLBACKS_WORDS]
        await erased(now, late)
        await erased(now, again)
        await nothing_is_left(now, database_url, folder)


async def test_a_late_answer_and_a_recheck_revise_and_erasing_leaves_nothing(
    both: dict[str, str], tmp_path: Path
) -> None:
    await on_both(journey, both, tmp_path)
