"""`kill -9` at the four points where something could be lost or done twice. The detection ends, once, and arrives.

Nothing in the service knows of these tests: a vendor's twin, a forwarder and the customer's receiver, all outside,
strike at the moment they have the request, our acknowledgement, or our webhook in hand. One deployment lives through
all four, one after another: starting it costs more than what is looked at.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlmodel import col, select
from starlette.types import Scope

from service.events.models import Event
from service.kit.db.database import Database
from service.runs.state.models import Run
from service.sandbox.receiver import Received
from service.webhooks.models import Attempt, Delivery
from tests.journeys.at_once import on_both
from tests.journeys.customer import Customer, customer
from tests.journeys.outside import Forwarder, Inbox, Vendors, inbox, serving, vendors
from tests.journeys.processes import Deployment, Process, deployment
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


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
    lengths: Iterator[int] = field(default_factory=lambda: itertools.count(1))

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
        box.secrets.append(await who.register(box.url))
        database = Database(database_url)
        stack.callback(database.close)
        yield Scene(one, world, box, forwarder, sender, taker, database, who)


async def ask(scene: Scene, folder: Path) -> str:
    """The id of a detection of audio that was not asked about before."""
    return await scene.who.ask(await scene.who.upload(folder, seconds=next(scene.lengths)))


def submits(scope: Scope) -> bool:
    return scope["method"] == "POST" and "/ai-detection/" in scope["path"]


def is_webhook(scope: Scope) -> bool:
    return str(scope["method"]) == "POST"


async def check_the_end(scene: Scene, detection_id: str) -> dict[str, Run]:
    """The detection ended with both votes, one final event, one webhook as far as its receiver can tell."""
    result = await scene.who.ended(detection_id)
    assert (result["status"], result["verdict"], result["revision"]) == ("completed", "no_ai_detected", 1)
    assert result["votes"] == {"ai": 0, "no_ai": 2, "abstained": 0, "no_answer": 0}
    await scene.inbox.receiver.wait_for(lambda received: received.verified and is_about(received, detection_id), 60)
    await until(lambda: delivery_states(scene.database, detection_id) == ["succeeded"], seconds=60)
    with scene.database.reading() as session:
        about = select(Event).where(Event.detection_id == detection_id, col(Event.final_revision).is_not(None))
        (final,) = session.exec(about).all()
        (delivery,) = session.exec(select(Delivery).where(Delivery.event_id == final.id)).all()
        attempts = session.exec(select(Attempt).where(Attempt.delivery_id == delivery.id)).all()
        runs = {run.vendor: run for run in session.exec(select(Run).where(Run.detection_id == detection_id))}
    assert final.type == "detection.completed"
    told = [each for each in scene.inbox.receiver.received if each.verified and is_about(each, detection_id)]
    assert {(received.webhook_id, received.body) for received in told} == {(final.id, final.body)}
    assert sorted(attempt.n for attempt in attempts) == list(range(1, len(attempts) + 1))
    return runs


def is_about(received: Received, detection_id: str) -> bool:
    return bool(json.loads(received.body)["data"]["id"] == detection_id)


def delivery_states(database: Database, detection_id: str) -> list[str]:
    with database.reading() as session:
        events = select(Event.id).where(Event.detection_id == detection_id)
        return list(session.exec(select(Delivery.state).where(col(Delivery.event_id).in_(events))))


async def after_the_submission_left(now: Scene, folder: Path) -> None:
    """It was sent, and what was answered to it never came."""
    struck = now.vendors.watched.arm(submits, lambda: now.lightning(now.sender))
    detection_id = await ask(now, folder)
    await struck.wait()
    runs = await check_the_end(now, detection_id)
    # Whether it was taken could not be known. Either a callback named its audio in time, or it was repeated once,
    # and says so.
    assert (runs["aippim"].resubmitted, runs["aippim"].submit_tries) in ((False, 1), (True, 2))
    assert runs["asc"].submit_tries <= 2


async def after_the_callback_was_acknowledged(now: Scene, folder: Path) -> None:
    """The callback is not lost."""
    now.forwarder.strike = lambda: now.lightning(now.taker)
    detection_id = await ask(now, folder)
    await now.forwarder.struck.wait()
    runs = await check_the_end(now, detection_id)
    assert runs["aippim"].resubmitted is False


async def after_the_verdict_was_committed(now: Scene, folder: Path) -> None:
    """The webhook still arrives."""
    struck = now.inbox.watched.arm(is_webhook, lambda: now.lightning(now.sender))
    detection_id = await ask(now, folder)
    await struck.wait()
    runs = await check_the_end(now, detection_id)
    assert [run.submit_tries for run in runs.values()] == [1, 1]


async def after_the_customers_200(now: Scene, folder: Path) -> None:
    """The webhook is the same again."""
    struck = now.inbox.watched.arm(is_webhook, lambda: now.lightning(now.sender), answer_first=True)
    detection_id = await ask(now, folder)
    await struck.wait()
    await check_the_end(now, detection_id)


async def journey(database_url: str, folder: Path) -> None:
    async with scene(database_url, folder) as now:
        # The submission comes last: it may be repeated, and the vendor then calls back once more, when it likes.
        for moment in (
            after_the_callback_was_acknowledged,
            after_the_verdict_was_committed,
            after_the_customers_200,
            after_the_submission_left,
        ):
            try:
                await moment(now, folder)
            except BaseException as error:  # `pytest.fail` raises no `Exception`
                error.add_note(f"killed {moment.__name__.replace('_', ' ')}")
                raise


async def test_killed_at_each_of_four_moments_nothing_is_lost_or_done_twice(
    both: dict[str, str], tmp_path: Path
) -> None:
    await on_both(journey, both, tmp_path)
