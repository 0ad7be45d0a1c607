"""Lists in pages: `?limit=1..100&cursor=…`, newest first, by keyset. Queries themselves live in the rooms.

A cursor is the position after the last row shown: its time and its id, signed so that a caller cannot make one up.

Where a filter has no index of its own, a page reads up to `WINDOW` rows and no further: it may then have fewer rows
than requested, or none, and still have a next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, select, tuple_
from sqlalchemy.orm import Mapped
from sqlmodel import Session
from sqlmodel.sql.expression import SelectOfScalar

from service.kit.security.tokens import Tokens

Row = TypeVar("Row")
T = TypeVar("T")
Column = ColumnElement[T] | Mapped[T]

MAX_LIMIT = 100
WINDOW = 10_000
_START = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PagePosition:
    """A row's position in a list that is ordered by time, then by id."""

    at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """A requested page: up to `limit` rows after `after`, and none after `until`."""

    limit: int
    after: PagePosition | None = None
    until: PagePosition | None = None


def position_in(cursor: str, tokens: Tokens, listing: str) -> PagePosition:
    """Return the position after which the page begins. Raise `BadToken` for a text that is not a cursor of this list.

    `listing` names the list (and its owner, where that matters): a cursor of one list is refused in another.
    """
    since, key = tokens.read(f"cursor/{listing}", cursor, now=None)
    return PagePosition(_START + timedelta(microseconds=since), key)


def paged(statement: SelectOfScalar[Row], table: Table, page: Page) -> SelectOfScalar[Row]:
    """Return the statement for the page's rows and one more, newest first."""
    at, key = table.c.created_at, table.c.id
    if page.after is not None:
        statement = statement.where(comes_after(at, key, page.after))
    if page.until is not None:
        statement = statement.where(tuple_(at, key) >= (page.until.at, page.until.id))
    return statement.order_by(at.desc(), key.desc()).limit(page.limit + 1)


def listed(
    rows: Sequence[Row], page: Page, tokens: Tokens, listing: str, *, position: Callable[[Row], PagePosition]
) -> tuple[Sequence[Row], dict[str, Any]]:
    """Return the rows to show, and `has_more` and `next_cursor` to put beside them.

    `rows` are up to `page.limit + 1` of them: the extra one shows that there are more.
    """
    shown = rows[: page.limit]
    at = position(shown[-1]) if len(rows) > page.limit else page.until
    cursor = write_cursor(at, tokens, listing) if at is not None else None
    return shown, {"has_more": at is not None, "next_cursor": cursor}


def windowed(session: Session, table: Table, page: Page, *ours: ColumnElement[bool]) -> Page:
    """Return the page, ended after as many rows as it may look at. `ours` are conditions that an index serves."""
    at, key = table.c.created_at, table.c.id
    after = () if page.after is None else (comes_after(at, key, page.after),)
    rows = select(at, key).where(*ours, *after).order_by(at.desc(), key.desc()).offset(WINDOW - 1).limit(1)
    last = session.connection().execute(rows).first()
    return page if last is None else replace(page, until=PagePosition(*last))


def write_cursor(position: PagePosition, tokens: Tokens, listing: str) -> str:
    """Return the cursor of the rows after `position`. It does not expire."""
    since = (position.at - _START) // timedelta(microseconds=1)
    return tokens.sign(f"cursor/{listing}", [since, position.id], expires_at=None)


def comes_after(at: Column[datetime], key: Column[str], position: PagePosition) -> ColumnElement[bool]:
    """Return the condition for rows after `position`, newest first: one comparison, so one index on both serves it."""
    return tuple_(at, key) < (position.at, position.id)
