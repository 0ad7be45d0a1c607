"""Many owners' rows, handled one at a time, so that one which fails harms no other.

A row that fails is logged with its id, counted and left alone for a while, longer each time. The statement that finds
rows leaves it out meanwhile: a hundred rows that fail do not fill the next batch. Of very many only the last to fail
are named there; the others are left alone all the same, and take up room in a batch.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from service.kit.backoff import growing
from service.kit.clock import seconds
from service.kit.errors import Overdue
from service.kit.telemetry.metrics import Count

log = structlog.get_logger()

ROWS_FAILED = Count("relay_rows_failed_total", "Rows that a loop could not deal with, each time it tried.", "loop")

MOST_LEFT_OUT = 10_000  # the parameters of a statement: SQLite takes 32,766, PostgreSQL 65,535
MOST_RESTING = 2 * MOST_LEFT_OUT
_FIRST_PAUSE, _PAUSE_FACTOR, _LONGEST_PAUSE = 60.0, 2.0, 3600.0
_OF_ONE_ROW = ("55P03", "57014")  # a lock that another holds, a statement that took too long

Find = Callable[[Collection[str]], Awaitable[Sequence[str]]]
"""The ids of rows that are due, without those that are given."""


@dataclass(frozen=True, slots=True)
class _Rest:
    """A row is left alone until then; so often it has failed."""

    until: datetime
    failures: int


@dataclass(slots=True)
class Alone:
    """The rows of one loop, in one process."""

    loop: str
    _resting: dict[str, _Rest] = field(default_factory=dict)
    """Those that failed, the last to fail at the end."""
    _overdue: str | None = None
    """The row at which the round before ended, because the database did not answer in time."""

    async def deal(self, find: Find, act: Callable[[str], Awaitable[object]], now: datetime) -> bool:
        """Act on each row that is found. Return True if there may be more to do at once.

        That is so where one failed, so that another row fits in the batch, or where `act` returned a true value.
        """
        found = await find(self.left_out(now))
        return await self.each([row_id for row_id in found if not self._rests(row_id, now)], act, now)

    async def each(self, row_ids: Sequence[str], act: Callable[[str], Awaitable[object]], now: datetime) -> bool:
        """Act on each of these rows. Return True if one failed, or `act` returned something that is true.

        A failure that is the database's own is raised: the row is not at fault, and the next row would meet it too. But
        a row at which the database is too slow in two rounds running is left alone too: the next round gets past it.
        """
        more, traced = False, set[type[Exception]]()
        overdue, self._overdue = self._overdue, None
        for row_id in row_ids:
            try:
                more = bool(await act(row_id)) or more
            except Exception as error:
                if _is_the_databases(error):
                    self._blame(row_id, error, now, before=overdue)
                    raise
                more = self._note(row_id, error, now, with_trace=type(error) not in traced) or more
                traced.add(type(error))
            else:
                self._resting.pop(row_id, None)
        return more

    def left_out(self, now: datetime) -> Collection[str]:
        """Return the rows that are left alone now; of very many, the last to fail."""
        resting = [row_id for row_id, rest in self._resting.items() if rest.until > now]
        return set(resting[-MOST_LEFT_OUT:])

    def _rests(self, row_id: str, now: datetime) -> bool:
        rest = self._resting.get(row_id)
        return rest is not None and rest.until > now

    def _blame(self, row_id: str, error: Exception, now: datetime, *, before: str | None) -> None:
        """Note that the database was too slow at this row; the second time running it is the row's own failure."""
        if not isinstance(error, Overdue):
            return
        if row_id == before:
            self._note(row_id, error, now, with_trace=False)
        else:
            self._overdue = row_id

    def _note(self, row_id: str, error: Exception, now: datetime, *, with_trace: bool) -> bool:
        """Leave the row alone for a while. Return False if another had to be forgotten, and may be found again."""
        before = self._resting.pop(row_id, None)
        failures = before.failures if before else 0
        pause = growing(failures, first=_FIRST_PAUSE, factor=_PAUSE_FACTOR, longest=_LONGEST_PAUSE)
        is_full = len(self._resting) >= MOST_RESTING
        if is_full:
            self._resting.pop(next(iter(self._resting)))  # the one that failed longest ago has its turn again
        self._resting[row_id] = _Rest(now + seconds(pause), failures + 1)
        ROWS_FAILED.add(self.loop)
        # One traceback of a kind and round: of a hundred alike the first says all.
        log.error(
            "row.failed",
            loop=self.loop,
            row_id=row_id,
            failures=failures + 1,
            error=f"{type(error).__name__}: {error}"[:500],
            exc_info=error if with_trace else None,
        )
        return not is_full


def _is_the_databases(error: Exception) -> bool:
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _OF_ONE_ROW:
        return False
    return isinstance(error, OperationalError | InterfaceError | NoConnectionError | Overdue)
