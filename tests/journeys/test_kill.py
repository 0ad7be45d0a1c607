"""`kill -9` at the four points where something could be lost or done twice. The detection ends, once, and arrives.

Nothing in the service knows of these tests: a vendor's twin, a forwarder and the customer's receiver, all outside,
strike at the moment they have the request, our acknowledgement, or our webhook in hand.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlmodel import col, select
from starlette.types import Scope

from service.events.models import Event
from service.kit.database import Database
from service.runs.models import Run
from service.webhooks.models import Attempt, Delivery
from tests.journeys.at_once import on_both
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import Forwarder, Inbox, Vendors, inbox, serving, vendors
from tests.journeys.processes import Deployment, Process, deployment
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)


QUICK = {
    "WEBHOOK_TIMEOUT_SECONDS": "1",
    "WEBHOOK_RETRY_SECONDS": "0,1,1,1,1,1",
    "WEBHOOK_THROTTLED_FLOOR_SECONDS": "0",
}


@dataclass
class Scene:
    """A live deployment between vendors and a customer. `sender` submits and delivers, `taker` takes callbacks."""

    deployment: Deployment
    vendors: Vendors
    inbox: Inbox
    forwarder: Forwarder
    sender: Process
    taker: Process
    database: Database
    who: Customer

    async def lightning(self, victim: Process) -> None:
        """The victim is gone, and comes back."""
        await asyncio.to_thread(victim.kill)
        victim.start()
        await self.deployment.ready()


@asynccontextmanager
async def scene(database_url: str, folder: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(vendors())
        box = await stack.enter_async_context(inbox())
        one = stack.enter_context(deployment(database_url, folder, **world.environment, **QUICK))
        if database_url.startswith("sqlite"):
            sender = taker = one.process("web", "--with-worker")
        else:
            taker, sender = one.process("web"), one.process("worker")
            sender.start()
        taker.start()
        address, key, _ = await asyncio.gather(one.callback_url(), one.key("live"), one.ready())
        forwarder = Forwarder()
        world.callback_url.append(await stack.enter_async_context(serving(forwarder.app(lambda: address))))
        who = Customer(await stack.enter_async_context(customer(one.url, key)))
        database = Database(database_url)
        stack.callback(database.close)
        yield Scene(one, world, box, forwarder, sender, taker, database, who)


async def ask(scene: Scene, folder: Path) -> str:
    scene.inbox.secrets.append(await scene.who.register(scene.inbox.url))
    return await scene.who.ask(await scene.who.upload(folder))


def submits(scope: Scope) -> bool:
    return scope["method"] == "POST" and "/ai-detection/" in scope["path"]


def is_webhook(scope: Scope) -> bool:
    return str(scope["method"]) == "POST"


async def check_the_end(scene: Scene, detection_id: str) -> dict[str, Run]:
    """The detection ended with both votes, one final event, one webhook as far as its receiver can tell."""
    result = await scene.who.ended(detection_id)
    assert (result["status"], result["verdict"], result["revision"]) == ("completed", "no_ai_detected", 1)
    assert result["votes"] == {"ai": 0, "no_ai": 2, "abstained": 0, "no_answer": 0}
    first = await scene.inbox.receiver.wait_for(lambda received: received.verified, 30)

    await until(lambda: is_settled(scene.database), seconds=30)
    with scene.database.reading() as session:
        final = session.exec(select(Event).where(col(Event.final_revision).is_not(None))).all()
        (delivery,) = session.exec(select(Delivery)).all()
        attempts = session.exec(select(Attempt).where(Attempt.delivery_id == delivery.id)).all()
        runs = {run.vendor: run for run in session.exec(select(Run))}
    assert [event.type for event in final] == ["detection.completed"]
    assert {received.webhook_id for received in scene.inbox.receiver.received if received.verified} == {final[0].id}
    assert first.body == final[0].body
    assert sorted(attempt.n for attempt in attempts) == list(range(1, len(attempts) + 1))
    return runs


def is_settled(database: Database) -> bool:
    with database.reading() as session:
        return [delivery.state for delivery in session.exec(select(Delivery))] == ["succeeded"]


async def after_the_submission_left(database_url: str, folder: Path) -> None:
    async with scene(database_url, folder) as now:
        now.vendors.watched.at = submits
        now.vendors.watched.strike = lambda: now.lightning(now.sender)
        detection_id = await ask(now, folder)
        await now.vendors.watched.struck.wait()
        runs = await check_the_end(now, detection_id)
        # Whether it was taken could not be known. Either a callback named its audio in time, or it was repeated once,
        # and says so.
        assert (runs["aippim"].resubmitted, runs["aippim"].submit_tries) in ((False, 1), (True, 2))
        assert runs["asc"].submit_tries <= 2


async def after_the_callback_was_acknowledged(database_url: str, folder: Path) -> None:
    async with scene(database_url, folder) as now:
        now.forwarder.strike = lambda: now.lightning(now.taker)
        detection_id = await ask(now, folder)
        await now.forwarder.struck.wait()
        runs = await check_the_end(now, detection_id)
        assert runs["aippim"].resubmitted is False


async def after_the_verdict_was_committed(database_url: str, folder: Path) -> None:
    async with scene(database_url, folder) as now:
        now.inbox.watched.at = is_webhook
        now.inbox.watched.strike = lambda: now.lightning(now.sender)
        detection_id = await ask(now, folder)
        await now.inbox.watched.struck.wait()
        runs = await check_the_end(now, detection_id)
        assert [run.submit_tries for run in runs.values()] == [1, 1]


async def after_the_customers_200(database_url: str, folder: Path) -> None:
    async with scene(database_url, folder) as now:
        now.inbox.watched.at = is_webhook
        now.inbox.watched.answer_first = True
        now.inbox.watched.strike = lambda: now.lightning(now.sender)
        detection_id = await ask(now, folder)
        await now.inbox.watched.struck.wait()
        await check_the_end(now, detection_id)


async def test_killed_after_the_submission_left_the_detection_ends_once(both: dict[str, str], tmp_path: Path) -> None:
    await on_both(after_the_submission_left, both, tmp_path)


async def test_killed_after_the_callback_was_acknowledged_the_callback_is_not_lost(
    both: dict[str, str], tmp_path: Path
) -> None:
    await on_both(after_the_callback_was_acknowledged, both, tmp_path)


async def test_killed_after_the_verdict_was_committed_the_webhook_still_arrives(
    both: dict[str, str], tmp_path: Path
) -> None:
    await on_both(after_the_verdict_was_committed, both, tmp_path)


async def test_killed_after_the_customers_200_the_webhook_is_the_same_again(
    both: dict[str, str], tmp_path: Path
) -> None:
    await on_both(after_the_customers_200, both, tmp_path)
