"""Pages: the whole of a list in slices, nothing twice, nothing missing; what is no page is refused."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, col, select

from service.kit.db.database import Database
from service.kit.paging import Page, PagePosition, comes_after, listed, position_in, write_cursor
from service.kit.process.heartbeat import Worker
from service.kit.security.tokens import BadToken, Tokens

NOW = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)
TOKENS = Tokens(["secret " * 6])


def position(row: Worker) -> PagePosition:
    return PagePosition(row.started_at, row.id)


def fill(session: Session, count: int) -> None:
    for n in range(count):  # three rows share each time, so the id has to decide
        at = NOW + timedelta(microseconds=n // 3)
        session.add(Worker(id=f"w{n:02d}", kind="web", started_at=at, heartbeat_at=at))


def rows_of(session: Session, page: Page) -> Sequence[Worker]:
    at, key = col(Worker.started_at), col(Worker.id)
    query = select(Worker).order_by(at.desc(), key.desc()).limit(page.limit + 1)
    return session.exec(query if page.after is None else query.where(comes_after(at, key, page.after))).all()


@pytest.mark.parametrize("limit", [1, 4, 7, 20, 21])
async def test_following_the_cursors_shows_every_row_once_newest_first(database: Database, limit: int) -> None:
    await database.write(fill, 20)
    seen: list[str] = []
    page = Page(limit)
    while True:
        shown, around = listed(await database.read(rows_of, page), page, TOKENS, "workers", position=position)
        seen += [row.id for row in shown]
        if not around["has_more"]:
            break
        page = Page(limit, position_in(around["next_cursor"], TOKENS, "workers"))
    assert around["next_cursor"] is None
    assert seen == [f"w{n:02d}" for n in reversed(range(20))]


@given(st.text(max_size=80))
def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadToken):
        position_in(cursor, TOKENS, "workers")


def test_a_cursor_of_another_list_is_refused() -> None:
    cursor = write_cursor(PagePosition(NOW, "w01"), TOKENS, "deliveries")
    with pytest.raises(BadToken):
        position_in(cursor, TOKENS, "workers")


def test_a_cursor_keeps_the_time_to_the_microsecond() -> None:
    cursor = write_cursor(PagePosition(NOW, "w01"), TOKENS, "workers")
    assert position_in(cursor, TOKENS, "workers") == PagePosition(NOW, "w01")
