"""Submitting runs to their vendors: claim, talk, record. The worker calls `step` when woken.

That a submission is about to leave is committed before it does (`begin_submit`). A run found past its lease with
that mark was lost sight of: whether the vendor took it is unknown, and it is never blindly repeated.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import NamedTuple

import structlog
from sqlmodel import Session

from service.detections.asks import AskBuilder
from service.detections.hand_back import hand_back_run
from service.detections.hold import claim_with_media
from service.detections.lifecycle import RunState
from service.detections.models import RUN_DISPATCHABLE, Run
from service.detections.note_try import Errand, Outcome, Try
from service.detections.observe import Sighting
from service.detections.policy import DetectionPolicy
from service.detections.record import (
    begin_submit,
    give_up,
    record_accepted,
    record_answer,
    record_deferred,
    record_lost_sight,
    record_prepared,
)
from service.detectors.catalogue import Line
from service.detectors.exchange import NotSent, OutcomeUnknown
from service.detectors.port import Accepted, Ask, Capabilities, Prepared, Raw, Refused
from service.detectors.reading import Reading
from service.detectors.words import Authenticity, ReasonCode, RunStatus, Via
from service.kit.clock import Clock, milliseconds_between, seconds
from service.kit.database import Database
from service.kit.metrics import Count
from service.kit.talks import Cut, Talks
from service.media.models import Media

log = structlog.get_logger()

DISPATCHED = Count(
    "relay_runs_dispatched_total", "Runs claimed for submission, by what came of it.", "detector", "outcome"
)


_ITS_WORKER_DIED = "The process that sent the submission ended before it could record an answer."
_OURS_ENDED = "The process that sent the submission was stopped before an answer came."


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


class Came(NamedTuple):
    """What came of a claimed run: a word for the log and the metrics, and the vendor's status if it answered."""

    outcome: str
    http_status: int | None = None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that is ours for now, with what it needs."""

    run: Run
    token: str
    media: Media
    source_url: str | None
    source_name: str


def claim_runs(session: Session, *, now: datetime, lease_until: datetime, limit: int) -> list[Claimed]:
    """At most `limit` runs that are due for submission, leased to us."""
    found = claim_with_media(session, RUN_DISPATCHABLE, now=now, lease_until=lease_until, limit=limit)
    return [
        Claimed(run, token, media, detection.source_url, detection.source_name)
        for run, token, detection, media in found
    ]


class Dispatcher:
    """The submissions of one process."""

    def __init__(
        self, database: Database, policy: DetectionPolicy, asks: AskBuilder, *, clock: Clock, capacity: int = 32
    ) -> None:
        self._database = database
        self._policy = policy
        self._asks = asks
        self._clock = clock
        self._capacity = capacity
        self._under_way: set[asyncio.Task[None]] = set()
        self._talks = Talks()
        self.counts: Counter[str] = Counter()

    async def step(self) -> bool:
        """Due runs are on their way, as many as there is room for. True if there may be more to claim now."""
        room = self._capacity - len(self._under_way)
        if self._talks.closed or room <= 0:
            return False
        now = self._clock()
        lease_until = now + seconds(self._policy.catalogue.longest_lease())
        claimed = await self._database.write(claim_runs, now=now, lease_until=lease_until, limit=room)
        for one in claimed:
            task = asyncio.create_task(self._dispatch(one))
            self._under_way.add(task)
            task.add_done_callback(self._finish)
        if self._talks.closed and self._under_way:
            await asyncio.wait(set(self._under_way))  # the drain may have been over before this claim was
        if len(claimed) == room and self._under_way:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        return False

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
            await self._defer(one, refused, Try(Outcome.NOT_SENT))
        elif step is Step.LOSE_SIGHT:
            came = Came("lost_sight")
            await self._lose_sight(one, line, _ITS_WORKER_DIED)
        else:
            came = await self._submit_or_hand_back(one, line)
        self.counts[came.outcome] += 1
        DISPATCHED.add(run.detector, came.outcome)
        self._log(run, came, now)

    async def _submit_or_hand_back(self, one: Claimed, line: Line) -> Came:
        try:
            return await self._submit(one, line)
        except Cut:
            await self._database.write(hand_back_run, one.run.id, one.token, self._clock())
            return Came("handed_back")

    async def _submit(self, one: Claimed, line: Line) -> Came:
        run, token = one.run, one.token
        objection = _objection(line.adapter.capabilities(run.detector), one.media)
        if objection is not None:
            return await self._record_answer(one, _nothing_said(self._clock()), objection, None)
        ask = self._asks.ask(run, one.media, line, one.source_url, one.source_name)
        ready = await self._prepare(one, ask, line)
        if isinstance(ready, Came):
            return ready
        if self._talks.closed:
            raise Cut  # while nothing has left, another process can go on as if we had never begun
        now = self._clock()
        if not await self._database.write(begin_submit, run.id, token, now, now + seconds(line.policy.lease)):
            return Came("lease_lost")
        try:
            raw = await self._talks.talk(line.adapter.submit(ready))
        except NotSent as error:
            return await self._defer(one, _unreachable(error), Try(Outcome.NOT_SENT, now))
        except (OutcomeUnknown, Cut) as error:
            cut = isinstance(error, Cut)
            await self._lose_sight(one, line, _OURS_ENDED if cut else f"No answer came to the submission: {error}")
            return Came("cut_while_submitting" if cut else "outcome_unknown")
        return await self._record_submitted(one, line, raw, now)

    async def _prepare(self, one: Claimed, ask: Ask, line: Line) -> Ask | Came:
        """The ask, ready to be submitted; or why it is not. An upload may be repeated freely."""
        run, left_at = one.run, self._clock()
        if run.prepared_ref is not None or not line.adapter.capabilities(run.detector).prepares:
            return ask
        try:
            raw = await self._talks.talk(line.adapter.prepare(ask))
        except (NotSent, OutcomeUnknown) as error:
            outcome = Outcome.NOT_SENT if isinstance(error, NotSent) else Outcome.UNKNOWN
            return await self._defer(one, _unreachable(error), Try(outcome, left_at, Errand.PREPARE))
        prepared = line.adapter.prepared(raw)
        if isinstance(prepared, Prepared):
            if not await self._database.write(record_prepared, run.id, one.token, prepared):
                return Came("lease_lost")
            return self._asks.prepared(ask, prepared.ref)
        return await self._refused(one, raw, prepared, Try(Outcome.REFUSED, left_at, Errand.PREPARE, raw))

    async def _record_submitted(self, one: Claimed, line: Line, raw: Raw, left_at: datetime) -> Came:
        said = line.adapter.accepted(raw)
        if isinstance(said, Accepted):
            await self._database.write(
                record_accepted,
                one.run.id,
                one.token,
                said,
                Try(Outcome.ACCEPTED, left_at, raw=raw),
                line.policy,
                self._policy,
                self._clock(),
            )
            return Came("accepted", raw.status)
        if isinstance(said, Reading):
            return await self._record_answer(one, raw, said, Try(Outcome.ANSWERED, left_at, raw=raw))
        return await self._refused(one, raw, said, Try(Outcome.REFUSED, left_at, raw=raw))

    async def _refused(self, one: Claimed, raw: Raw, refused: Refused, tried: Try) -> Came:
        if refused.retryable:
            return await self._defer(one, refused, replace(tried, outcome=Outcome.DEFERRED))
        return await self._record_answer(one, raw, refused, tried)

    async def _record_answer(self, one: Claimed, raw: Raw, said: Reading | Refused, tried: Try | None) -> Came:
        sighting = Sighting(Via.SYNC, raw, said, Authenticity.TLS_FETCH)
        await self._database.write(record_answer, one.run.id, one.token, sighting, tried, self._policy, self._clock())
        return Came("answered" if isinstance(said, Reading) else "refused", raw.status if tried else None)

    async def _defer(self, one: Claimed, refused: Refused, tried: Try) -> Came:
        await self._database.write(record_deferred, one.run.id, one.token, refused, tried, self._policy, self._clock())
        return Came("deferred", tried.raw.status if tried.raw else None)

    async def _lose_sight(self, one: Claimed, line: Line, why: str) -> None:
        await self._database.write(
            record_lost_sight, one.run.id, one.token, why, line.policy, self._policy, self._clock()
        )

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


def _objection(capabilities: Capabilities, media: Media) -> Reading | None:
    """Why this detector cannot take this media at all, known from its documents without asking it."""
    if media.format not in capabilities.formats:
        formats: Sequence[str] = sorted(capabilities.formats)
        text = f"The detector does not take {media.format}; it takes {', '.join(formats)}."
        return Reading(status=RunStatus.FAILED, reason_code=ReasonCode.UNSUPPORTED_FORMAT, reason_text=text)
    if capabilities.max_bytes is not None and media.bytes > capabilities.max_bytes:
        text = f"{media.bytes} bytes are more than the {capabilities.max_bytes} that the detector takes."
        return Reading(status=RunStatus.FAILED, reason_code=ReasonCode.FILE_TOO_LARGE, reason_text=text)
    return None


def _nothing_said(now: datetime) -> Raw:
    return Raw(status=0, headers={}, body=b"", received_at=now)


def _unreachable(error: NotSent | OutcomeUnknown) -> Refused:
    return Refused(ReasonCode.VENDOR_ERROR, f"The vendor could not be reached: {error}", retryable=True)
