"""The whole service in this process with its statements counted: web, worker, the sandbox and the customer's endpoint.

On PostgreSQL web and worker have connections and threads of their own, as two processes would.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
from starlette.types import ASGIApp

from service.accounts import api_keys
from service.accounts.api_keys import account_named
from service.app import create
from service.bench.counting.stages import ATTEMPT_RECORDED
from service.bench.counting.statements import Counts, counting
from service.bench.driving.connections import connector
from service.bench.driving.inbox import Inbox
from service.bench.driving.load import Customer
from service.bench.driving.outside import Serve
from service.kit.db.database import Database
from service.kit.system_clock import system_clock
from service.loops import Loop
from service.resources import Resources, open_resources
from service.settings import Settings, load_settings
from service.vendors import VENDORS
from service.worker import Worker

ACCOUNT = "bench"
OPEN_GATE = 1_000_000
LATENCY_SECONDS = 0.2
"""What the vendor's twin takes for a detection, above its own work: part of every whole time that is told."""
_NEVER_SECONDS = 86_400.0
_QUIET_SECONDS, _LOOK_SECONDS, _SETTLES_SECONDS = 0.3, 0.05, 20.0


class UnsweptWorker(Worker):
    """A worker whose loops run when they are woken and never by the clock: what is counted is a detection's own."""

    def loops(self) -> Sequence[Loop]:
        """Return the loops with sweeps that do not come."""
        return [loop if loop.every is None else replace(loop, every=_NEVER_SECONDS) for loop in super().loops()]

    async def _listen(self) -> float:
        await super()._listen()
        return _NEVER_SECONDS


@dataclass(frozen=True)
class Inside:
    """The running service, as its customer and as its counter see it."""

    customer: Customer
    counts: Counts

    async def settled(self, detections: int = 1) -> None:
        """Wait until so many attempts were recorded since the counts were cleared, and nothing is counted any more."""
        now = asyncio.get_running_loop().time
        before, quiet_since = self.counts.total, now()
        async with asyncio.timeout(_SETTLES_SECONDS):
            while self.counts.commits[ATTEMPT_RECORDED] < detections or now() - quiet_since < _QUIET_SECONDS:
                if self.counts.total != before:
                    before, quiet_since = self.counts.total, now()
                await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def running_inside(
    serve: Serve, database_url: str, folder: Path, latency_seconds: float = LATENCY_SECONDS
) -> AsyncIterator[Inside]:
    """Run the service on a migrated database; audio is in `folder` on SQLite. The twin takes so long for an answer."""
    counts, inbox = Counts(), Inbox()
    chosen: list[Settings] = []

    def web(url: str) -> ASGIApp:
        settings = settings_inside(database_url, folder, url)
        chosen.append(settings.model_copy(update={"sandbox_latency_seconds": latency_seconds}))
        return create(chosen[0], beside=_worker_beside if chosen[0].is_sqlite else _nothing_beside)

    @asynccontextmanager
    async def _worker_beside(resources: Resources) -> AsyncIterator[None]:
        with counting(resources.database.engine, counts):
            async with _working(resources):
                yield

    @asynccontextmanager
    async def _nothing_beside(resources: Resources) -> AsyncIterator[None]:
        with counting(resources.database.engine, counts):
            yield

    async with AsyncExitStack() as stack:
        inbox_url = await stack.enter_async_context(serve(lambda _: inbox.app))
        url = await stack.enter_async_context(serve(web))
        if not chosen[0].is_sqlite:
            resources = await stack.enter_async_context(open_resources(chosen[0]))
            await stack.enter_async_context(_worker_beside(resources))
        key = await asyncio.to_thread(_api_key, chosen[0])
        headers = {"Authorization": f"Bearer {key}"}
        session = await stack.enter_async_context(aiohttp.ClientSession(url, headers=headers, connector=connector()))
        customer = Customer(session, inbox)
        await customer.register(inbox_url)
        yield Inside(customer, counts)


def settings_inside(database_url: str, folder: Path, url: str) -> Settings:
    """Return the settings of a service that is measured: callbacks are trusted, gates stand open."""
    gates: dict[str, Any] = {"callback_trust": "payload"}
    vendors = {name: vendor.settings(**gates) for name, vendor in VENDORS.items()}
    opened = {"per_minute": OPEN_GATE, "concurrency": None, "daily_quota": None}
    return load_settings(
        secrets_needed=False,
        database_url=database_url,
        media_store=f"file:{folder / 'media'}" if database_url.startswith("sqlite") else "database:",
        sandbox_url=url,
        public_url=url,
        secret_keys=(secrets.token_hex(32),),
        api_per_minute=OPEN_GATE,
        outbound_allow="127.0.0.0/8,::1/128",
        outbound_https_only=False,
        vendors={name: vendor.model_copy(update=opened) for name, vendor in vendors.items()},
    )


@asynccontextmanager
async def _working(resources: Resources) -> AsyncIterator[None]:
    worker = UnsweptWorker(resources)
    await worker.start()
    try:
        yield
    finally:
        await worker.stop()


def _api_key(settings: Settings) -> str:
    database, now = Database(settings.database_url, patience=settings.patience), system_clock()
    try:
        with database.writing() as session:
            return api_keys.create(session, account_named(session, ACCOUNT, now).id, "test", now).text
    finally:
        database.close()
