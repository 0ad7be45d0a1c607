"""The working half of a process: a table of loops, each woken by its topic and swept by the clock.

This table is the contents page of the service. APScheduler only says "look now"; what is due, and when, stands in
the database.
"""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.exc import SQLAlchemyError

from service.callbacks.intake import TOPIC as CALLBACKS
from service.callbacks.process import CallbackProcessor
from service.detections.certify import TOPIC as CERTIFICATES
from service.detections.delay import tell_delay, untold_delays
from service.detections.dispatch import Dispatcher
from service.detections.expire import expire_overdue, overdue_runs
from service.detections.fetch_source import SourceFetcher
from service.kit.alone import Alone
from service.kit.database import normalise_url
from service.kit.failing import Failing
from service.kit.heartbeat import beat
from service.kit.ids import new_id
from service.kit.listen import DEAF_SWEEP_SECONDS, be_deaf, can_hear, listen
from service.kit.metrics import Count, counted, process_name
from service.kit.skew import MOST_SECONDS, clock_skew
from service.kit.wake import HEARD_SWEEP_SECONDS
from service.media.leftovers import Leftovers
from service.polling.ask_quotas import QuotaAsker
from service.polling.check_certificates import CertificateChecker
from service.polling.poll import Poller
from service.resources import Resources, open_resources
from service.retention.prune import Pruner, Retention
from service.runs.policy import TOPIC_POLLS, TOPIC_RUNS, TOPIC_SOURCES
from service.settings import Settings
from service.webhooks.deliver import Deliverer, DeliveryPolicy
from service.webhooks.fanout import TOPIC as DELIVERIES
from service.webhooks.hold import hold_deliveries, standing_endpoints
from service.webhooks.redeliver import endpoints_to_release, release_held
from service.webhooks.retry import RetryPolicy
from service.webhooks.standing import StandingPolicy
from service.webhooks.trouble import endpoints_to_judge, judge

log = structlog.get_logger()

LOOPS_FAILED = Count("relay_loops_failed_total", "Rounds of the worker's loops that failed.", "loop")

DRAIN_SECONDS = 14.0  # with the web half's grace before it and the last words after it, less than 25
HURRY_SECONDS = 5.0  # for a call of the database in a process that ends
_LOOP_SECONDS = 5.0
_STUMBLE_SECONDS = 1.0
_BEAT = "beat"  # goes on whatever our clock shows: it is what looks at it


@dataclass(frozen=True, slots=True)
class Loop:
    """One duty. `step` does a round and says whether there may be more; `every` is the sweep, in seconds."""

    name: str
    topic: str | None
    every: float
    step: Callable[[], Awaitable[bool]]


class Worker:
    """The loops of one process, running from `start` to `stop`."""

    def __init__(self, resources: Resources) -> None:
        self.id = new_id("wrk")
        self._resources = resources
        database, clock = resources.database, resources.clock
        settings = resources.settings
        self._sources = SourceFetcher(
            database,
            resources.policy,
            resources.store,
            resources.source_session,
            resources.guard,
            clock,
            rooms=resources.rooms,
        )
        self._dispatcher = Dispatcher(database, resources.policy, resources.asks, clock=clock)
        self._poller = Poller(database, resources.policy, resources.asks, clock=clock)
        self._callbacks = CallbackProcessor(database, resources.policy, clock)
        self._certificates = CertificateChecker(database, resources.policy, clock)
        self._quotas = QuotaAsker(database, resources.policy.catalogue, clock)
        self._deliverer = Deliverer(
            database,
            resources.webhook_session,
            resources.attempts,
            resources.sealer,
            DeliveryPolicy(
                RetryPolicy(settings.webhook_retry_seconds, settings.webhook_throttled_floor_seconds),
                timeout=settings.webhook_timeout_seconds,
            ),
            clock=clock,
            random=random.random,
            kick=lambda: database.wake.tell([DELIVERIES]),
        )
        self._pruner = Pruner(
            database,
            resources.store,
            Retention(
                raw=timedelta(days=settings.raw_retention_days),
                attempts=timedelta(days=settings.attempt_retention_days),
                results=timedelta(days=settings.retention_days),
            ),
            clock,
            leftovers=Leftovers(database, resources.store),
        )
        self._alone = {
            name: Alone(name)
            for name in ("hold deliveries", "release deliveries", "judge endpoints", "tell delays", "expire runs")
        }
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: asyncio.Task[None] | None = None
        self._events: list[asyncio.Event] = []
        self._closing = asyncio.Event()
        self._clock_is_wrong = False

    def loops(self) -> Sequence[Loop]:
        """What this process does, in the order a detection passes through."""
        return (
            Loop("fetch sources", TOPIC_SOURCES, 1, self._sources.step),
            Loop("dispatch runs", TOPIC_RUNS, 1, self._dispatcher.step),
            Loop("process callbacks", CALLBACKS, 1, self._callbacks.step),
            Loop("expire callbacks", None, 60, self._callbacks.expire),
            Loop("poll vendors", TOPIC_POLLS, 1, self._poller.step),
            Loop("check certificates", CERTIFICATES, 5, self._certificates.step),
            Loop("ask quotas", None, 60, self._quotas.step),
            Loop("deliver webhooks", DELIVERIES, 1, self._deliverer.step),
            Loop("hold deliveries", None, 5, self._hold),
            Loop("release deliveries", None, 5, self._release),
            Loop("judge endpoints", None, 60, self._judge),
            Loop("tell delays", None, 2, self._tell_delays),
            Loop("expire runs", None, 15, self._expire),
            Loop("prune", None, 60, self._pruner.step),
            Loop(_BEAT, None, 5, self._beat),
        )

    async def start(self) -> None:
        """Every loop runs; deliveries committed in this process are handed straight to it, while its clock is right."""
        self._resources.hand_off = self._deliverer
        with contextlib.suppress(SQLAlchemyError):  # the first beat looks again
            await self._look_at_clock()
        sweep = await self._listen()
        for loop in self.loops():
            wake = self._resources.database.wake
            event = wake.subscribe(loop.topic or loop.name)
            event.set()
            self._events.append(event)
            every = min(loop.every, sweep) if loop.topic else loop.every
            self._scheduler.add_job(
                event.set, "interval", seconds=every, id=loop.name, coalesce=True, max_instances=1,
                misfire_grace_time=None,
            )  # fmt: skip
            self._tasks.append(asyncio.create_task(self._run(loop, event), name=loop.name))
        self._scheduler.start()
        log.info("worker.started", worker_id=self.id, loops=[loop.name for loop in self.loops()])

    async def stop(self, within: float = DRAIN_SECONDS) -> None:
        """Nothing new is begun; what is under way has `within` seconds. The rest is handed back, and due at once.

        No claim is broken off: what it took is handed back by the round that made it.
        """
        log.info("worker.draining", worker_id=self.id, within=within)
        self._resources.database.hurry(HURRY_SECONDS)
        self._scheduler.shutdown(wait=False)
        self._resources.hand_off = None
        self._closing.set()
        for event in self._events:
            event.set()
        parts = (self._sources, self._dispatcher, self._poller, self._deliverer)
        await asyncio.gather(*(part.drain(within) for part in parts))
        if self._listener is not None:
            self._listener.cancel()
        await asyncio.wait(self._tasks, timeout=_LOOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        log.info("worker.stopped", worker_id=self.id, counts=_sums(counted()))

    async def _listen(self) -> float:
        """Other processes' commits wake us, where that can be. The sweep that fits, in seconds."""
        database, settings = self._resources.database, self._resources.settings
        if database.is_sqlite:
            database.wake.sweep_seconds = HEARD_SWEEP_SECONDS  # all writers are in this process
            return 1.0
        url = normalise_url(settings.database_listen_url or settings.database_url)
        hears = await can_hear(url, database.url, database.patience)
        if not hears:
            be_deaf(database.wake)
            return DEAF_SWEEP_SECONDS
        self._listener = asyncio.create_task(listen(url, database.wake, database.patience), name="listen")
        self._tasks.append(self._listener)
        return 1.0

    async def _hold(self) -> bool:
        database, now = self._resources.database, self._resources.clock()
        return await self._alone["hold deliveries"].deal(
            lambda _: database.read(standing_endpoints),
            lambda endpoint_id: database.write(hold_deliveries, endpoint_id, now),
            now,
        )

    async def _tell_delays(self) -> bool:
        database, now = self._resources.database, self._resources.clock()

        async def tell(detection_id: str) -> None:
            if await database.write(tell_delay, detection_id, self._resources.policy, now):
                log.info("detection.delayed", detection_id=detection_id)

        return await self._alone["tell delays"].deal(
            lambda left_out: database.read(untold_delays, now=now, but=left_out), tell, now
        )

    async def _release(self) -> bool:
        database, now = self._resources.database, self._resources.clock()
        return await self._alone["release deliveries"].deal(
            lambda _: database.read(endpoints_to_release),
            lambda endpoint_id: database.write(release_held, endpoint_id, now),
            now,
        )

    async def _judge(self) -> bool:
        database, now, policy = self._resources.database, self._resources.clock(), StandingPolicy()
        return await self._alone["judge endpoints"].deal(
            lambda _: database.read(endpoints_to_judge, policy, now),
            lambda endpoint_id: database.write(judge, endpoint_id, self._resources.outbox, policy, now),
            now,
        )

    async def _expire(self) -> bool:
        database, now = self._resources.database, self._resources.clock()

        async def expire(run_id: str) -> None:
            log.error("run.overdue", run_id=run_id)
            await database.write(expire_overdue, run_id, self._resources.policy, now)

        return await self._alone["expire runs"].deal(
            lambda left_out: database.read(overdue_runs, now=now, but=left_out), expire, now
        )

    async def _look_at_clock(self) -> None:
        """Nothing is claimed while our clock is far from the database's, and that is said."""
        skew = await clock_skew(self._resources.database, self._resources.clock)
        was_wrong, self._clock_is_wrong = self._clock_is_wrong, skew > MOST_SECONDS
        if self._clock_is_wrong:
            self._resources.hand_off = None
            log.error(
                "worker.clock_wrong",
                seconds=round(skew, 1),
                most=MOST_SECONDS,
                advice="run NTP here and on the database",
            )
        elif was_wrong:
            log.info("worker.clock_right", seconds=round(skew, 1))
            self._resources.hand_off = None if self._closing.is_set() else self._deliverer
            for event in self._events:
                event.set()

    async def _beat(self) -> bool:
        await self._look_at_clock()
        await self._resources.database.write(beat, self.id, process_name(), counted(), self._resources.clock())
        return False

    def _may_begin(self, loop: Loop) -> bool:
        """Return True if a round may begin. Asked before each: a backlog is many rounds."""
        return not self._closing.is_set() and (loop.name == _BEAT or not self._clock_is_wrong)

    async def _run(self, loop: Loop, event: asyncio.Event) -> None:
        """Rounds of one loop until the worker closes. A round that fails is logged; the loop goes on a little later."""
        failing = Failing("loop.failed", loop=loop.name)
        while not self._closing.is_set():
            await event.wait()
            event.clear()
            if not self._may_begin(loop):
                continue
            try:
                while await loop.step() and self._may_begin(loop):
                    pass
            except Exception as error:  # noqa: BLE001 - whatever it was, the loop goes on
                LOOPS_FAILED.add(loop.name)
                failing.failed(error)
                await asyncio.sleep(_STUMBLE_SECONDS)
                event.set()
            else:
                failing.well()


@contextlib.asynccontextmanager
async def working(resources: Resources) -> AsyncIterator[Worker]:
    """A worker runs beside whatever is inside."""
    worker = Worker(resources)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def work(settings: Settings) -> None:
    """A worker process: runs until SIGTERM or SIGINT, then drains."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, done.set)
    async with open_resources(settings) as resources, working(resources):
        await done.wait()


def _sums(series: Mapping[str, float]) -> dict[str, float]:
    """What each counter came to, its labels put together; without those at nothing."""
    sums: dict[str, float] = {}
    for text, value in series.items():
        name = text.partition("{")[0]
        sums[name] = sums.get(name, 0) + value
    return {name: round(value, 3) for name, value in sums.items() if value}
