"""Two questions to a queue: when its first row is due, and how much waits in it since when.

A partial index answers each. The first is asked of all queues in one statement.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, Table, TextClause, func, literal, select, text
from sqlmodel import Session

from service.kit.db.columns import UtcTime
from service.kit.db.database import Database

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
LEAST_PAUSE_SECONDS = 0.25
"""However many rows are due one shortly after the other: they are claimed together, and asking costs a statement."""

MOST = 10_000
"""Rows are counted up to this number: the question must stay cheap when the queue is long."""

Due = Mapping[str, datetime | None]
"""By the name of each loop: when its first row is due; `None` where none waits."""


def first_due(table: Table, waiting: str, column: str = "due_at") -> Select[Any]:
    """Select when the first of these rows is due.

    `waiting` is literal SQL, equal to the predicate of a partial index whose columns are those that it compares by `=`,
    and then `column`.
    """
    due: ColumnElement[Any] = table.c[column]
    # Compared, not IS NOT NULL: SQLite sorts NULL first, and would read past each of them.
    return select(due).where(text(waiting), due >= AT_ONCE).order_by(due).limit(1)


def at_once_where(table: Table, waiting: str) -> Select[Any]:
    """Select a time long past while there is such a row, for what may be let through at any moment."""
    return select(literal(AT_ONCE, UtcTime())).select_from(table).where(text(waiting)).limit(1)


class NextDue:
    """The queues of one process, asked about together."""

    def __init__(self, database: Database, queues: Mapping[str, Sequence[Select[Any]]]) -> None:
        self._database = database
        self._asked: asyncio.Task[Due] | None = None
        self.names = list(queues)
        self._of = [name for name, selects in queues.items() for _ in selects]
        firsts = [first.scalar_subquery() for selects in queues.values() for first in selects]
        self._statement = select(*(first.label(f"due_{n}") for n, first in enumerate(firsts)))

    async def read(self, within: float) -> Due | None:
        """Return when the first row of each queue is due; `None` if that takes longer than `within` seconds.

        One table that is locked must not keep the rows of the others waiting. There is never a second question beside
        one that is not answered yet: it is only looked at whether its answer has come.
        """
        is_new = self._asked is None
        if self._asked is None:
            self._asked = asyncio.create_task(self._database.read(self.find))
        done, _ = await asyncio.wait({self._asked}, timeout=within if is_new else 0)
        if not done:
            return None
        asked, self._asked = self._asked, None
        return await asked

    def end(self) -> None:
        """Wait for no answer any more."""
        if self._asked is not None:
            self._asked.cancel()

    def find(self, session: Session) -> Due:
        """Return when the first row of each queue is due."""
        found: dict[str, datetime | None] = {}
        for name, due_at in zip(self._of, session.connection().execute(self._statement).one(), strict=True):
            before = found.get(name)
            found[name] = due_at if before is None or (due_at is not None and due_at < before) else before
        return found


def due_now(due: Due, now: datetime) -> list[str]:
    """Return the names whose first row is due by `now`."""
    return [name for name, due_at in due.items() if due_at is not None and due_at <= now]


def seconds_until_next(due: Due, now: datetime, most: float) -> float:
    """Return how long to wait for the first that is not due yet: at least the least pause, at most `most`."""
    ahead = (due_at - now for due_at in _known(due.values()) if due_at > now)
    return min(most, max(LEAST_PAUSE_SECONDS, min(ahead, default=timedelta.max).total_seconds()))


def _known(times: Iterable[datetime | None]) -> Iterable[datetime]:
    return (at for at in times if at is not None)


@dataclass(frozen=True, slots=True)
class Backlog:
    """`count` rows wait in this state (`MOST` means: that many or more), the first since `oldest_at`."""

    state: str
    count: int
    oldest_at: datetime | None

    def age_seconds(self, now: datetime) -> float:
        """Return how many seconds the first has waited; 0 if none does."""
        return max(0.0, (now - self.oldest_at).total_seconds()) if self.oldest_at else 0.0


def backlog_of(
    session: Session, state: str, since: Column[datetime], *where: ColumnElement[bool] | TextClause
) -> Backlog:
    """Measure the rows that `where` takes, by `since`. An index that begins with `since` should fit `where`."""
    return backlog_of_rows(session, state, select(since.label("since")).where(*where).order_by(since))


def backlog_of_rows(session: Session, state: str, rows: Select[Any]) -> Backlog:
    """Do the same for any statement whose one column is called `since`."""
    found = rows.limit(MOST).subquery()
    count, oldest_at = session.connection().execute(select(func.count(), func.min(found.c.since))).one()
    return Backlog(state, count, oldest_at)
