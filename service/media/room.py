"""The limits of an account's audio, a day and kept at once: counted by bytes, refused with the figures.

The table says what came and what is kept; each process adds what it is taking in right now. So processes that do not
know of one another may together let through a little more, and never much.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from service.kit.clock import Clock
from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.system_clock import system_clock
from service.media.models import Media

CODE = "media_quota_exceeded"
_DAY = timedelta(days=1)
_GOOD_SECONDS = 30.0
_GOOD_SECONDS_WHEN_FULL = 1.0
_MOST_ACCOUNTS = 1_000
_RETRY_SECONDS = 600


@dataclass(slots=True)
class _Use:
    """What one account has had, as the table said at `read_at`, and what this process has added since."""

    read_at: float
    a_day: int
    kept: int
    under_way: int = 0


class Rooms:
    """The room of every account. `a_day` and `kept` are in bytes; `None`: no limit, and nothing is counted."""

    def __init__(
        self,
        database: Database | None = None,
        clock: Clock = system_clock,
        *,
        a_day: int | None = None,
        kept: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self.a_day = a_day
        self.kept = kept
        self._monotonic = monotonic
        self._uses: OrderedDict[str, _Use] = OrderedDict()  # the least recently used first

    @asynccontextmanager
    async def one_more(self, account_id: str) -> AsyncIterator["Room"]:
        """Give the room for one recording. Raise `CallerError` 429 where none is left."""
        room = Room(self, await self._use(account_id))
        room.add(0)
        try:
            yield room
        finally:
            room.close()

    async def check(self, account_id: str) -> None:
        """Raise `CallerError` 429 where the account has no room left."""
        async with self.one_more(account_id):
            pass

    def is_full(self, use: _Use) -> bool:
        """Return True if not a byte more may come."""
        return self._over(use.a_day + use.under_way, self.a_day) or self._over(use.kept + use.under_way, self.kept)

    def refusal(self, use: _Use) -> CallerError:
        """Return the 429 with the figures."""
        said = [
            f"{have:,} of {most:,} bytes {what}"
            for have, most, what in (
                (use.a_day, self.a_day, "uploaded in the last 24 hours"),
                (use.kept, self.kept, "stored"),
            )
            if most is not None
        ]
        detail = f"The account has no storage left: {', and '.join(said)}. DELETE /v1/media/{{id}} frees storage."
        return CallerError(CODE, detail, status=429, headers={"Retry-After": str(_RETRY_SECONDS)})

    @staticmethod
    def _over(have: int, most: int | None) -> bool:
        return most is not None and have >= most

    async def _use(self, account_id: str) -> _Use:
        use = self._uses.get(account_id)
        if self._database is None or (self.a_day is None and self.kept is None):
            return use or _Use(self._monotonic(), 0, 0)
        good = _GOOD_SECONDS_WHEN_FULL if use is not None and self.is_full(use) else _GOOD_SECONDS
        if use is None or self._monotonic() - use.read_at >= good:
            read_at = self._monotonic()
            a_day, kept = await self._database.read(_sums, account_id, self._clock() - _DAY)
            use = self._uses.setdefault(account_id, _Use(read_at, a_day, kept))
            use.read_at, use.a_day, use.kept = read_at, a_day, kept
        self._uses.move_to_end(account_id)
        while len(self._uses) > _MOST_ACCOUNTS:
            self._uses.popitem(last=False)
        return use


class Room:
    """The room that one recording takes while it comes in."""

    def __init__(self, rooms: Rooms, use: _Use) -> None:
        self._rooms = rooms
        self._use = use
        self._bytes = 0
        self._entered = False

    def add(self, count: int) -> None:
        """Count bytes that have come. Raise `CallerError` 429 where they are more than the limits allow."""
        if self._rooms.is_full(self._use):
            raise self._rooms.refusal(self._use)
        self._bytes += count
        self._use.under_way += count

    def enter(self) -> None:
        """Note that the bytes are kept, as a new object."""
        self._entered = True

    def close(self) -> None:
        """End it: bytes that were not entered count no longer."""
        self._use.under_way -= self._bytes
        if self._entered:
            self._use.a_day += self._bytes
            self._use.kept += self._bytes


def _sums(session: Session, account_id: str, since: datetime) -> tuple[int, int]:
    """Return the bytes that came since then, deleted meanwhile or not; and all that are kept."""
    ours = col(Media.account_id) == account_id
    total = func.coalesce(func.sum(col(Media.bytes)), 0)
    a_day = session.exec(select(total).where(ours, col(Media.created_at) > since)).one()
    kept = session.exec(select(total).where(ours, col(Media.erased_at).is_(None))).one()
    return int(a_day), int(kept)
