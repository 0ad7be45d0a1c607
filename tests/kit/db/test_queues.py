"""When rows are due next: of all queues in one statement, and no queue keeps the others waiting."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from service.bench.counting.statements import Counts, counting
from service.kit.db.database import Database
from service.kit.db.queues import (
    AT_ONCE,
    LEAST_PAUSE_SECONDS,
    NextDue,
    at_once_where,
    due_now,
    first_due,
    seconds_until_next,
)
from tests.kit.things import NOW, THING, make_table, put
from tests.waiting import until

pytestmark = pytest.mark.own_database  # tables of the tests' own

_DUE, _OTHER = first_due(THING, "state = 'due'"), first_due(THING, "state = 'other'")


@pytest.fixture(autouse=True)
def table(database: Database) -> None:
    make_table(database)


async def test_the_first_row_of_each_queue_is_found_in_one_statement(database: Database) -> None:
    await database.write(put, "late", late_by=timedelta(hours=1))
    await database.write(put, "now")
    await database.write(put, "finished", state="done", late_by=timedelta(hours=2))
    counts = Counts()
    with counting(database.engine, counts):
        due = await NextDue(database, {"a": [_DUE], "b": [_OTHER]}).read(10)
    assert due == {"a": NOW - timedelta(hours=1), "b": None}
    assert counts.total == (1, 0)


async def test_of_two_queues_of_one_name_the_first_counts(database: Database) -> None:
    await database.write(put, "one", late_by=timedelta(hours=1))
    await database.write(put, "two", state="other", late_by=timedelta(hours=2))
    for selects in ([_DUE, _OTHER], [_OTHER, _DUE]):
        assert await NextDue(database, {"a": selects}).read(10) == {"a": NOW - timedelta(hours=2)}
    assert await NextDue(database, {"a": [_DUE, first_due(THING, "state = 'none'")]}).read(10) == {
        "a": NOW - timedelta(hours=1)
    }


async def test_a_row_without_a_time_hides_none_that_has_one(database: Database) -> None:
    with database.writing() as session:
        session.connection().execute(insert(THING), [{"id": "never", "state": "due", "due_at": None}])
    await database.write(put, "now")
    assert await NextDue(database, {"a": [_DUE]}).read(10) == {"a": NOW}


async def test_what_may_happen_at_any_moment_is_due_at_once(database: Database) -> None:
    queues = NextDue(database, {"a": [at_once_where(THING, "lease_token IS NOT NULL")]})
    assert await queues.read(10) == {"a": None}
    with database.writing() as session:
        session.connection().execute(insert(THING), [{"id": "a", "state": "due", "lease_token": "x"}])
    assert await queues.read(10) == {"a": AT_ONCE}


def test_what_is_due_by_now_is_named_and_nothing_else() -> None:
    due = {"past": NOW, "future": NOW + timedelta(microseconds=1), "never": None}
    assert due_now(due, NOW) == ["past"]


@pytest.mark.parametrize(
    ("times", "pause"),
    [
        ([], 1),
        ([None], 1),
        ([NOW], 1),  # a loop has been told: it is asked again at the next sweep
        ([NOW + timedelta(seconds=0.6), NOW + timedelta(seconds=0.5), NOW], 0.5),
        ([NOW + timedelta(seconds=0.01)], LEAST_PAUSE_SECONDS),
        ([NOW + timedelta(days=9)], 1),
    ],
)
def test_the_next_look_is_when_a_row_is_due_and_at_the_latest_at_the_sweep(
    times: list[datetime | None], pause: float
) -> None:
    due = {str(n): at for n, at in enumerate(times)}
    assert seconds_until_next(due, NOW, 1) == pause


async def test_a_clock_that_is_set_back_waits_for_no_more_than_a_sweep(database: Database) -> None:
    await database.write(put, "a")
    due = await NextDue(database, {"a": [_DUE]}).read(10)
    assert due is not None
    before = NOW - timedelta(days=1)
    assert (due_now(due, before), seconds_until_next(due, before, 1)) == ([], 1)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_locked_table_is_waited_for_by_one_question_alone(database: Database) -> None:
    await database.write(put, "a")
    queues, counts = NextDue(database, {"a": [_DUE]}), Counts()

    async def has_answered() -> bool:
        return await queues.read(10) == {"a": NOW}

    with counting(database.engine, counts):
        with database.writing() as session:
            session.connection().execute(text("LOCK TABLE thing"))
            for _ in range(3):
                assert await queues.read(0.05) is None
        await until(has_answered)
    assert counts.total == (2, 1)  # the lock's, and one question


async def test_a_question_that_failed_is_asked_anew(database: Database) -> None:
    queues = NextDue(database, {"a": [_DUE]})
    with database.writing() as session:
        session.connection().execute(text("ALTER TABLE thing RENAME TO gone"))
    with pytest.raises(DBAPIError, match="thing"):
        await queues.read(10)
    with database.writing() as session:
        session.connection().execute(text("ALTER TABLE gone RENAME TO thing"))
    assert await queues.read(10) == {"a": None}
