"""What has been kept long enough goes: by kind, in slices, each kind with its own share of time. Once a minute."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlmodel import Session, col, select, text

from service.accounts.models import Audit
from service.kit.clock import Clock
from service.kit.db.alone import Alone
from service.kit.db.database import Database
from service.kit.faults import Fault, fault_of
from service.kit.telemetry.failing import Failing
from service.media.erase import Leftovers, mark_erased, note_deleted
from service.media.models import Media
from service.media.store import Store
from service.retention import rows
from service.retention.erase import erase_detection, is_needed
from service.runs.load.lock import lock_detection
from service.runs.state.models import UNERASED, Detection

log = structlog.get_logger()

SLICE = 500
_SECONDS_A_KIND = 3.0


@dataclass(frozen=True, slots=True)
class Retention:
    """The times to keep what an operator may choose. Audio carries its own end."""

    raw: timedelta = timedelta(days=90)
    attempts: timedelta = timedelta(days=30)
    results: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Pruner:
    """The pruning of one process. Several at once do each other no harm."""

    database: Database
    store: Store
    retention: Retention
    clock: Clock
    slice: int = SLICE
    seconds_a_kind: float = _SECONDS_A_KIND
    leftovers: Leftovers | None = None
    _erasing: Alone = field(default_factory=lambda: Alone("prune results"), init=False)
    _deleting: Alone = field(default_factory=lambda: Alone("prune media"), init=False)
    _failing: dict[str, Failing] = field(default_factory=dict)

    async def step(self) -> bool:
        """Prune each kind for as long as its time allows. The rest follows a minute later, so return False always."""
        gone = {name: await self._prune(name, verb) for name, verb in self._kinds(self.clock()).items()}
        if some := {name: count for name, count in gone.items() if count}:
            log.info("retention.pruned", **some)
        return False

    def _kinds(self, now: datetime) -> Mapping[str, Callable[[], Awaitable[int]]]:
        keep = self.retention
        return {
            "media": lambda: self._media(now),
            "leftovers": lambda: self._leftovers(now),
            "raw_bodies": lambda: self._rows(rows.raw_bodies(now - keep.raw)),
            "callbacks": lambda: self._rows(rows.callbacks(now - keep.raw)),
            "ignored": lambda: self._rows(rows.ignored(now)),
            "quarantined": lambda: self._rows(rows.quarantined(now)),
            "attempts": lambda: self._rows(rows.attempts(now - keep.attempts)),
            "observations": lambda: self._rows(rows.observations(now - keep.results)),
            "deliveries": lambda: self._rows(rows.deliveries(now - keep.results), rows.drop_deliveries),
            "idempotency": lambda: self._rows(rows.idempotency(now)),
            "workers": lambda: self._rows(rows.workers(now)),
            "results": lambda: self._results(now),
        }

    async def _prune(self, name: str, verb: Callable[[], Awaitable[int]]) -> int:
        """Prune slices of one kind until one was not full or the time is up. Its failure stops no other kind."""
        loop = asyncio.get_running_loop()
        until, total = loop.time() + self.seconds_a_kind, 0
        try:
            while loop.time() < until:
                gone = await verb()
                total += gone
                if gone < self.slice:
                    break
        except Exception as error:
            if fault_of(error) is Fault.UNAVAILABLE:
                raise  # of all kinds. A lock or a statement that takes too long is of one; of a full disk another may
                # make room
            self._failing.setdefault(name, Failing("retention.failed", kind=name)).failed(error)
        else:
            if name in self._failing:
                self._failing[name].well()
        return total

    async def _rows(self, old: rows.Old, drop: Callable[[Session, rows.Old, int], int] | None = None) -> int:
        if not await self.database.read(rows.any_of, old):
            return 0
        return await self.database.write(drop or rows.drop, old, self.slice)

    async def _media(self, now: datetime) -> int:
        if not await self.database.read(rows.any_of, rows.due_media(now)):
            return 0
        marked: list[str] = []

        async def find(left_out: Collection[str]) -> list[str]:
            marked.extend(await self.database.write(mark_due_media, now, self.slice, but=left_out))
            return marked

        async def delete(media_id: str) -> None:
            await self.store.delete(media_id)
            await self.database.write(note_deleted, media_id)

        await self._deleting.deal(find, delete, now)
        return len(marked)

    async def _leftovers(self, now: datetime) -> int:
        return 0 if self.leftovers is None else await self.leftovers.step(now)

    async def _results(self, now: datetime) -> int:
        before = now - self.retention.results
        found: list[str] = []

        async def find(left_out: Collection[str]) -> list[str]:
            found.extend(await self.database.read(old_results, before, self.slice, but=left_out))
            return found

        await self._erasing.deal(find, lambda each: self.database.write(erase_old, each, before, now), now)
        return len(found)


def mark_due_media(session: Session, now: datetime, limit: int, *, but: Collection[str] = ()) -> list[str]:
    """Put audio whose time is up out of reach, and return it for deletion; also what a dead process left half done.

    Not what is among `but`.
    """
    due = select(Media).where(col(Media.delete_after) <= now).order_by(col(Media.delete_after)).limit(limit)
    due = due.where(col(Media.id).not_in(but)) if but else due
    marked = []
    for media in session.exec(due.with_for_update(skip_locked=True)).all():
        if media.erased_at is None and is_needed(session, media.id):
            media.delete_after = None  # the end of that detection sets it again
            continue
        if media.erased_at is None:
            mark_erased(media, now)
        marked.append(media.id)
    return marked


def old_results(session: Session, before: datetime, limit: int, *, but: Collection[str] = ()) -> list[str]:
    """Return detections that ended before then and are not erased yet, the oldest first, without those of `but`."""
    old = select(Detection.id).where(text(UNERASED), col(Detection.completed_at) < before)
    old = old.where(col(Detection.id).not_in(but)) if but else old
    return list(session.exec(old.order_by(col(Detection.completed_at)).limit(limit)))


def erase_old(session: Session, detection_id: str, before: datetime, now: datetime) -> None:
    """Erase the detection, and record that; unless it has been rechecked meanwhile."""
    detection = lock_detection(session, detection_id)
    if detection.erased_at is not None or detection.completed_at is None or detection.completed_at >= before:
        return
    erase_detection(session, detection, now)
    session.add(
        Audit(
            account_id=detection.account_id,
            mode=detection.mode,
            actor="relay",
            action="detection.erased",
            subject=detection_id,
            at=now,
        )
    )
