"""Two web and two worker processes on one PostgreSQL: nothing is done twice.

The crowd that it was first held to: `CROWD=200 pytest tests/journeys/test_many_processes.py`.
"""

import asyncio
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlmodel import Session, col, select

from service.events.models import Event
from service.kit.db.database import Database
from service.runs.state.models import Run
from service.webhooks.models import Attempt, Delivery
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import inbox, vendors
from tests.journeys.processes import Deployment, deployment, free_port
from tests.waiting import until

DETECTIONS = int(os.environ.get("CROWD", "60"))

pytestmark = pytest.mark.timeout(400)


async def test_two_web_and_two_workers_do_everything_once(postgres_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(vendors(latency_seconds=1))
        box = await stack.enter_async_context(inbox())
        # However busy the machine, nobody gives up and nothing is sent again: what is told twice was done twice.
        patient = {"TIMEOUT_SECONDS": "60", "FIRST_POLL_SECONDS": "100", "POLL_SECONDS": "5", "DEADLINE_SECONDS": "600"}
        patient |= {"CONCURRENCY": "1000", "PER_MINUTE": "100000"}  # the vendors' own limits would take minutes
        calm = {f"{vendor}_{name}": value for vendor in ("AIPPIM", "ASC") for name, value in patient.items()}
        one = stack.enter_context(
            deployment(postgres_url, tmp_path, **world.environment | calm, WEBHOOK_TIMEOUT_SECONDS="60")
        )
        urls = await started(one)
        world.callback_url.append(await one.callback_url())
        key = await one.key("live")
        customers = [Customer(await stack.enter_async_context(customer(url, key))) for url in urls]
        box.secrets.append(await customers[0].register(box.url))
        media_id = await customers[0].upload(tmp_path)
        asked = await asyncio.gather(
            *(customers[place % 2].ask(media_id, external_id=str(place), force=True) for place in range(DETECTIONS))
        )
        database = Database(postgres_url)
        stack.callback(database.close)
        # Free of charge, unlike the database, which those that are watched need for themselves.
        await until(lambda: len(box.receiver.received) >= DETECTIONS, seconds=150)
        await until(lambda: delivered(database) == DETECTIONS, seconds=120)
        with database.reading() as session:
            check_runs(session, world.watched.seen)
            check_deliveries(session, set(asked))
        assert len({received.webhook_id for received in box.receiver.received}) == DETECTIONS
        assert all(received.verified for received in box.receiver.received)
        assert box.receiver.duplicates == 0
        assert all(process.stop() in (0, -signal.SIGTERM) for process in one.processes)
        assert not [
            line for process in one.processes for line in process.log.splitlines() if '"level": "error"' in line
        ]


async def started(one: Deployment) -> list[str]:
    port = free_port()
    urls = [one.url, f"http://127.0.0.1:{port}"]
    for process in (
        one.process("web"),
        one.process("web", PORT=str(port)),
        one.process("worker"),
        one.process("worker"),
    ):
        process.start()
    for url in urls:
        await one.ready(url)
    return urls


def delivered(database: Database) -> int:
    with database.reading() as session:
        return len(session.exec(select(Delivery.id).where(Delivery.state == "succeeded")).all())


def check_runs(session: Session, asked_of_vendors: Counter[str]) -> None:
    runs = session.exec(select(Run)).all()
    assert Counter(run.state for run in runs) == {"succeeded": 2 * DETECTIONS}
    assert {run.submit_tries for run in runs} == {1}
    submitted = sum(count for path, count in asked_of_vendors.items() if "/ai-detection/" in path)
    assert submitted == DETECTIONS
    assert sum(count for path, count in asked_of_vendors.items() if "analyze-url" in path) == DETECTIONS


def check_deliveries(session: Session, asked: set[str]) -> None:
    final = session.exec(select(Event.detection_id).where(col(Event.final_revision).is_not(None))).all()
    assert Counter(final) == dict.fromkeys(asked, 1)
    attempts = session.exec(select(Attempt.delivery_id)).all()
    assert Counter(attempts) == dict.fromkeys(session.exec(select(Delivery.id)).all(), 1)
