"""Facts of the PostgreSQL server: the connections that it allows us, and its clock."""

from datetime import datetime

import structlog
from sqlalchemy import text
from sqlmodel import Session

from service.kit.clock import Clock
from service.kit.db.database import Database

MOST_SKEW_SECONDS = 5.0
"""The most that this process's clock may differ from the database's. Beyond it a process claims nothing: its rows
would look free to others too early, and be processed twice."""
_SPARE = 3  # for a migration, and for people with psql

log = structlog.get_logger()


def connections_allowed(session: Session) -> int:
    """Return how many connections the server allows this role in this database."""
    limits = [int(_setting(session, "max_connections")) - int(_setting(session, "superuser_reserved_connections"))]
    for statement in (
        "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user",
        "SELECT datconnlimit FROM pg_database WHERE datname = current_database()",
    ):
        limit = session.connection().execute(text(statement)).scalar()
        limits += [limit] if limit is not None and limit >= 0 else []
    return min(limits)


def connections_taken(session: Session) -> int:
    """Return how many connections of this role there are, this one among them."""
    mine = "SELECT count(*) FROM pg_stat_activity WHERE usename = current_user"
    return int(session.connection().execute(text(mine)).scalar_one())


async def log_connections(database: Database, processes: int) -> None:
    """Log what `processes` like this one may take of what is allowed; a warning, where too little is left."""
    if database.is_sqlite:
        return
    allowed, taken = await database.read(lambda session: (connections_allowed(session), connections_taken(session)))
    needed = processes * (database.most_connections + 1)  # one more to listen
    counts = {"needed": needed, "taken": taken, "allowed": allowed}
    if needed + taken + _SPARE > allowed:
        log.warning(
            "database.connections", **counts, advice="lower DATABASE_CONNECTIONS or WEB_CONCURRENCY, or a larger plan"
        )
    else:
        log.info("database.connections", **counts)


def _setting(session: Session, name: str) -> str:
    return str(session.connection().execute(text("SELECT current_setting(:name)"), {"name": name}).scalar_one())


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
