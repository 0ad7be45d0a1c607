"""A table of the tests' own: the cellar's tools know none of the product's."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, MetaData, String, Table, func, insert, select
from sqlmodel import Session

from service.kit.db.columns import UtcTime
from service.kit.db.database import Database

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

THING = Table(
    "thing",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False, default="due"),
    Column("due_at", UtcTime),
    Column("lease_token", String),
)


def make_table(database: Database) -> None:
    """The table is there, and empty."""
    THING.create(database.engine)


def put(session: Session, *names: str, state: str = "due", late_by: timedelta = timedelta(0)) -> None:
    """The rows `names` are there."""
    rows = [{"id": name, "state": state, "due_at": NOW - late_by} for name in names]
    session.connection().execute(insert(THING), rows)


def names(session: Session) -> list[str]:
    """Which rows are there, sorted."""
    return sorted(session.connection().execute(select(THING.c.id)).scalars())


def count(session: Session) -> int:
    """How many rows are there."""
    return session.connection().execute(select(func.count()).select_from(THING)).scalar_one()
