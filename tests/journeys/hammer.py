"""A deployment under the hammer: clients, vendors and workers at once on a clock that leaps, until all has settled.

Everything goes through the API, the worker's table of loops and the rows; nothing here knows how a run is moved.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

import httpx

from service.api.routes import ROUTES
from service.app import context_from
from service.callbacks.addresses import address_token
from service.detectors.catalogue import Catalogue, ConfiguredVendor, Limits, VendorPolicy
from service.kit.db.database import Database
from service.resources import Resources, open_resources
from service.settings import load_settings
from service.worker import Worker
from tests.api.doors import app_of, bearer, client_of
from tests.detections.scripted import NOW
from tests.journeys.day_vendors import SimulatedTime
from tests.journeys.hammer_log import listening
from tests.journeys.hammer_loops import Turning
from tests.journeys.hammer_rows import Look, look
from tests.journeys.hammer_target import Target, target
from tests.journeys.hammer_vendors import Erratic, vendors
from tests.journeys.hammer_weather import FAIR, Weather

BASE = "http://relay.test"
DEADLINE_SECONDS = 300.0
FARTHEST_SECONDS = 200.0  # at once; a rule of `hammer_answers` leans on it
REPEATED_AFTER_SECONDS = 45.0
_PLAN = VendorPolicy(
    first_poll=30,
    poll=15,
    poll_max=60,
    deadline=DEADLINE_SECONDS,
    resubmit_after=REPEATED_AFTER_SECONDS,
    timeout=60,
    first_poll_is_set=True,
)
_PLANS = {
    "asc": replace(_PLAN, limits=Limits(concurrency=8)),
    "aippim": replace(_PLAN, trust="payload", limits=Limits(per_minute=600)),
    "pex": _PLAN,
}
_MOST_LEAPS = 600
_STUCK_SECONDS = 20.0
# The clock may leap over a deadline and the time that is given after it; vendors may fail five times running.
_EXPECTED = frozenset({"run.overdue", "vendor.circuit_opened"})


@dataclass
class Process:
    """One process of ours: a web half that a client speaks to, and a worker whose loops all turn."""

    resources: Resources
    worker: Worker
    client: httpx.AsyncClient


@dataclass
class Hammer:
    """A deployment, what stands around it, and what went wrong so far."""

    seed: int
    time: SimulatedTime
    vendors: Sequence[Erratic]
    target: Target
    weather: Weather = FAIR
    processes: list[Process] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lines: Sequence[Mapping[str, Any]] = ()
    done: Counter[str] = field(default_factory=Counter)
    unsettled: Look | None = None
    leaping: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def logged(self) -> Counter[str]:
        """How often each event stands in the log."""
        return Counter(str(line["event"]) for line in self.lines)

    @property
    def errors(self) -> list[str]:
        """What went wrong: answers, loops, and lines of the log that no operator should ever see."""
        bad = [f"logged: {line}"[:3000] for line in self.lines if _is_unexpected(line)]
        return [fault for fault in [*self.faults, *bad] if not self.weather.excuses(fault)]

    @property
    def database(self) -> Database:
        return self.processes[0].resources.database

    def random(self, name: str) -> Random:
        """Return chance of its own for this part, the same for the same seed."""
        return Random(f"{self.seed}:{name}")

    async def leap_in_step(self, seconds: float) -> None:
        """Leap when the loops have caught up, never so far at once that what they were about to do looks forgotten."""
        async with self.leaping:
            while seconds > 0:
                await self._caught_up()
                self.leap(min(seconds, FARTHEST_SECONDS))
                seconds -= FARTHEST_SECONDS

    async def _caught_up(self) -> None:
        """Wait until nothing is due that no loop has taken: on a busy machine the clock must not run away from them."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _STUCK_SECONDS
        while (await self.database.read(look, self.time())).due and loop.time() < until:  # noqa: ASYNC110 - asks a database
            await asyncio.sleep(0.01)

    def leap(self, seconds: float) -> None:
        self.time.turn_to(self.time() + timedelta(seconds=seconds))

    async def ask(self, client: httpx.AsyncClient, expected: Sequence[int], method: str, path: str, **more: Any) -> Any:
        """Return the answer. A status that is not expected is a fault."""
        response = await client.request(method, path, **more)
        self.done[f"{method} {_verb(path)} {response.status_code}"] += 1
        if response.status_code not in expected and not (response.status_code == 503 and self.weather.cuts):
            self.faults.append(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response.json() if response.content else None

    async def call(self, url: str, body: bytes) -> None:
        """A vendor calls back, at any of the processes."""
        client = self.processes[len(body) % len(self.processes)].client
        headers = {"content-type": "application/json"}
        # The address of a run dies some hours after its deadline.
        await self.ask(client, (200, 401), "POST", url.removeprefix(BASE), content=body, headers=headers)

    async def settle(self) -> None:
        """Let the clock leap from one due time to the next until nothing is left to be done, or nothing moves."""
        for vendor in self.vendors:
            vendor.calm = True
        loop = asyncio.get_running_loop()
        leaps, stands_since = 0, loop.time()
        while True:
            now = await self.database.read(look, self.time())
            if not now.open and not any(vendor.talking for vendor in self.vendors):
                return
            waited = loop.time() - stands_since
            # What is due is some loop's to take; what is leased is under way, or its holder waits for the clock.
            if waited < (_STUCK_SECONDS if now.due else 0.15 if now.leased else 0.02):
                await asyncio.sleep(0.01)
                continue
            if now.due or leaps >= _MOST_LEAPS:
                self.unsettled = now
                return
            leaps, stands_since = leaps + 1, loop.time()
            later = (now.next_at - self.time()).total_seconds() if now.next_at else 0
            self.leap(max(later, 10.0))

    async def all_of(self, work: Sequence[Awaitable[None]]) -> None:
        """Do the work while all loops turn, then let everything settle."""
        before = asyncio.all_tasks()
        turning = [
            Turning(one.worker, one.resources.database.wake, self.random(f"loops {number}"), self.faults)
            for number, one in enumerate(self.processes)
        ]
        loops = [asyncio.create_task(one.turn()) for one in turning]
        try:
            async with self.weather.over(self.database):
                await asyncio.gather(*work)
            await self.target.calm_down(self)
            await self.settle()
        finally:
            for one in turning:
                one.ended = True
            await asyncio.wait(loops, timeout=_STUCK_SECONDS)
            left = asyncio.all_tasks() - before
            if left:
                await asyncio.wait(left, timeout=_STUCK_SECONDS)


def _is_unexpected(line: Mapping[str, Any]) -> bool:
    """Return True if an operator should never see it. That a busy machine takes long to say what is due is no fault."""
    is_expected = line["event"] in _EXPECTED or line.get("loop") == "find due rows"
    return line["log_level"] in ("error", "critical") and not is_expected


def _verb(path: str) -> str:
    """Return the path without what differs each time."""
    parts = [part for part in path.split("/") if part.replace("-", "").isalnum() and len(part) < 20]
    return "/".join(parts)


@asynccontextmanager
async def hammer(database_url: str, seed: int, weather: Weather = FAIR) -> AsyncIterator[Hammer]:
    """Yield a deployment of two processes on PostgreSQL, of one on SQLite."""
    time = SimulatedTime(NOW)
    async with AsyncExitStack() as stack:
        here = Hammer(
            seed,
            time,
            vendors(time, Random(f"{seed}:vendors"), twins=weather.twins),
            await stack.enter_async_context(target(seed)),
            weather,
        )
        here.lines = stack.enter_context(listening(here.faults))
        for number in range(1 if database_url.startswith("sqlite") else 2):
            here.processes.append(await _process(stack, here, database_url, number))
        headers = bearer(here.database)
        for process in here.processes:
            process.client.headers.update(headers)
        first = here.processes[0].resources
        for vendor in here.vendors:
            token = await first.database.write(address_token, "live", vendor.vendor, first.sealer, time())
            vendor.account_url = first.links.account_callback("live", vendor.vendor, token)
            vendor.call = here.call
        yield here


async def _process(stack: AsyncExitStack, here: Hammer, database_url: str, number: int) -> Process:
    settings = load_settings(
        secret_keys=("k" * 40,),
        database_url=database_url,
        media_store="database:",
        public_url=BASE,
        outbound_allow=("127.0.0.0/8",),
        outbound_https_only=False,
        api_per_minute=1_000_000,
        webhook_retry_seconds=(0, 5, 30, 60, 60),
        webhook_throttled_floor_seconds=5,
        webhook_timeout_seconds=5,
        media_retention_hours=10_000,
    )
    skew = timedelta(seconds=number * here.weather.skew_seconds)
    opened = await stack.enter_async_context(open_resources(settings, lambda: here.time() + skew))
    lines = {("live", one.vendor): ConfiguredVendor(one, _PLANS[one.vendor]) for one in here.vendors}
    chance = here.random(f"policy {number}").random
    resources = replace(opened, policy=replace(opened.policy, catalogue=Catalogue(lines), random=chance))
    worker = Worker(resources)
    if number == 0:
        opened.local_deliverer, opened.callbacks_hand_off = (
            worker._loops.deliverer,
            worker._loops.callbacks,
        )  # as when started
    client = await stack.enter_async_context(client_of(app_of(ROUTES, context_from(resources))))
    return Process(resources, worker, client)
