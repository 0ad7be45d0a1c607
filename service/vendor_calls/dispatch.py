"""Submitting runs to their vendors: claim, talk, hand the input in. The worker calls `step` when woken.

That a submission is about to leave is committed before it does. A run found past its lease with that mark is of
unknown outcome: whether the vendor took it is not known, and it is never blindly repeated. How one run is taken to
its vendor is in `submission`.
"""

import asyncio
from collections import Counter
from datetime import datetime
from enum import Enum, auto
from functools import partial

import structlog

from service.detectors.catalogue import ConfiguredVendor
from service.detectors.enums import ReasonCode
from service.detectors.port import Refused
from service.kit.clock import Clock, milliseconds_between
from service.kit.concurrency.shares import Shares
from service.kit.concurrency.task_pool import ShutdownInterrupt, TaskPool
from service.kit.db.database import Database
from service.kit.telemetry.metrics import Count
from service.runs.inputs import Deferred, GivenUp, Released, SubmissionAttempt, SubmissionOutcome
from service.runs.policy import DetectionPolicy
from service.runs.runner import Runner
from service.runs.state.lifecycle import RunState
from service.runs.state.rows import RunRow
from service.runs.topics import TOPIC_RUNS
from service.vendor_calls.admission import claim_submissions
from service.vendor_calls.claimed_runs import ClaimedRun
from service.vendor_calls.run_context import RunContextBuilder
from service.vendor_calls.submission import Came, Sender

log = structlog.get_logger()

DISPATCHED = Count(
    "relay_runs_dispatched_total", "Runs claimed for submission, by what came of it.", "detector", "outcome"
)


class Step(Enum):
    """What a claimed run needs next."""

    GIVE_UP = auto()
    LOSE_SIGHT = auto()
    SUBMIT = auto()


def next_step(run: RunRow, now: datetime) -> Step:
    """Return which step a run claimed as `queued` or `unknown` is due for."""
    if now >= run.deadline_at:
        return Step.GIVE_UP
    if run.state == RunState.QUEUED.value and run.submit_started_at is not None:
        return Step.LOSE_SIGHT  # its worker died between sending and recording
    return Step.SUBMIT


class Dispatcher:
    """The submissions of one process. `holder` begins the lease tokens of its claims."""

    def __init__(
        self,
        database: Database,
        policy: DetectionPolicy,
        contexts: RunContextBuilder,
        *,
        clock: Clock,
        capacity: int = 32,
        runner: Runner | None = None,
        holder: str = "",
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._capacity = capacity
        self._holder = holder
        self._places = Shares(capacity)
        self._under_way: set[asyncio.Task[None]] = set()
        self._pool = TaskPool()
        self._runner = runner or Runner(database, policy, clock)
        self._sender = Sender(database, policy, contexts, clock=clock, pool=self._pool, runner=self._runner)
        self.counts: Counter[str] = Counter()

    async def step(self) -> bool:
        """Take up due runs, as many as there is room for. Return True if there may be more to claim now."""
        room = self._places.room
        if self._pool.closed or room <= 0:
            return False
        shares = self._places.copy()
        claimed, more = await self._database.write(
            claim_submissions,
            self._policy.catalogue,
            now=self._clock(),
            limit=room,
            holder=self._holder,
            shares=shares,
        )
        self._places.refused |= shares.refused  # they are woken for when a good many of their places are free
        for one in claimed:
            self._places.hold(one.run.vendor)
            task = asyncio.create_task(self._dispatch(one))
            self._under_way.add(task)
            task.add_done_callback(partial(self._finish, one.run.vendor))
        if self._pool.closed and self._under_way:
            await asyncio.wait(set(self._under_way))  # the drain may have been over before this claim was
        if not self._places.room and self._under_way:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        return more

    async def drain(self, within: float) -> None:
        """Start nothing new; what is under way has `within` seconds. What is cut then is on record.

        A run whose submission had not begun is released; one whose submission was under way is of unknown outcome.
        """
        await self._pool.drain(self._under_way, within)

    def _finish(self, vendor: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._places.release(vendor):
            self._database.wake.notify([TOPIC_RUNS])
        if not task.cancelled() and (error := task.exception()):
            # Its lease runs out, it is claimed again, and at the latest its deadline ends it.
            log.error("run.crashed", exc_info=error)

    async def _dispatch(self, one: ClaimedRun) -> None:
        run, now = one.run, self._clock()
        configured = self._policy.catalogue.configured(run.mode, run.vendor)
        step = next_step(run, now)
        if step is Step.GIVE_UP:
            came = Came("given_up")
            await self._runner.put(GivenUp(run.id, one.token))
        elif configured is None:
            came = Came("not_configured")
            refused = Refused(ReasonCode.AUTH_FAILED, f"{run.vendor} is not configured here.", retryable=True)
            attempt = SubmissionAttempt(SubmissionOutcome.NOT_SENT)
            await self._runner.put(Deferred(run.id, one.token, refused, attempt))
        elif step is Step.LOSE_SIGHT:
            came = await self._sender.lost_before(one)
        else:
            came = await self._send_or_release(one, configured)
        self.counts[came.outcome] += 1
        DISPATCHED.add(run.detector, came.outcome)
        self._log(run, came, now)

    async def _send_or_release(self, one: ClaimedRun, configured: ConfiguredVendor) -> Came:
        try:
            return await self._sender.send(one, configured)
        except ShutdownInterrupt:
            await self._runner.put(Released(one.run.id, one.token))
            return Came("handed_back")

    def _log(self, run: RunRow, came: Came, started_at: datetime) -> None:
        log.info(
            "run.dispatched",
            run_id=run.id,
            detection_id=run.detection_id,
            account_id=run.account_id,
            mode=run.mode,
            vendor=run.vendor,
            detector=run.detector,
            submit_tries=run.submit_tries,
            outcome=came.outcome,
            http_status=came.http_status,
            took_ms=milliseconds_between(started_at, self._clock()),
        )
