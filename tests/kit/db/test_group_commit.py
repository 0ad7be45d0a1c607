import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlmodel import Session

from service.kit.db.database import Database
from service.kit.db.group_commit import COMMITS, ROWS, GroupCommit, Overfull
from service.kit.errors import Overdue
from tests.kit.things import make_table, names, put

pytestmark = pytest.mark.own_database  # tables of the tests' own


def _flush(session: Session, rows: Sequence[str]) -> list[str]:
    put(session, *rows)
    return [row.upper() for row in rows]


@pytest.fixture(autouse=True)
def table(database: Database) -> None:
    make_table(database)


@pytest.fixture
def commits(database: Database, table: None) -> Iterator[list[int]]:
    """One entry a commit, made after the table."""
    seen: list[int] = []

    def count(_connection: object) -> None:
        seen.append(1)

    event.listen(database.engine, "commit", count)
    yield seen
    event.remove(database.engine, "commit", count)


async def test_each_adder_gets_the_answer_for_its_own_row_after_the_commit(database: Database) -> None:
    async def add(name: str) -> tuple[str, bool]:
        answer = await group.add(name)
        return answer, name in await database.read(names)

    group = GroupCommit(database, _flush)
    wanted = [f"row-{n:02}" for n in range(40)]
    answers = await asyncio.gather(*(add(name) for name in wanted))
    assert answers == [(name.upper(), True) for name in wanted]


async def test_rows_added_at_once_share_one_commit(database: Database, commits: list[int]) -> None:
    group = GroupCommit(database, _flush)
    await asyncio.gather(*(group.add(f"{n:03}") for n in range(100)))
    assert len(commits) == 1


async def test_rows_that_come_during_a_commit_share_the_next_one(database: Database, commits: list[int]) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(session: Session, rows: Sequence[str]) -> list[str]:
        entered.set()
        assert go_on.wait(10)
        return _flush(session, rows)

    group = GroupCommit(database, slow)
    first = asyncio.create_task(group.add("first"))
    await asyncio.to_thread(entered.wait, 10)
    late = [asyncio.create_task(group.add(f"late-{n}")) for n in range(20)]
    await asyncio.sleep(0)  # let each of them add its row
    go_on.set()
    await asyncio.gather(first, *late)
    assert len(commits) == 2


async def test_a_commit_holds_no_more_rows_than_allowed(database: Database, commits: list[int]) -> None:
    sizes: list[int] = []

    def sized(session: Session, rows: Sequence[str]) -> list[str]:
        sizes.append(len(rows))
        return _flush(session, rows)

    group = GroupCommit(database, sized, max_rows=8)
    await asyncio.gather(*(group.add(f"{n:03}") for n in range(20)))
    assert sizes == [8, 8, 4]
    assert len(commits) == 3


async def test_a_poison_row_fails_alone(database: Database) -> None:
    await database.write(put, "poison")
    group = GroupCommit(database, _flush)
    wanted = ["a", "poison", "b"]
    answers = await asyncio.gather(*(group.add(name) for name in wanted), return_exceptions=True)
    assert answers[0::2] == ["A", "B"]
    assert isinstance(answers[1], IntegrityError)
    assert await database.read(names) == ["a", "b", "poison"]
    assert await group.add("c") == "C"


async def test_an_adder_that_gives_up_takes_nobody_with_it(database: Database) -> None:
    group = GroupCommit(database, _flush)
    adders = [asyncio.create_task(group.add(name)) for name in ("a", "b", "c")]
    await asyncio.sleep(0)  # let each of them add its row
    adders[1].cancel()
    answers = await asyncio.gather(*adders, return_exceptions=True)
    assert answers[0::2] == ["A", "C"]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert await database.read(names) == ["a", "b", "c"]


async def test_a_flush_that_answers_for_too_few_leaves_nobody_waiting(database: Database) -> None:
    def forgetful(session: Session, rows: Sequence[str]) -> list[str]:
        return _flush(session, rows)[1:]

    group = GroupCommit(database, forgetful)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(group.add(name) for name in ("a", "b", "c")), return_exceptions=True)
    assert all(isinstance(answer, ValueError) for answer in answers)
    assert await database.read(names) == []


async def test_after_draining_everything_added_is_committed(database: Database) -> None:
    group = GroupCommit(database, _flush, max_rows=3)
    adders = [asyncio.create_task(group.add(f"{n}")) for n in range(9)]
    await asyncio.sleep(0)  # let each of them add its row
    await group.drain()
    assert await database.read(names) == [f"{n}" for n in range(9)]
    await asyncio.gather(*adders)


async def test_draining_what_was_never_used_returns_at_once(database: Database) -> None:
    await GroupCommit(database, _flush).drain()


async def test_commits_and_their_rows_are_counted_and_failed_ones_are_not(database: Database) -> None:
    before = COMMITS.value("of this test"), ROWS.value("of this test")
    group = GroupCommit(database, _flush, name="of this test")
    await asyncio.gather(*(group.add(f"{n:03}") for n in range(10)))
    with pytest.raises(IntegrityError):
        await group.add("003")
    assert 1 <= COMMITS.value("of this test") - before[0] < 10
    assert ROWS.value("of this test") - before[1] == 10


class _Broken:
    """A flush that fails as a database does, so many times; it counts its calls."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self, session: Session, rows: Sequence[str]) -> list[str]:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return _flush(session, rows)


def _gone() -> OperationalError:
    return OperationalError("INSERT", {}, Exception("server closed the connection"), connection_invalidated=True)


def _bad_data() -> DataError:
    return DataError("INSERT", {}, Exception("invalid byte sequence"))


async def test_a_lost_connection_fails_the_whole_batch_at_once(database: Database) -> None:
    flush = _Broken(_gone())
    group = GroupCommit(database, flush)
    answers = await asyncio.gather(*(group.add(f"{n}") for n in range(64)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {OperationalError}
    assert flush.calls == 1
    assert await group.add("later") == "LATER"


@pytest.mark.parametrize("error", [Overdue("no answer in time"), NoConnection("none was free"), OSError("no route")])
async def test_a_database_that_does_not_answer_in_time_fails_the_whole_batch_at_once(
    database: Database, error: Exception
) -> None:
    flush = _Broken(error)
    group = GroupCommit(database, flush)
    answers = await asyncio.gather(*(group.add(f"{n}") for n in range(64)), return_exceptions=True)
    assert answers == [error] * 64
    assert flush.calls == 1
    assert await group.add("later") == "LATER"


async def test_no_answer_between_single_rows_fails_all_that_are_left(database: Database) -> None:
    flush = _Broken(_bad_data(), _bad_data(), Overdue("no answer in time"))
    group = GroupCommit(database, flush)
    answers = await asyncio.gather(*(group.add(f"{n}") for n in range(64)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DataError] + [Overdue] * 63
    assert flush.calls == 3


async def test_a_row_whose_caller_has_gone_is_not_tried_on_its_own(database: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()
    tried: list[str] = []

    def slow(session: Session, rows: Sequence[str]) -> list[str]:
        if len(rows) > 1:
            entered.set()
            assert go_on.wait(10)
        else:
            tried.extend(rows)
        return _flush(session, rows)

    await database.write(put, "poison")
    group = GroupCommit(database, slow)
    adders = [asyncio.create_task(group.add(name)) for name in ("a", "poison", "b")]
    await asyncio.to_thread(entered.wait, 10)
    adders[0].cancel()
    go_on.set()
    answers = await asyncio.gather(*adders, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, IntegrityError, str]
    assert tried == ["poison", "b"]
    assert await database.read(names) == ["b", "poison"]
    assert (group._rows, group._bytes) == (0, 0)


async def test_a_database_that_fails_between_single_rows_is_not_asked_again(database: Database) -> None:
    flush = _Broken(_bad_data(), _bad_data(), _gone())
    group = GroupCommit(database, flush)
    answers = await asyncio.gather(*(group.add(f"{n}") for n in range(64)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DataError] + [OperationalError] * 63
    assert flush.calls == 3


@pytest.mark.parametrize("bound", [{"most_waiting": 5}, {"most_bytes": 50, "size": lambda _: 10}])
async def test_beyond_its_bound_a_row_is_refused_at_once_and_what_waits_is_written(
    database: Database, bound: dict[str, Any]
) -> None:
    group = GroupCommit(database, _flush, **bound)
    waiting = [asyncio.create_task(group.add(f"{n}")) for n in range(5)]
    await asyncio.sleep(0)  # let each of them add its row
    with pytest.raises(Overfull):
        await group.add("too many")
    await asyncio.gather(*waiting)
    assert await group.add("later") == "LATER"
    assert await database.read(names) == [*(f"{n}" for n in range(5)), "later"]


async def test_a_caller_waits_no_longer_than_it_must_and_leaves_no_row_behind(database: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(session: Session, rows: Sequence[str]) -> list[str]:
        entered.set()
        assert go_on.wait(10)
        return _flush(session, rows)

    group = GroupCommit(database, slow, within=0.1)
    first = asyncio.create_task(group.add("under way"))
    await asyncio.to_thread(entered.wait, 10)
    late = await asyncio.gather(first, group.add("late"), return_exceptions=True)
    assert [type(each) for each in late] == [Overfull, Overfull]
    go_on.set()
    await group.drain()
    assert await database.read(names) == ["under way"]
    assert await group.add("later") == "LATER"
    assert (group._rows, group._bytes) == (0, 0)
