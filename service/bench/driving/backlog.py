"""A backlog of webhooks that is there when the product starts, carried to the endpoints that take them."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import func, select
from sqlmodel import Session, col

from service.accounts.api_keys import account_named
from service.bench.driving.generator import BenchError
from service.bench.driving.processes import Deployment, Version, deployed, fresh_database
from service.bench.driving.vendor import Secrets
from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.kit.system_clock import system_clock
from service.webhooks.endpoints.registry import NewEndpoint, create_endpoint
from service.webhooks.fanout import fan_out
from service.webhooks.models import Delivery

BODY_BYTES = 2_700
_PATIENCE_SECONDS, _LOOK_SECONDS = 300.0, 0.05
_NOBODY = "http://127.0.0.1:9"  # no vendor is asked here


@dataclass(frozen=True, slots=True)
class Sent:
    """Webhooks a second, and CPU in microseconds each, by process."""

    rate: float
    cpu_us: Mapping[str, float]


async def carry_backlog(
    server: str | None,
    endpoints: Sequence[str],
    events: int,
    dead: Sequence[str] = (),
    changed: Mapping[str, str] | None = None,
) -> Sent:
    """Start the product on so many events for each endpoint, and return what it took to bring them.

    Those `dead` are endpoints too, but nothing is waited for there, and nothing counted. `changed` are settings.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-bench-")))
        database_url = stack.enter_context(fresh_database(server, folder))
        shared = Secrets(*(secrets.token_hex(16) for _ in range(3)))
        # One live, one dead, and so on: an event's deliveries are written in this order.
        mixed = [url for pair in zip(endpoints, dead, strict=True) for url in pair] if dead else endpoints
        prepare = partial(put_backlog, mixed, events)
        one = await stack.enter_async_context(
            deployed(Version("this version"), database_url, folder, _NOBODY, shared, prepare, changed)
        )
        database = stack.enter_context(closing(Database(database_url)))
        wanted = len(endpoints) * events
        # A process that starts costs more than hundreds of webhooks: the first tenth is not looked at.
        first = await _taken(one, database, wanted // 10)
        before, started = one.cpu_ms(), time.monotonic()
        count = await _taken(one, database, wanted) - first
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


def put_backlog(endpoints: Sequence[str], events: int, one: Deployment) -> None:
    """Write the endpoints and the events, with a delivery for each pair."""
    sealer, now = Sealer([one.environment["SECRET_KEYS"]]), system_clock()
    outbox = Outbox([fan_out(lambda: None)])
    with closing(Database(one.environment["DATABASE_URL"])) as database, database.writing() as session:
        account_id = account_named(session, "bench", now).id
        for url in endpoints:
            create_endpoint(session, NewEndpoint(account_id, "live", url, ["*"]), sealer, now)
        outbox.record(session, _drafts(account_id, events), now)


def _drafts(account_id: str, count: int) -> Sequence[Draft]:
    data = {"note": "x" * (BODY_BYTES - 100)}
    return [
        Draft(account_id, "live", EventType.DETECTION_COMPLETED, {"id": f"det_{n}", **data}, detection_id=f"det_{n}")
        for n in range(count)
    ]
