"""Processing callbacks that are safely stored: whose they are, and what they make of their runs.

Claimed many at a time, matched and read without a lock, then decided on and saved in one transaction.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select, update
from sqlmodel import Session, col

from service.callbacks.correlate import Match, correlate
from service.callbacks.models import CALLBACK_COLUMNS, CALLBACK_WAITING, Callback, ClaimedCallback
from service.callbacks.settle import ReadCallback, note_failure, process_callbacks
from service.callbacks.states import CALLBACK, CallbackInput
from service.detectors.enums import Authenticity, Via
from service.kit.clock import Clock
from service.kit.db.claims import claim
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.kit.faults import fault_of
from service.kit.ids import new_id
from service.kit.telemetry.failing import Failing
from service.runs.filename_match import as_asked
from service.runs.inputs import VendorAnswer
from service.runs.policy import DetectionPolicy
from service.runs.state.lifecycle import CallbackState
from service.runs.state.models import RUN

log = structlog.get_logger()

_LEASE = timedelta(seconds=30)
_BATCH = 50
_MOST_HANDED = 256
_MISSES = 3
_FIRST_PAUSE_SECONDS = 0.05

TOPIC_HANDED = "callbacks handed over"

_CALLBACK = table_of(Callback)
_IGNORED = CALLBACK.advance(CallbackState.PARKED, CallbackInput.EXPIRED).value


@dataclass(frozen=True, slots=True)
class CallbackProcessor:
    """The callbacks that this process decides on. `step` is called when woken, `step_handed` where some are taken."""

    database: Database
    policy: DetectionPolicy
    clock: Clock
    _failing: Failing = field(default_factory=lambda: Failing("callback.waits", traceback=False))
    _handed: deque[ClaimedCallback] = field(default_factory=deque)

    async def step(self) -> bool:
        """Let up to a batch of stored callbacks have their effect. Return True if there may be more."""
        now = self.clock()
        claimed = await self.database.write(claim_callbacks, now=now, lease_until=now + _LEASE, limit=_BATCH)
        await self.process(claimed)
        return len(claimed) == _BATCH

    def reserve(self, count: int) -> tuple[str, datetime] | None:
        """Return the token and the end of a lease for callbacks about to be committed here; `None` without room."""
        # Nothing is set aside: the transaction may still fail. A few more do no harm.
        if len(self._handed) + count > _MOST_HANDED:
            return None
        return new_id("lease"), self.clock() + _LEASE

    def take(self, claimed: Sequence[ClaimedCallback]) -> None:
        """Callbacks reserved before are committed. May be called from any thread."""
        self._handed.extend(claimed)
        self.database.wake.notify([TOPIC_HANDED])

    async def step_handed(self) -> bool:
        """Let up to a batch of callbacks that were handed over have their effect. Return True if there are more."""
        handed = [self._handed.popleft() for _ in range(min(_BATCH, len(self._handed)))]
        await self.process(handed)
        return bool(self._handed)

    async def drain(self, within: float) -> None:
        """Process what was handed over for `within` seconds. The rest is due again when its lease ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while await self.step_handed():
                    pass

    async def process(self, claimed: Sequence[ClaimedCallback]) -> None:
        """Let these claimed callbacks have their effect, those of one batch in one transaction."""
        waiting, pause = list(claimed), _FIRST_PAUSE_SECONDS
        for miss in range(_MISSES + 1):
            if not waiting:
                return
            if miss:  # another transaction has their rows: they come again a little later, and at last alone
                await asyncio.sleep(pause)
                pause *= 2
            if miss == _MISSES:
                for one in waiting:
                    await self._process_alone(one)
                return
            try:
                ready = await self.database.read(read_callbacks, waiting, self.policy)
                ends = await self.database.write(process_callbacks, ready, self.policy, self.clock(), wait=False)
            except Exception as error:  # noqa: BLE001 - which row it is, each row's own try shows
                if self._is_the_databases(error):
                    return
                for one in waiting:
                    await self._process_alone(one)
                return
            self._failing.well()
            waiting = await self._told(waiting, ends)

    async def _process_alone(self, one: ClaimedCallback) -> None:
        try:
            ready = await self.database.read(read_callbacks, [one], self.policy)
            ends = await self.database.write(process_callbacks, ready, self.policy, self.clock(), wait=True)
        except Exception as error:  # noqa: BLE001 - a poison row harms no other
            if not self._is_the_databases(error):
                await self._failed(one, error)
        else:
            self._failing.well()
            await self._told([one], ends)

    async def _told(
        self, claimed: Sequence[ClaimedCallback], ends: Sequence[str | Exception | None]
    ) -> list[ClaimedCallback]:
        """Log what became of each; return those that were missed."""
        missed = []
        for one, end in zip(claimed, ends, strict=True):
            if end is None:
                missed.append(one)
            elif isinstance(end, Exception):
                await self._failed(one, end)
            else:
                log.info("callback.processed", callback_id=one.id, state=end)
        return missed

    async def _failed(self, one: ClaimedCallback, error: Exception) -> None:
        """Its lease is its back-off, and five tries are its end."""
        log.error("callback.crashed", callback_id=one.id, exc_info=error)
        await self.database.write(note_failure, one)

    def _is_the_databases(self, error: Exception) -> bool:
        if fault_of(error) is None:
            return False
        self._failing.failed(error)
        return True

    async def expire(self) -> bool:
        """Put aside what was parked too long. Called once a minute; never True: it is all of it."""
        await self.database.write(expire_parked, self.policy, self.clock())
        return False


def claim_callbacks(session: Session, *, now: datetime, lease_until: datetime, limit: int) -> list[ClaimedCallback]:
    """Return at most `limit` stored callbacks, leased to us, the first received first."""
    names = [column.name for column in CALLBACK_COLUMNS if column.name not in ("id", "lease_token")]
    rows = claim(session, _CALLBACK, CALLBACK_WAITING, *names, now=now, lease_until=lease_until, limit=limit)
    claimed = [ClaimedCallback(**{column.name: row[column.name] for column in CALLBACK_COLUMNS}) for row in rows]
    return sorted(claimed, key=lambda one: (one.received_at, one.id))


def expire_parked(session: Session, policy: DetectionPolicy, now: datetime) -> None:
    """Put aside what was parked longer than any run can wait: no run of ours will ever know its job.

    One whose run is known and has not ended yet is left: its answer may be all that there is.
    """
    oldest = now - timedelta(seconds=policy.catalogue.longest_deadline())
    session.connection().execute(
        update(_CALLBACK)
        .where(
            col(Callback.vendor).in_(policy.catalogue.vendors()),
            col(Callback.state).in_(CALLBACK.sources(CallbackInput.EXPIRED)),
        )
        .where(col(Callback.received_at) <= oldest)
        .where(~select(RUN.c.id).where(RUN.c.id == Callback.run_id, RUN.c.ended_at.is_(None)).exists())
        .values(state=_IGNORED, note="no run knew its job in time")
    )


def read_callbacks(session: Session, claimed: Sequence[ClaimedCallback], policy: DetectionPolicy) -> list[ReadCallback]:
    """Return whose each callback is, and what its vendor says in it. Nothing is locked, nothing is written."""
    return [
        ReadCallback(callback, match, _answer_in(callback, match, policy))
        for callback, match in zip(claimed, correlate(session, claimed, policy.catalogue), strict=True)
    ]


def _answer_in(callback: ClaimedCallback, match: Match, policy: DetectionPolicy) -> VendorAnswer | None:
    configured = policy.catalogue.configured(callback.mode, callback.vendor)
    if configured is None or match.run_id is None or match.detector is None or match.announced is not None:
        return None
    raw = callback.raw
    detector = match.detector
    parsed = as_asked(callback.vendor, detector, configured.adapter.read(raw, detector), configured.adapter.detectors)
    return VendorAnswer(Via.CALLBACK, raw, parsed, Authenticity(callback.authenticity), callback.id)
