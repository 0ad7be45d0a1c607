"""Asking a vendor how far a run is: claim, fetch, record. The worker calls `step` when woken, and every second.

A poll is due by the run's plan, at once when a callback claimed an end, and a last time at the deadline. A callback
that comes after the deadline makes its run due for one look more.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session

from service.detections.admit import admit_polls
from service.detections.asks import AskBuilder
from service.detections.hold import claim_with_media, hold_run
from service.detections.observe import Sighting, observe
from service.detections.pay import Aftermath, with_aftermath
from service.detections.record import expire_run
from service.detectors.answers import UNKNOWN_STATUS, unknown_status
from service.detectors.catalogue import Catalogue, Line, VendorPolicy
from service.detectors.exchange import VendorError
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.detectors.words import Authenticity, ReasonCode, Via
from service.kit.backoff import Random
from service.kit.clock import Clock, milliseconds_between, seconds
from service.kit.database import Database, wakes
from service.kit.metrics import Count
from service.kit.talks import Cut, Talks
from service.media.models import Media
from service.runs.filename_match import as_asked, of_this_run
from service.runs.lifecycle import RunState
from service.runs.models import RUN_POLLABLE, Run
from service.runs.policy import TOPIC_POLLS, DetectionPolicy
from service.spending.hearing import heard

log = structlog.get_logger()

POLLS = Count("relay_polls_total", "Looks at a run, by what came of them.", "detector", "outcome")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that is ours to ask for, with what it needs. `confirms` says a callback claimed an end.

    `asks` is false where its vendor's gate lets nothing through and its deadline has come: it is only to be ended.
    """

    run: Run
    token: str
    media: Media
    source_url: str | None
    source_name: str
    confirms: bool
    asks: bool = True


@dataclass(frozen=True, slots=True)
class Fetched:
    """What asking brought: an answer and what it means, or neither."""

    raw: Raw | None
    said: Reading | Refused | None
    asked_at: datetime


def claim_polls(
    session: Session, catalogue: Catalogue, *, now: datetime, lease_until: datetime, limit: int
) -> tuple[list[Claimed], bool]:
    """At most `limit` runs that may be looked at now, leased to us; and whether more are due.

    That we ask is on record before we do.
    """
    claimed = []
    found = claim_with_media(session, RUN_POLLABLE, now=now, lease_until=lease_until, limit=limit)
    for (run, token, detection, media), asks in admit_polls(session, found, catalogue, now):
        confirms = run.confirmation_requested_at is not None and (
            run.polled_at is None or run.confirmation_requested_at > run.polled_at
        )
        if asks:
            run.polled_at = now
            run.confirmations += confirms
            run.polls += not confirms
        claimed.append(Claimed(run, token, media, detection.source_url, detection.source_name, confirms, asks))
    return claimed, len(found) == limit


class Poller:
    """The polls of one process."""

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
        """Due runs are being asked for, as many as there is room for. True if there may be more to claim now."""
        room = self._capacity - len(self._under_way)
        if self._talks.closed or room <= 0:
            return False
        now = self._clock()
        lease_until = now + seconds(self._policy.catalogue.longest_lease())
        catalogue = self._policy.catalogue
        claimed, more = await self._database.write(claim_polls, catalogue, now=now, lease_until=lease_until, limit=room)
        for one in claimed:
            task = asyncio.create_task(self._poll(one))
            self._under_way.add(task)
            task.add_done_callback(self._finish)
        if self._talks.closed and self._under_way:
            await asyncio.wait(set(self._under_way))  # the drain may have been over before this claim was
        if len(claimed) == room and self._under_way:
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        return more

    async def drain(self, within: float) -> None:
        """Nothing new starts; what is under way has `within` seconds. What is cut then is handed back, due at once."""
        await self._talks.drain(self._under_way, within)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # Its lease runs out, it is asked for again, and at the latest its deadline ends it.
            log.error("poll.crashed", exc_info=error)

    async def _poll(self, one: Claimed) -> None:
        line = self._policy.catalogue.line(one.run.mode, one.run.vendor)
        started_at = self._clock()
        try:
            fetched = await self._fetch(one, line) if line and one.asks else Fetched(None, None, started_at)
        except Cut:
            fetched = Fetched(None, None, started_at)
            outcome = await self._database.write(hand_back_poll, one, self._clock())
        else:
            outcome = await self._record(one, fetched, line)
        self._note(one, fetched, outcome)

    async def _record(self, one: Claimed, fetched: Fetched, line: Line | None) -> str:
        """The look is on record, and with it what the vendor's gate learns. A word for the log."""
        database, policy, now = self._database, self._policy, self._clock()
        if line is None or not one.asks:
            return await database.write(record_poll, one, fetched, line.policy if line else None, policy, now)
        after = Aftermath(heard(fetched.raw, fetched.said))

        def both(session: Session) -> str:
            return with_aftermath(
                session, one.run, line, after, now, record_poll, one, fetched, line.policy, policy, now
            )

        return await database.write(both)

    def _note(self, one: Claimed, fetched: Fetched, outcome: str) -> None:
        self.counts[outcome] += 1
        POLLS.add(one.run.detector, outcome)
        log.info(
            "run.polled",
            run_id=one.run.id,
            detection_id=one.run.detection_id,
            account_id=one.run.account_id,
            mode=one.run.mode,
            vendor=one.run.vendor,
            detector=one.run.detector,
            confirms=one.confirms,
            poll=one.run.polls,
            http_status=fetched.raw.status if fetched.raw else None,
            outcome=outcome,
            took_ms=milliseconds_between(fetched.asked_at, self._clock()),
        )

    async def _fetch(self, one: Claimed, line: Line) -> Fetched:
        ask = self._asks.ask(one.run, one.media, line, one.source_url, one.source_name)
        asked_at = self._clock()
        try:
            raw = await self._talks.talk(line.adapter.fetch(ask))
        except VendorError:
            return Fetched(None, None, asked_at)  # a question may be asked again whatever became of it
        read = as_asked(one.run, line.adapter.read(raw, one.run.detector), line.adapter.detectors)
        said = of_this_run(one.run, read)
        if isinstance(said, Refused) and said.reason_code is ReasonCode.QUOTA_EXCEEDED:
            said = replace(said, retryable=True)  # the vendor has the job: that it wants money for more ends no run
        return Fetched(raw, said, asked_at)


def hand_back_poll(session: Session, one: Claimed, now: datetime) -> str:
    """The run is due now and nobody's, as if it had not been claimed. A word for the log."""
    held = hold_run(session, one.run.id, one.token, late=True)
    if held is None:
        return "lease_lost"
    _, run = held
    run.due_at, run.lease_token = now, None
    run.polls -= not one.confirms
    run.confirmations -= one.confirms
    if one.confirms:
        run.polled_at = None  # so that the next look still confirms what the callback claimed
    wakes(session, TOPIC_POLLS)
    return "handed_back"


def record_poll(
    session: Session,
    one: Claimed,
    fetched: Fetched,
    vendor: VendorPolicy | None,
    policy: DetectionPolicy,
    now: datetime,
) -> str:
    """The look is on record: the run has ended, or its next poll is due. A word for the log."""
    held = hold_run(session, one.run.id, one.token, late=True)
    if held is None:
        return "lease_lost"
    detection, run = held
    if RunState(run.state).ended:
        return _record_late(session, run, one, fetched, vendor, policy, now)
    if fetched.raw is not None and fetched.said is not None:
        observe(session, run.id, _sighting(one, fetched.raw, fetched.said), policy, now)
        if run.ended_at is not None:
            return "answered"
        _note_trouble(run, fetched.said)
    if now >= run.deadline_at:
        expire_run(session, detection, run, policy, now)
        return "timed_out"
    run.due_at = min(_next_due(run, fetched, vendor, policy.random, now), run.deadline_at)
    run.lease_token = None
    return "pending"


def _record_late(
    session: Session,
    run: Run,
    one: Claimed,
    fetched: Fetched,
    vendor: VendorPolicy | None,
    policy: DetectionPolicy,
    now: datetime,
) -> str:
    """The one look after the end: its answer revises the detection. Without one the run rests, until called again."""
    if fetched.raw is not None and fetched.said is not None:
        observe(session, run.id, _sighting(one, fetched.raw, fetched.said), policy, now)
    if run.state != RunState.TIMED_OUT.value:
        return "answered_late"
    run.due_at = None
    if vendor is not None and _called_meanwhile(run, fetched):
        run.due_at = fetched.asked_at + timedelta(seconds=vendor.confirm_spacing)
    run.lease_token = None
    return "still_no_answer"


def _sighting(one: Claimed, raw: Raw, said: Reading | Refused) -> Sighting:
    """A confirming fetch is the callback's own answer, confirmed; any other is a poll's."""
    if one.confirms:
        authenticity = Authenticity(one.run.callback_authenticity or Authenticity.NONE)
        return Sighting(Via.CALLBACK, raw, said, authenticity, confirmed_by_fetch=True)
    return Sighting(Via.POLL, raw, said, Authenticity.TLS_FETCH)


def _note_trouble(run: Run, said: Reading | Refused) -> None:
    """What the deadline will say, should nothing better come: an unknown word, or the refusal met last."""
    trouble, text = said.reason_code, said.reason_text
    if isinstance(said, Reading) and said.met_unknown_status:
        word = unknown_status(said.extras)
        log.warning("vendor.unknown_status", run_id=run.id, detector=run.detector, status=word)
        trouble, text = ReasonCode.SCHEMA_MISMATCH, f"{UNKNOWN_STATUS} Its word: {word}"
    run.last_refusal = trouble.value if trouble is ReasonCode.SCHEMA_MISMATCH else None
    run.waiting_for = trouble.value if trouble else None
    run.reason_text = text if trouble else None


def _next_due(run: Run, fetched: Fetched, vendor: VendorPolicy | None, random: Random, now: datetime) -> datetime:
    if vendor is None:
        return now + timedelta(seconds=60)
    wait = vendor.next_wait(max(1, run.polls), random)
    if isinstance(fetched.said, Refused):
        wait = max(wait, fetched.said.retry_after_seconds or 0)
    planned = now + timedelta(seconds=wait)
    if _called_meanwhile(run, fetched):
        return min(planned, fetched.asked_at + timedelta(seconds=vendor.confirm_spacing))
    return planned


def _called_meanwhile(run: Run, fetched: Fetched) -> bool:
    """Whether a callback claimed an end while we were asking."""
    return run.confirmation_requested_at is not None and run.confirmation_requested_at > fetched.asked_at
