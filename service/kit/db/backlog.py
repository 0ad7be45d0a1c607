"""The size and age of what waits in one state: the same question of every queue."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, TextClause, func, select
from sqlmodel import Session

MOST = 10_000
"""Rows are counted up to this number: the question must stay cheap when the queue is long."""


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
