"""Pages: the whole of a list in slices, nothing twice, nothing missing; what is no page is refused by name."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, col, select

from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.paging import Page, PagePosition, comes_after, listed, page_from, write_cursor
from service.kit.process.heartbeat import Worker
from service.kit.security.tokens import Tokens

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


@pytest.mark.parametrize("limit", ["1", "4", "7", "20", "21"])
async def test_following_the_cursors_shows_every_row_once_newest_first(database: Database, limit: str) -> None:
    await database.write(fill, 20)
    seen: list[str] = []
    parameters = {"limit": limit}
    while True:
        page = page_from(parameters, TOKENS, "workers")
        shown, around = listed(await database.read(rows_of, page), page, TOKENS, "workers", position=position)
        seen += [row.id for row in shown]
        if not around["has_more"]:
            break
        parameters = {"limit": limit, "cursor": around["next_cursor"]}
    assert around["next_cursor"] is None
    assert seen == [f"w{n:02d}" for n in reversed(range(20))]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.0", "1e1", "", " 5", "٣", "9" * 5000, "true"])
def test_a_bad_limit_is_refused_by_name(limit: str) -> None:
    with pytest.raises(CallerError) as caught:
        page_from({"limit": limit}, TOKENS, "workers")
    assert caught.value.status == 422
    assert [problem.pointer for problem in caught.value.problems] == ["limit"]


@given(st.text(max_size=80))
def test_a_made_up_cursor_is_refused_by_name(cursor: str) -> None:
    with pytest.raises(CallerError) as caught:
        page_from({"cursor": cursor}, TOKENS, "workers")
    assert caught.value.status == 422
    assert [problem.pointer for problem in caught.value.problems] == ["cursor"]


def test_a_cursor_of_another_list_is_refused_and_all_faults_are_named_at_once() -> None:
    cursor = write_cursor(PagePosition(NOW, "w01"), TOKENS, "deliveries")
    with pytest.raises(CallerError) as caught:
        page_from({"limit": "0", "cursor": cursor}, TOKENS, "workers")
    assert [problem.pointer for problem in caught.value.problems] == ["limit", "cursor"]


def test_a_cursor_keeps_the_time_to_the_microsecond() -> None:
    cursor = write_cursor(PagePosition(NOW, "w01"), TOKENS, "workers")
    assert page_from({"cursor": cursor}, TOKENS, "workers") == Page(20, PagePosition(NOW, "w01"))
