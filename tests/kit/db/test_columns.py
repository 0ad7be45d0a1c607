from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import StatementError
from sqlmodel import Session

from service.kit.db.database import Database
from tests.kit.things import NOW, THING, make_table

pytestmark = pytest.mark.own_database  # tables of the tests' own


def _put(session: Session, at: datetime | None) -> None:
    session.connection().execute(insert(THING).values(id="a", due_at=at))


def _get(session: Session) -> datetime | None:
    found: datetime | None = session.connection().execute(select(THING.c.due_at)).scalar_one()
    return found


def test_a_time_comes_back_as_it_went_in_and_in_utc(database: Database) -> None:
    make_table(database)
    at = datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-5)))
    with database.writing() as session:
        _put(session, at)
    with database.reading() as session:
        found = _get(session)
    assert found == at
    assert found is not None
    assert found.tzinfo is UTC


def test_no_time_comes_back_as_none(database: Database) -> None:
    make_table(database)
    with database.writing() as session:
        _put(session, None)
        assert _get(session) is None


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    make_table(database)
    with database.writing() as session, pytest.raises(StatementError, match="a time without a zone"):
        _put(session, NOW.replace(tzinfo=None))


def test_times_compare_in_the_database_whatever_their_zone(database: Database) -> None:
    make_table(database)
    tokyo = timezone(timedelta(hours=9))
    with database.writing() as session:
        _put(session, NOW)
        earlier = select(THING.c.id).where(THING.c.due_at < (NOW + timedelta(microseconds=1)).astimezone(tokyo))
        later = select(THING.c.id).where(THING.c.due_at < NOW.astimezone(tokyo))
        assert session.connection().execute(earlier).scalar() == "a"
        assert session.connection().execute(later).scalar() is None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_stores_an_instant_and_not_a_wall_clock(database: Database) -> None:
    make_table(database)
    with database.writing() as session:
        _put(session, NOW)
        kind = session.connection().execute(text("SELECT pg_typeof(due_at)::text FROM thing")).scalar_one()
    assert kind == "timestamp with time zone"
