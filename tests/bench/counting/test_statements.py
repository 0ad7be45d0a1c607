"""The counter sees what the driver is asked, and takes the rest apart."""

import pytest
from sqlalchemy import insert, text
from sqlmodel import Session

from service.accounts.models import Account
from service.bench.counting.statements import Counts, counting
from service.kit.db.database import Database
from service.kit.system_clock import system_clock


@pytest.fixture
def counts() -> Counts:
    return Counts()


def _rows() -> list[dict[str, object]]:
    return [{"id": f"acc_{name}", "name": name, "created_at": system_clock()} for name in ("one", "two")]


def _put(session: Session) -> None:
    session.connection().execute(insert(Account), _rows())


async def test_many_rows_in_one_call_are_one_statement(database: Database, counts: Counts) -> None:
    with counting(database.engine, counts):
        await database.write(_put)
    assert counts.total == (1, 1)


async def test_a_savepoint_and_a_rollback_are_no_statements(database: Database, counts: Counts) -> None:
    def verb(session: Session) -> None:
        with session.begin_nested():
            session.connection().execute(text("SELECT 1"))
        raise LookupError

    with counting(database.engine, counts), pytest.raises(LookupError):
        await database.write(verb)
    assert counts.total == (1, 0)


async def test_a_reader_commits_nothing(database: Database, counts: Counts) -> None:
    with counting(database.engine, counts):
        await database.read(lambda session: session.connection().execute(text("SELECT 1")).scalar())
    assert counts.total == (1, 0)


async def test_after_the_count_nothing_is_counted(database: Database, counts: Counts) -> None:
    with counting(database.engine, counts):
        pass
    await database.write(_put)
    assert counts.total == (0, 0)
