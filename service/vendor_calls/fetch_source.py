"""Fetching the audio behind `source.url`: once, through the guard, hashed; the hashed bytes are what vendors get.

Claim, download, record; several at once, so that one slow source holds up no other. A download may fail a few
times and be tried again; then the detection has failed, with a reason that tells a stranger nothing about our
network.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import aiohttp
import structlog
from sqlmodel import Session, col, select

from service.kit.clock import Clock, milliseconds_between, seconds
from service.kit.concurrency.shares import Shares
from service.kit.concurrency.task_pool import ShutdownInterrupt, TaskPool
from service.kit.db.claims import claim
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.http.guard import GuardPolicy
from service.kit.http.resolver import on_behalf_of
from service.kit.telemetry.metrics import Count
from service.media.fetch import SourceTooLarge, SourceUnreachable, open_source
from service.media.ingest import MAX_BYTES, take_in
from service.media.models import Media
from service.media.room import CODE as NO_ROOM
from service.media.room import Rooms
from service.media.store import Store
from service.runs.inputs import SourceFailed, SourceReady, SourceReleased
from service.runs.policy import DetectionPolicy
from service.runs.state.models import SOURCE_WAITING, Detection
from service.runs.step import step_one
from service.verdicts.votes import OutcomeReason

log = structlog.get_logger()

SOURCES = Count("relay_sources_total", "Downloads of `source.url`, by what came of them.", "outcome")

_AT_ONCE = 16
_ROOM_AGAIN = timedelta(seconds=60)
_LOOK_AGAIN_SECONDS = 1.0

_REASONS = {
    "media_too_large": OutcomeReason.FILE_TOO_LARGE,
    "unsupported_media": OutcomeReason.UNSUPPORTED_FORMAT,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no audio. `retryable` says whether a later try may do better."""

    reason: OutcomeReason
    retryable: bool
    detail: str


@dataclass(frozen=True, slots=True)
class SourceFetcher:
    """The downloads of one process. `step` is called when woken."""

    database: Database
    policy: DetectionPolicy
    store: Store
    session: aiohttp.ClientSession
    guard: GuardPolicy
    clock: Clock
    timeout_seconds: float = 120.0
    rooms: Rooms = field(default_factory=Rooms)
    places: Shares = field(default_factory=lambda: Shares(_AT_ONCE))
    _under_way: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _pool: TaskPool = field(default_factory=TaskPool, init=False)

    async def step(self) -> bool:
        """Start what is due, and wait until a download has ended or a second passed. Return False once none is left.

        When cancelled, no download goes on: its lease runs out, and it is begun again.
        """
        try:
            await self._begin()
            if self._pool.closed and self._under_way:
                await asyncio.wait(set(self._under_way))  # the drain may have been over before this claim was
            if not self._under_way:
                return False
            await asyncio.wait(self._under_way, timeout=_LOOK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._abandon()
            raise
        return True

    async def _begin(self) -> None:
        now = self.clock()
        lease_until = now + seconds(self.timeout_seconds * 1.5)
        if self._pool.closed:
            return
        for detection in await self.database.write(
            claim_sources, now=now, lease_until=lease_until, limit=self.places.room, shares=self.places.copy()
        ):
            self.places.hold(detection.account_id)
            task = asyncio.create_task(self._fetch(detection))
            self._under_way.add(task)
            task.add_done_callback(partial(self._finish, detection.account_id))

    async def drain(self, within: float) -> None:
        """Start nothing new; give what is under way `within` seconds. Release the rest, due at once."""
        await self._pool.drain(self._under_way, within)

    async def _abandon(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _finish(self, account_id: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.places.release(account_id)
        if not task.cancelled() and (error := task.exception()):
            log.error("source.crashed", exc_info=error)  # its lease runs out, and it is begun again

    async def _fetch(self, detection: Detection) -> None:
        started_at, token = self.clock(), detection.lease_token or ""
        found: Media | Failure | None = None
        try:
            with on_behalf_of(detection.account_id):
                found = await self._pool.run(self._download(detection))
        except ShutdownInterrupt:
            await self.database.write(hand_back_source, detection.id, token, self.policy, self.clock())
        except CallerError as error:  # no room for the account's audio: it waits, and until its deadline asks again
            log.warning(
                "source.waits_for_room", detection_id=detection.id, account_id=detection.account_id, why=str(error)
            )
            await self.database.write(hand_back_source, detection.id, token, self.policy, self.clock() + _ROOM_AGAIN)
        now = self.clock()
        if isinstance(found, Media):
            await self.database.write(record_source, detection.id, token, found.id, self.policy, now)
        elif found is not None:
            await self.database.write(record_failure, detection.id, token, found, self.policy, now)
        _note(detection, found, milliseconds_between(started_at, now))

    async def _download(self, detection: Detection) -> Media | Failure:
        url = detection.source_url or ""
        try:
            async with (
                self.rooms.one_more(detection.account_id) as room,
                open_source(
                    self.session, url, self.guard, max_bytes=MAX_BYTES, timeout_seconds=self.timeout_seconds
                ) as source,
            ):
                taken = await take_in(
                    source.chunks,
                    name=source.file_name or detection.source_name,
                    account_id=detection.account_id,
                    mode=detection.mode,
                    database=self.database,
                    store=self.store,
                    clock=self.clock,
                    room=room,
                )
        except SourceUnreachable as error:
            return Failure(OutcomeReason.SOURCE_UNREACHABLE, error.retryable, error.detail)
        except SourceTooLarge as error:
            return Failure(OutcomeReason.FILE_TOO_LARGE, retryable=False, detail=str(error))
        except CallerError as error:
            if error.code == NO_ROOM:
                raise
            reason = _REASONS.get(error.code, OutcomeReason.INVALID_FILE)
            return Failure(reason, retryable=False, detail=error.detail)
        return taken.media


def _note(detection: Detection, found: Media | Failure | None, took_ms: int) -> None:
    outcome = "fetched" if isinstance(found, Media) else found.reason.value if found else "handed_back"
    SOURCES.add(outcome)
    log.info(
        "source.fetched",
        detection_id=detection.id,
        account_id=detection.account_id,
        mode=detection.mode,
        media_id=found.id if isinstance(found, Media) else None,
        outcome=outcome,
        failure=found.detail if isinstance(found, Failure) else None,
        took_ms=took_ms,
    )


def claim_sources(
    session: Session, *, now: datetime, lease_until: datetime, limit: int, shares: Shares | None = None
) -> list[Detection]:
    """Lease at most `limit` detections whose audio is to be fetched, and return them; each try is counted at once."""
    rows = claim(
        session, table_of(Detection), SOURCE_WAITING, now=now, lease_until=lease_until, limit=limit, shares=shares
    )
    claimed = list(session.exec(select(Detection).where(col(Detection.id).in_([row["id"] for row in rows]))))
    for detection in claimed:
        detection.source_tries += 1
    return claimed


def hand_back_source(
    session: Session, detection_id: str, token: str, policy: DetectionPolicy, due_at: datetime
) -> None:
    """Make the download due again and without a lease; it was no try: its process ended before it did."""
    step_one(session, SourceReleased(detection_id, token, due_at), policy, due_at)


def record_source(
    session: Session, detection_id: str, token: str, media_id: str, policy: DetectionPolicy, now: datetime
) -> None:
    """Put on record that the audio is there."""
    step_one(session, SourceReady(detection_id, token, media_id), policy, now)


def record_failure(
    session: Session, detection_id: str, token: str, failure: Failure, policy: DetectionPolicy, now: datetime
) -> None:
    """Put on record that a download failed: the next try is due, or the detection has failed."""
    step_one(session, SourceFailed(detection_id, token, failure.reason, failure.retryable), policy, now)
