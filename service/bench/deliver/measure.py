"""Webhooks out of a backlog, beside the limit: the bare client with the same bytes at the same receiver."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
from sqlalchemy import func, select
from sqlmodel import Session, col

from service.accounts.register import account_named
from service.bench.driving.bare import running_bare
from service.bench.driving.generator import BenchError, from_clients
from service.bench.driving.processes import Deployment, Version, deployed, fresh_database
from service.bench.driving.vendor import Secrets
from service.events.draft import Draft
from service.events.outbox import Outbox
from service.events.types import EventType
from service.kit.database import Database
from service.kit.sealing import Sealer
from service.kit.system_clock import system_clock
from service.webhooks.endpoints import NewEndpoint, create_endpoint
from service.webhooks.fanout import fan_out
from service.webhooks.models import Delivery

AT_ONCE = 200
ENDPOINTS = 40
BODY_BYTES = 2_700
_PATIENCE_SECONDS, _LOOK_SECONDS = 300.0, 0.05
_HEADERS_BYTES = 200  # what a signature and its companions take
_NOBODY = "http://127.0.0.1:9"  # no vendor is asked here


@dataclass(frozen=True, slots=True)
class Size:
    """How many events go to each of the endpoints, and how many rounds there are."""

    events: int
    rounds: int

    @property
    def deliveries(self) -> int:
        """Deliveries of a round."""
        return self.events * ENDPOINTS


FULL = Size(events=200, rounds=3)
QUICK = Size(events=30, rounds=1)


@dataclass(frozen=True, slots=True)
class Sent:
    """Webhooks a second, and CPU in microseconds each, by process."""

    rate: float
    cpu_us: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Round:
    """The product and the bare client, one right after the other."""

    product: Sent
    bare: Sent


async def measure_deliver(server: str | None, size: Size) -> list[Round]:
    """Carry a backlog that is there when the worker starts; then post as many with nothing but the client."""
    async with running_bare() as (receiver, _):
        return [
            Round(await _product(server, size, receiver), await post_bare(receiver, size.deliveries))
            for _ in range(size.rounds)
        ]


async def post_bare(receiver: str, count: int) -> Sent:
    """Post so many bodies with the bare client, 200 at once."""
    body = b"x" * BODY_BYTES
    headers = {"content-type": "application/json", "webhook-signature": "x" * _HEADERS_BYTES}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(number: int) -> None:
            async with session.post(f"{receiver}{number % ENDPOINTS}", data=body, headers=headers) as answer:
                await answer.read()

        used = time.process_time()
        took, spent = await from_clients(AT_ONCE, count, post), time.process_time() - used
    return Sent(count / took, {"client": spent * 1e6 / count})


async def _product(server: str | None, size: Size, receiver: str) -> Sent:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        database_url = stack.enter_context(fresh_database(server, folder))
        shared = Secrets(*(secrets.token_hex(16) for _ in range(3)))
        one = await stack.enter_async_context(
            deployed(
                Version("this version"), database_url, folder, _NOBODY, shared, partial(put_backlog, size, receiver)
            )
        )
        database = stack.enter_context(closing(Database(database_url)))
        # A process that starts costs more than hundreds of webhooks: the first tenth is not looked at.
        first = await _taken(one, database, size.deliveries // 10)
        before, started = one.cpu_ms(), time.monotonic()
        count = await _taken(one, database, size.deliveries) - first
        took, after = time.monotonic() - started, one.cpu_ms()
        return Sent(count / took, {name: (after[name] - before[name]) * 1000 / count for name in after})


async def _taken(one: Deployment, database: Database, wanted: int) -> int:
    """Return how many deliveries have succeeded, once `wanted` have."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while (done := await database.read(_succeeded)) < wanted:
        one.must_run()
        if time.monotonic() > end:
            raise BenchError(f"{done} of {wanted} webhooks were taken within {_PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)
    return done


def _succeeded(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(Delivery).where(col(Delivery.state) == "succeeded")) or 0


def put_backlog(size: Size, receiver: str, one: Deployment) -> None:
    """Write the endpoints and the events, with a delivery for each pair."""
    sealer, now = Sealer([one.environment["SECRET_KEYS"]]), system_clock()
    outbox = Outbox([fan_out(lambda: None)])
    with closing(Database(one.environment["DATABASE_URL"])) as database, database.writing() as session:
        account_id = account_named(session, "bench", now).id
        for number in range(ENDPOINTS):
            create_endpoint(session, NewEndpoint(account_id, "live", f"{receiver}{number}", ["*"]), sealer, now)
        outbox.record(session, _drafts(account_id, size.events), now)


def _drafts(account_id: str, count: int) -> Sequence[Draft]:
    data = {"note": "x" * (BODY_BYTES - 100)}
    return [
        Draft(account_id, "live", EventType.DETECTION_COMPLETED, {"id": f"det_{n}", **data}, detection_id=f"det_{n}")
        for n in range(count)
    ]
