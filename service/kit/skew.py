"""How far this process's clock is from the database's. Leases and due times of several machines are compared."""

from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from service.kit.clock import Clock
from service.kit.database import Database

MOST_SECONDS = 5.0
"""Beyond this a process claims nothing: what it took would look free to others too early, and be done twice."""


async def clock_skew(database: Database, clock: Clock) -> float:
    """Return how many seconds the two clocks differ at least; 0 on SQLite, where there is one machine."""
    if database.is_sqlite:
        return 0.0
    before = clock()
    theirs = await database.read(_database_time)
    after = clock()
    return max((before - theirs).total_seconds(), (theirs - after).total_seconds(), 0.0)


def _database_time(session: Session) -> datetime:
    found: datetime = session.connection().execute(text("SELECT clock_timestamp()")).scalar_one()
    return found
