"""SIGTERM while a receiver and a vendor hang: the process ends in time, and another goes on at once.

An attempt that is cut is handed back as if it had not begun; a submission that is cut is of unknown outcome.
"""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select
from starlette.types import Scope

from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.runs.state.models import Run
from service.webhooks.models import Attempt, Delivery
from tests.journeys.at_once import on_both
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import Watched, inbox, vendors
from tests.journeys.processes import Process, deployment
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)

PATIENT = {"TIMEOUT_SECONDS": "60", "DEADLINE_SECONDS": "120", "RESUBMIT_AFTER_SECONDS": "1"}
SLOW = {f"{vendor}_{name}": value for vendor in ("AIPPIM", "ASC") for name, value in PATIENT.items()}
WEBHOOKS = {"WEBHOOK_TIMEOUT_SECONDS": "60", "WEBHOOK_RETRY_SECONDS": "0,1,1"}


def hang(watched: Watched, where: Any) -> asyncio.Event:
    """The next request that `where` takes is not answered until the event is set."""
    released = asyncio.Event()
    watched.at = where
    watched.strike = lambda: _wait(released)
    return released


async def _wait(released: asyncio.Event) -> None:
    await released.wait()


def submits(scope: Scope) -> bool:
    return b"action=analyze-url" in scope.get("query_string", b"")


def is_post(scope: Scope) -> bool:
    return str(scope["method"]) == "POST"


def rows(database: Database) -> tuple[list[Delivery], list[Run], list[Attempt]]:
    with database.reading() as session:
        deliveries = session.exec(select(Delivery).order_by(col(Delivery.event_position))).all()
        runs = session.exec(select(Run).order_by(col(Run.created_at))).all()
        return list(deliveries), list(runs), list(session.exec(select(Attempt)).all())


ENDED_SECONDS = 35
"""Twenty to drain, and what a busy machine adds; who waits for what hangs takes a minute."""


async def stopped(process: Process) -> float:
    """How many seconds it took to end, with status 0."""
    started = time.monotonic()
    assert await asyncio.to_thread(process.stop) == 0
    return time.monotonic() - started


async def cut_short(database_url: str, folder: Path) -> None:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(vendors())
        box = await stack.enter_async_context(inbox())
        one = stack.enter_context(deployment(database_url, folder, **world.environment | SLOW | WEBHOOKS))
        alone = database_url.startswith("sqlite")
        web = one.process("web", "--with-worker") if alone else one.process("web")
        worker = web if alone else one.process("worker")
        for process in {id(web): web, id(worker): worker}.values():
            process.start()
        await one.ready()
        database = Database(database_url)
        stack.callback(database.close)
        who = Customer(await stack.enter_async_context(customer(one.url, await one.key("live"))))
        box.secrets.append(await who.register(box.url))
        media_id = await who.upload(folder)

        receiver = hang(box.watched, is_post)
        await who.ask(media_id, detectors=["asc"])
        await box.watched.struck.wait()
        vendor = hang(world.watched, submits)
        second = await who.ask(await who.upload(folder, seconds=2), detectors=["asc"])
        await world.watched.struck.wait()

        assert await stopped(worker) < ENDED_SECONDS
        (delivery,), (_, run), attempts = rows(database)
        assert (delivery.state, delivery.attempts, delivery.lease_token, attempts) == ("due", 0, None, [])
        assert delivery.due_at is not None
        assert delivery.due_at <= system_clock()
        assert (run.state, run.waiting_for, run.lease_token) == ("unknown", "unknown_outcome", None)
        lines = [json.loads(line) for line in worker.log.splitlines() if line.startswith("{")]
        said = {line["event"]: line for line in lines}
        assert said["delivery.handed_back"]["delivery_id"] == delivery.id
        assert said["run.dispatched"]["outcome"] == "cut_while_submitting"
        assert not [line for line in lines if line["level"] == "error"]

        receiver.set()
        vendor.set()
        other = web if alone else one.process("worker")
        other.start()
        await one.ready()
        await until(lambda: rows(database)[0][0].state == "succeeded", seconds=60)
        result = await who.ended(second)
        assert result["status"] == "completed"
        deliveries, (_, run), attempts = rows(database)
        # Repeated once, and says so; unless the callback of the first came before that was due.
        assert (run.submit_tries, run.resubmitted) in ((2, True), (1, False))
        assert sorted((attempt.delivery_id, attempt.n) for attempt in attempts if attempt.n > 1) == []
        await until(lambda: {each.state for each in rows(database)[0]} == {"succeeded"}, seconds=60)
        assert len(deliveries) <= 2
        if not alone:
            assert await stopped(other) < ENDED_SECONDS
        assert await stopped(web) < ENDED_SECONDS


async def test_what_cannot_finish_in_time_is_handed_over(both: dict[str, str], tmp_path: Path) -> None:
    await on_both(cut_short, both, tmp_path)
