"""A transaction that PostgreSQL broke off is begun again, and no other is."""

import asyncio
import threading
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import registry
from sqlmodel import Session

from service.kit.db.database import Database, advisory_lock, after_commit
from service.kit.db.deadlock_retry import REPEATED, retry_deadlocks
from tests.kit.things import THING, count, make_table, names, put

pytestmark = pytest.mark.own_database  # tables of the tests' own


def _broken_off(error: type[psycopg.Error], times: int) -> tuple[list[int], Callable[[], str]]:
    """The tries made so far, and what fails the first so many times."""
    tries: list[int] = []

    def transaction() -> str:
        tries.append(1)
        if len(tries) <= times:
            raise OperationalError("UPDATE", {}, error())
        return "done"

    return tries, transaction


async def test_two_that_wait_for_one_another_are_both_written_once(database: Database) -> None:
    """On SQLite writers are alone, so neither ever waits for the other."""
    make_table(database)
    met, followed = threading.Barrier(2), list[str]()
    begun: list[str] = []

    def cross(session: Session, mine: str, others: str) -> None:
        after_commit(session, lambda: followed.append(mine))
        advisory_lock(session, mine)
        put(session, mine)
        first = mine not in begun
        begun.append(mine)
        if first and not database.is_sqlite:
            met.wait(30)
        advisory_lock(session, others)

    before = REPEATED.value("deadlock")
    await asyncio.gather(database.write(cross, "a", "b"), database.write(cross, "b", "a"))
    assert await database.read(names) == ["a", "b"]
    assert sorted(followed) == ["a", "b"]
    assert REPEATED.value("deadlock") - before == (0 if database.is_sqlite else 1)


async def test_what_the_first_try_added_the_next_one_adds(database: Database) -> None:
    """The caller's object had been flushed: to SQLAlchemy it must not seem to be in the table already."""

    class Thing:
        id: str
        state: str

    make_table(database)
    mapping = registry()
    mapping.map_imperatively(Thing, THING)
    thing, tries = Thing(), list[int]()

    def add(session: Session) -> None:
        session.add(thing)
        session.flush()
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("INSERT", {}, psycopg.errors.DeadlockDetected())

    thing.id, thing.state = "a", "due"
    await database.write(add)
    mapping.dispose()
    assert await database.read(names) == ["a"]


@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_what_was_broken_off_is_begun_again_until_it_is_through(error: type[psycopg.Error]) -> None:
    tries, transaction = _broken_off(error, 4)
    assert retry_deadlocks(transaction) == "done"
    assert len(tries) == 5


def test_what_is_broken_off_again_and_again_fails_in_the_end() -> None:
    tries, transaction = _broken_off(psycopg.errors.DeadlockDetected, 99)
    with pytest.raises(OperationalError):
        retry_deadlocks(transaction)
    assert len(tries) == 5


def test_a_lost_connection_is_not_repeated() -> None:
    """Whether its commit came through, nobody knows."""
    tries, transaction = _broken_off(psycopg.OperationalError, 1)
    with pytest.raises(OperationalError):
        retry_deadlocks(transaction)
    assert len(tries) == 1


async def test_a_conflict_of_keys_is_not_repeated(database: Database) -> None:
    make_table(database)
    calls: list[str] = []

    def twice(session: Session) -> None:
        calls.append("called")
        put(session, "a")
        put(session, "a")

    with pytest.raises(IntegrityError):
        await database.write(twice)
    assert calls == ["called"]
    assert await database.read(count) == 0
