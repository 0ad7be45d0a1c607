import asyncio
import contextlib
import threading
from contextlib import closing

import pytest
from sqlalchemy.exc import IntegrityError, InternalError
from sqlmodel import Session

from service.kit.db.database import (
    Database,
    advisory_lock,
    after_commit,
    insert_ignoring_conflicts,
    normalise_url,
    notify_on_commit,
)
from tests.kit.things import THING, count, make_table, names, put

pytestmark = pytest.mark.own_database  # tables of the tests' own


class PlannedError(Exception):
    """Raised by a test, to be found by it."""


async def test_what_is_written_can_be_read_by_the_next(database: Database) -> None:
    make_table(database)
    await database.write(put, "a", "b")
    assert await database.read(names) == ["a", "b"]


async def test_an_error_rolls_everything_back_and_reaches_the_caller(database: Database) -> None:
    def fail(session: Session) -> None:
        put(session, "a")
        raise PlannedError

    make_table(database)
    with pytest.raises(PlannedError):
        await database.write(fail)
    assert await database.read(count) == 0


async def test_a_database_error_reaches_the_caller_and_the_connection_is_fit_again(database: Database) -> None:
    make_table(database)
    await database.write(put, "a")
    with pytest.raises(IntegrityError):
        await database.write(put, "a")
    await database.write(put, "b")
    assert await database.read(names) == ["a", "b"]


async def test_nothing_written_while_reading_stays(database: Database) -> None:
    def write(session: Session) -> None:
        put(session, "a")

    make_table(database)
    with contextlib.suppress(InternalError):  # PostgreSQL refuses it outright; what counts is what stays
        await database.read(write)
    assert await database.read(count) == 0


def test_a_reader_sees_one_moment_however_often_it_looks(database: Database) -> None:
    make_table(database)
    with database.reading() as session:
        before = count(session)
        with database.writing() as other:
            put(other, "a")
        after = count(session)
    assert (before, after) == (0, 0)


async def test_what_follows_a_commit_finds_it_committed(database: Database) -> None:
    seen: list[int] = []

    def look() -> None:
        with database.reading() as session:
            seen.append(count(session))

    def write(session: Session) -> None:
        after_commit(session, look)
        put(session, "a")
        assert not seen

    make_table(database)
    await database.write(write)
    assert seen == [1]


async def test_nothing_follows_a_transaction_that_failed(database: Database) -> None:
    calls: list[str] = []

    def fail(session: Session) -> None:
        after_commit(session, lambda: calls.append("followed"))
        notify_on_commit(session, "topic")
        raise PlannedError

    database.wake.attach()
    woken = database.wake.subscribe("topic")
    with pytest.raises(PlannedError):
        await database.write(fail)
    await asyncio.sleep(0)
    assert not calls
    assert not woken.is_set()


async def test_a_follow_up_that_fails_does_not_make_the_write_fail(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def fail() -> None:
        raise PlannedError("after the commit")

    def write(session: Session) -> str:
        after_commit(session, fail)
        after_commit(session, lambda: calls.append("the next"))
        put(session, "a")
        return "written"

    make_table(database)
    assert await database.write(write) == "written"
    assert calls == ["the next"]
    assert "after the commit" in caplog.text


async def test_verbs_run_beside_the_event_loop(database: Database) -> None:
    def thread(_session: Session) -> int:
        return threading.get_ident()

    assert await database.write(thread) != threading.get_ident()
    assert await database.read(thread) != threading.get_ident()


async def test_writers_at_once_all_get_their_turn(database: Database) -> None:
    make_table(database)
    await asyncio.gather(*(database.write(put, f"{n:03}") for n in range(100)))
    assert await database.read(count) == 100


async def test_a_writer_in_another_process_is_waited_for(database: Database, database_url: str) -> None:
    make_table(database)
    with closing(Database(database_url)) as other:
        both = [database, other]
        await asyncio.gather(*(both[n % 2].write(put, f"{n:03}") for n in range(60)))
    assert await database.read(count) == 60


async def test_the_same_key_is_passed_by_one_transaction_at_a_time(database: Database) -> None:
    inside: list[int] = []
    most = []

    def pass_gate(session: Session, n: int) -> None:
        advisory_lock(session, "gate")
        inside.append(n)
        most.append(len(inside))
        count(session)
        inside.remove(n)

    make_table(database)
    await asyncio.gather(*(database.write(pass_gate, n) for n in range(30)))
    assert set(most) == {1}


async def test_rows_that_are_there_already_are_left_and_not_named(database: Database) -> None:
    def write(session: Session, *wanted: str) -> list[str]:
        connection = session.connection()
        statement = insert_ignoring_conflicts(connection, THING).returning(THING.c.id)
        return sorted(connection.execute(statement, [{"id": name} for name in wanted]).scalars())

    make_table(database)
    assert await database.write(write, "a", "b") == ["a", "b"]
    assert await database.write(write, "b", "c") == ["c"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_an_address_as_the_host_writes_it_works(postgres_url: str, scheme: str) -> None:
    address = postgres_url.replace("postgresql", scheme, 1) + "&sslmode=disable&application_name=as+it+comes"
    with closing(Database(address)) as database, database.reading() as session:
        raw = session.connection().connection.driver_connection
        assert raw is not None
        assert raw.info.parameter_status("application_name") == "as it comes"


@pytest.mark.parametrize("address", ["mysql://localhost/relay", "postgresql+asyncpg://localhost/relay"])
def test_a_database_we_do_not_speak_is_refused_with_what_to_use(address: str) -> None:
    with pytest.raises(ValueError, match="use sqlite:/// or postgresql://"):
        normalise_url(address)


def test_sqlite_is_durable_and_keeps_foreign_keys(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database, database.reading() as session:
        connection = session.connection()
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


async def test_writers_that_wait_for_sqlite_keep_their_order_and_hold_up_no_reader(sqlite_url: str) -> None:
    names_in_order = [f"{n:02}" for n in range(20)]  # more than there are threads
    done: list[str] = []

    async def write(database: Database, name: str) -> None:
        await database.write(put, name)
        done.append(name)

    with closing(Database(sqlite_url)) as database:
        make_table(database)
        with database.writing():
            writers = [asyncio.create_task(write(database, name)) for name in names_in_order]
            async with asyncio.timeout(10):
                assert await database.read(count) == 0
        await asyncio.gather(*writers)
    assert done == names_in_order
