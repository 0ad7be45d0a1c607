"""Many rows in one call of the driver, on both databases alike."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, event, select

from service.kit.db.bulk import InsertMany, UpdateMany
from service.kit.db.columns import UtcTime
from service.kit.db.database import Database

pytestmark = pytest.mark.own_database  # tables of the tests' own

_AT = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
ROWS = Table(
    "many_rows",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("n", Integer),
    Column("at", UtcTime),
    Column("bytes", LargeBinary),
    Column("text", String),
)
_INSERT = InsertMany(ROWS, "id", "n", "at", "bytes", "text")
_UPDATE = UpdateMany(ROWS, "n", "at", "id", fixed=["text = NULL"])
_GIVEN = [
    ("one", 1, _AT, b"\x00\xff\\", 'odd "text", \\ {a} Żółć 🎵'),
    ("none", None, None, None, None),
    ("large", 2**31 - 1, _AT, b"", ""),
]


@pytest.fixture(autouse=True)
def table(database: Database) -> None:
    ROWS.create(database.engine)


def _stored(database: Database) -> dict[str, tuple[object, ...]]:
    with database.reading() as session:
        return {row[0]: tuple(row) for row in session.connection().execute(select(ROWS))}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_rows_are_stored_as_given(database: Database, count: int) -> None:
    with database.writing() as session:
        _INSERT.run(session.connection(), _GIVEN[:count])
    assert _stored(database) == {row[0]: row for row in _GIVEN[:count]}


def test_a_column_that_is_empty_in_every_row_is_null(database: Database) -> None:
    with database.writing() as session:
        _INSERT.run(session.connection(), [("none", None, None, None, None), ("nor this", None, None, None, None)])
    assert _stored(database)["none"] == ("none", None, None, None, None)


def test_the_rows_named_are_changed_and_no_others(database: Database) -> None:
    later = _AT.replace(hour=13)
    with database.writing() as session:
        _INSERT.run(session.connection(), _GIVEN)
        _UPDATE.run(session.connection(), [(7, later, "one"), (None, None, "large"), (1, later, "not there")])
    stored = _stored(database)
    assert stored["one"] == ("one", 7, later, b"\x00\xff\\", None)
    assert stored["large"] == ("large", None, None, b"", None)
    assert stored["none"] == _GIVEN[1]


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with database.writing() as session, pytest.raises(ValueError, match="without a zone"):
        _INSERT.run(session.connection(), [("one", 1, _AT.replace(tzinfo=None), None, None)])


def test_any_number_of_rows_is_one_call_of_the_driver(database: Database) -> None:
    calls: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: calls.append(told[2]))
    for count in (1, 3):
        calls.clear()
        with database.writing() as session:
            _INSERT.run(session.connection(), [(f"{count} {n}", n, None, None, None) for n in range(count)])
        assert len([call for call in calls if call.startswith("INSERT")]) == 1
