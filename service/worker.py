"""The working half of a process: it runs the loops of `loops`, each when woken, when a row is due, or by the clock.

A loop that empties a queue is a task of ours; one that goes by the clock is a job of APScheduler. What is due, and
when, stands in the database.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.exc import SQLAlchemyError

from service.dead_workers import dead_workers, free_every_lease, free_leases_of, holder_of
from service.kit.concurrency.wake import LISTENING_SWEEP_SECONDS
from service.kit.db.database import normalise_url
from service.kit.db.queues import NextDue, due_now, seconds_until_next
from service.kit.db.server import MOST_SKEW_SECONDS, clock_skew
from service.kit.ids import new_id
from service.kit.process.heartbeat import beat
from service.kit.system_clock import system_clock
from service.kit.telemetry.failing import Failing
from service.kit.telemetry.metrics import Count, counted, figures, process_name
from service.loops import Loop, Loops
from service.resources import Resources, open_resources
from service.settings import Settings

log = structlog.get_logger()

LOOPS_FAILED = Count("relay_loops_failed_total", "Rounds of the worker's loops that failed.", "loop")

DRAIN_SECONDS = 14.0  # with the web half's grace before it and the last words after it, less than 25
HURRY_SECONDS = 5.0  # for a call of the database in a process that ends
_LOOP_SECONDS = 5.0
_STUMBLE_SECONDS = 1.0  # after a round that failed
_SWEEP_SECONDS = 1.0  # how often it is asked what is due, where commits are heard of
_BEAT_SECONDS = 5.0
_BEAT = "beat"  # goes on whatever our clock shows: it is what looks at it
_DUE = "find due rows"


class Worker:
    """The loops of one process, running from `start` to `stop`."""

    def __init__(self, resources: Resources) -> None:
        self.id = new_id("wrk")
        self._resources = resources
        self._loops = Loops(resources, holder_of(self.id))
        self._dead: set[str] = set()
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._tasks: list[asyncio.Task[None]] = []
        self._timed_rounds: set[asyncio.Task[bool]] = set()
        self._listener: asyncio.Task[None] | None = None
        self._events: dict[str, asyncio.Event] = {}
        self._next_due = NextDue(resources.database, {loop.name: loop.due for loop in self.loops() if loop.due})
        self._sweep = _SWEEP_SECONDS
        self._finding = Failing("loop.failed", loop=_DUE)
        self._closing = asyncio.Event()
        self._clock_is_wrong = False

    def loops(self) -> Sequence[Loop]:
        """Return what this process does, in the order a detection passes through."""
        return [*self._loops.table(), Loop(_BEAT, self._beat, every=_BEAT_SECONDS)]

    async def start(self) -> None:
        """Run every loop. What is committed in this process is handed straight to it, while its clock is right."""
        self._hand_over(here=True)
        if self._resources.database.is_sqlite:
            await self._resources.database.write(free_every_lease, self._resources.clock())
        with contextlib.suppress(SQLAlchemyError):  # the first beat looks again
            await self._look_at_clock()
        self._sweep = await self._listen()
        loops = self.loops()
        for loop in loops:
            if loop.every is not None:
                self._schedule(loop, loop.every)
                continue
            event = self._resources.database.wake.subscribe(loop.topic or loop.name)
            event.set()
            self._events[loop.name] = event
            self._tasks.append(asyncio.create_task(self._empty(loop, event), name=loop.name))
        self._tasks.append(asyncio.create_task(self._find_due(), name=_DUE))
        self._scheduler.start()
        log.info("worker.started", worker_id=self.id, loops=[loop.name for loop in loops])

    async def stop(self, within: float = DRAIN_SECONDS) -> None:
        """Begin nothing new, and give what is under way `within` seconds. Release the rest, due at once.

        No claim is interrupted: the round that made it releases what it took.
        """
        log.info("worker.draining", worker_id=self.id, within=within)
        self._resources.database.hurry(HURRY_SECONDS)
        self._scheduler.pause()  # its shutdown cancels jobs in the middle of a round, whatever it is told
        self._hand_over(here=False)
        self._closing.set()
        self._start_rounds(self._events)
        await asyncio.gather(*(part.drain(within) for part in self._loops.drained))
        self._next_due.end()
        if self._listener is not None:
            self._listener.cancel()
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *self._timed_rounds]
        await asyncio.wait(tasks, timeout=_LOOP_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._scheduler.shutdown(wait=False)
        log.info("worker.stopped", worker_id=self.id, counts=_sums(counted()))

    async def _listen(self) -> float:
        """Listen for other processes' commits, where possible. Return the sweep interval that fits, in seconds."""
        database, settings = self._resources.database, self._resources.settings
        if database.is_sqlite:
            database.wake.sweep_seconds = LISTENING_SWEEP_SECONDS  # all writers are in this process
            return _SWEEP_SECONDS
        from service.kit.db.listen import OFTEN_SWEEP_SECONDS, can_listen, listen, sweep_often  # noqa: PLC0415 - see `kit.postgres`

        url = normalise_url(settings.database_listen_url or settings.database_url)
        hears = await can_listen(url, database.url, database.patience)
        if not hears:
            sweep_often(database.wake)
            return OFTEN_SWEEP_SECONDS
        self._listener = asyncio.create_task(listen(url, database.wake, database.patience), name="listen")
        self._tasks.append(self._listener)
        return _SWEEP_SECONDS

    def _schedule(self, loop: Loop, seconds: float) -> None:
        """Run the loop now and every so many seconds: never twice at once, and once for all that were missed."""
        self._scheduler.add_job(
            self._run_timed,
            "interval",
            args=[loop, Failing("loop.failed", loop=loop.name)],
            seconds=seconds,
            id=loop.name,
            next_run_time=system_clock(),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )

    def _start_rounds(self, names: Iterable[str]) -> None:
        for name in names:
            self._events[name].set()

    def _start_all_rounds(self) -> None:
        self._start_rounds(self._events)
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=system_clock())

    async def find_due(self) -> tuple[Sequence[str], float]:
        """Return the loops that have a row due now, and how many seconds later to ask again at the latest.

        Where that cannot be read, or not in time, return every loop that has a queue: each finds out for itself.
        """
        try:
            due = await self._next_due.read(within=min(self._sweep, _SWEEP_SECONDS))
        except Exception as error:  # noqa: BLE001 - whatever it was, the loops go on
            LOOPS_FAILED.add(_DUE)
            self._finding.failed(error)
            return self._next_due.names, self._sweep
        self._finding.well()
        if due is None:
            return self._next_due.names, self._sweep
        now = self._resources.clock()
        return due_now(due, now), seconds_until_next(due, now, self._sweep)

    async def _find_due(self) -> None:
        """Start rounds where a row is due: at each sweep, and when the next row is due that is known of."""
        while not self._closing.is_set():
            names, pause = await self.find_due()
            self._start_rounds(names)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._closing.wait()

    async def _look_at_clock(self) -> None:
        """Stop claiming while our clock is far from the database's, and log it."""
        skew = await clock_skew(self._resources.database, self._resources.clock)
        was_wrong, self._clock_is_wrong = self._clock_is_wrong, skew > MOST_SKEW_SECONDS
        if self._clock_is_wrong:
            self._hand_over(here=False)
            log.error(
                "worker.clock_wrong",
                seconds=round(skew, 1),
                most=MOST_SKEW_SECONDS,
                advice="run NTP here and on the database",
            )
        elif was_wrong:
            log.info("worker.clock_right", seconds=round(skew, 1))
            self._hand_over(here=not self._closing.is_set())
            self._start_all_rounds()

    def _hand_over(self, *, here: bool) -> None:
        """Pass this process's own commits straight to its loops, already leased; if not `here`, leave them queued."""
        self._resources.local_deliverer = self._loops.deliverer if here else None
        self._resources.callbacks_hand_off = self._loops.callbacks if here else None

    async def _beat(self) -> bool:
        await self._look_at_clock()
        database, now = self._resources.database, self._resources.clock()
        await database.write(beat, self.id, process_name(), figures(), now)
        if not database.is_sqlite and (dead := await database.read(dead_workers, self._dead | {self.id}, now)):
            freed = await database.write(free_leases_of, dead, now)
            self._dead.update(dead)
            log.warning("worker.dead", worker_ids=dead, runs_freed=freed)
            self._start_rounds(name for name in ("dispatch runs", "poll vendors") if name in self._events)
        return False

    def _may_begin(self, loop: Loop) -> bool:
        """Return True if a round may begin. Asked before each: a backlog is many rounds."""
        return not self._closing.is_set() and (loop.name == _BEAT or not self._clock_is_wrong)

    async def _empty(self, loop: Loop, event: asyncio.Event) -> None:
        """Run a round of the loop at each `event` until the worker closes; after one that failed, another soon."""
        failing = Failing("loop.failed", loop=loop.name)
        while not self._closing.is_set():
            await event.wait()
            event.clear()
            if not await self._succeeds(loop, failing):
                await asyncio.sleep(_STUMBLE_SECONDS)
                event.set()

    async def _run_timed(self, loop: Loop, failing: Failing) -> None:
        """Run a round of a loop that goes by the clock; after one that failed, another soon."""
        task = asyncio.create_task(self._succeeds(loop, failing), name=loop.name)
        self._timed_rounds.add(task)
        task.add_done_callback(self._timed_rounds.discard)
        if not await task:
            again = system_clock() + timedelta(seconds=_STUMBLE_SECONDS)
            self._scheduler.modify_job(loop.name, next_run_time=again)

    async def _succeeds(self, loop: Loop, failing: Failing) -> bool:
        """Run one round: steps while there may be more. Log and count a failure; return False after one."""
        if not self._may_begin(loop):
            return True
        try:
            while await loop.step() and self._may_begin(loop):
                pass
        except Exception as error:  # noqa: BLE001 - whatever it was, the loop goes on
            LOOPS_FAILED.add(loop.name)
            failing.failed(error)
            return False
        failing.well()
        return True


@contextlib.asynccontextmanager
async def working(resources: Resources) -> AsyncIterator[Worker]:
    """Run a worker for as long as the context lasts."""
    worker = Worker(resources)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def work(settings: Settings) -> None:
    """Run a worker process until SIGTERM or SIGINT, then drain it."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, done.set)
    async with open_resources(settings) as resources, working(resources):
        await done.wait()


def _sums(series: Mapping[str, float]) -> dict[str, float]:
    """Sum each counter over its labels; leave out those at zero."""
    sums: dict[str, float] = {}
    for text, value in series.items():
        name = text.partition("{")[0]
        sums[name] = sums.get(name, 0) + value
    return {name: round(value, 3) for name, value in sums.items() if value}
