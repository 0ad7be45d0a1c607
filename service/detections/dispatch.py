"""Submitting runs to their vendors: claim, talk, record. The worker calls `step` when woken.

That a submission is about to leave is committed before it does (`begin_submit`). A run found past its lease with
that mark was lost sight of: whether the vendor took it is unknown, and it is never blindly repeated. How one run is
taken to its vendor is in `send`.
"""

import asyncio
from collections import Counter
from datetime import datetime
from enum import Enum, auto

import structlog
from sqlmodel import Session

from service.detections.admit import claim_admitted
from service.detections.asks import AskBuilder
from service.detections.hand_back import hand_back_run
from service.detections.note_try import Outcome, Try
from service.detections.record import give_up, record_deferred
from service.detections.send import Came, Claimed, Sender
from service.detectors.catalogue import Catalogue, Line
from service.detectors.port import Refused
from service.detectors.words import ReasonCode
from service.kit.clock import Clock, milliseconds_between, seconds
from service.kit.database import Database
from service.kit.metrics import Count
from service.kit.talks import Cut, Talks
from service.runs.lifecycle import RunState
from service.runs.models import Run
from service.runs.policy import DetectionPolicy

log = structlog.get_logger()

DISPATCHED = Count(
    "relay_runs_dispatched_total", "Runs claimed for submission, by what came of it.", "detector", "outcome"
)


class Step(Enum):
    """What a claimed run needs next."""

    GIVE_UP = auto()
    LOSE_SIGHT = auto()
    SUBMIT = auto()


def next_step(run: Run, now: datetime) -> Step:
    """Which step a run claimed as `queued` or `unknown` is due for."""
    if now >= run.deadline_at:
        return Step.GIVE_UP
    if run.state == RunState.QUEUED.value and run.submit_started_at is not None:
        return Step.LOSE_SIGHT  # its worker died between sending and recording
    return Step.SUBMIT


def claim_runs(
    session: Session, catalogue: Catalogue, *, now: datetime, lease_until: datetime, limit: int
) -> tuple[list[Claimed], bool]:
    """At most `limit` runs that may be submitted now, leased to us; and whether more are due."""
    found, more = claim_admitted(session, catalogue, now=now, lease_until=lease_until, limit=limit)
    return [
        Claimed(run, token, media, detection.source_url, detection.source_name, now)
        for run, token, detection, media in found
    ], more


class Dispatcher:
    """The submissions of one process."""

    def __init__(
        self, database: Database, policy: DetectionPolicy, asks: AskBuilder, *, clock: Clock, capacity: int = 32
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._capacity = capacity
        self._under_way: set[asyncio.Task[None]] = set()
        self._talks = Talks()
        self._sender = Sender(database, policy, asks, clock=clock, talks=self._talks)
        self.counts: Counter[str] = Counter()

    async def step(self) -> bool:
        """Due runs are on their way, as many as there is room for. True if there may be more to claim now."""
        room = self._capacity - len(self._under_way)
        if self._talks.closed or room <= 0:
            return False
        now = self._clock()
        lease_until = now + seconds(self._policy.catalogue.longest_lease())
        catalogue = self._policy.catalogue
        claimed, more = await self._database.write(claim_runs, catalogue, now=now, lease_until=lease_until, limit=room)
        for one in claimed:
            task = asyncio.create_task(self._dispatch(one))
            self._under_way.add(task)
            task.add_done_callback(self._finish)
        if self._talks.closed and self._under_way:
            await asyncio.wait(set(self._under_way))  # the drain may have been over before this claim was
        if len(claimed) == room and self._under_way:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        return more

    async def drain(self, within: float) -> None:
        """Nothing new starts; what is under way has `within` seconds. What is cut then is on record.

        A run whose submission had not begun is handed back; one whose submission was under way is of unknown outcome.
        """
        await self._talks.drain(self._under_way, within)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # Its lease runs out, it is claimed again, and at the latest its deadline ends it.
            log.error("run.crashed", exc_info=error)

    async def _dispatch(self, one: Claimed) -> None:
        run, now = one.run, self._clock()
        line = self._policy.catalogue.line(run.mode, run.vendor)
        step = next_step(run, now)
        if step is Step.GIVE_UP:
            came = Came("given_up")
            await self._database.write(give_up, run.id, one.token, self._policy, now)
        elif line is None:
            came = Came("not_configured")
            refused = Refused(ReasonCode.AUTH_FAILED, f"{run.vendor} is not configured here.", retryable=True)
            tried = Try(Outcome.NOT_SENT)
            await self._database.write(record_deferred, run.id, one.token, refused, tried, self._policy, now)
        elif step is Step.LOSE_SIGHT:
            came = await self._sender.lost_before(one, line)
        else:
            came = await self._send_or_hand_back(one, line)
        self.counts[came.outcome] += 1
        DISPATCHED.add(run.detector, came.outcome)
        self._log(run, came, now)

    async def _send_or_hand_back(self, one: Claimed, line: Line) -> Came:
        try:
            return await self._sender.send(one, line)
        except Cut:
            await self._database.write(hand_back_run, one.run.id, one.token, self._clock())
            return Came("handed_back")

    def _log(self, run: Run, came: Came, started_at: datetime) -> None:
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
