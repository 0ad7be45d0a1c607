"""How SQLite is spoken to."""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

_SPARE = 2  # for who opens a transaction outside the threads


def sqlite_engine(url: URL, connections: int) -> Engine:
    """SQLite: durable, with foreign keys, and writers that take their lock at once."""
    engine = create_engine(
        url,
        connect_args={"timeout": 30, "check_same_thread": False},
        pool_size=connections + _SPARE,
        hide_parameters=True,  # errors are logged, and what was to be written may be a secret
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late
        # secure_delete: what was erased must not stay in pages that are free.
        pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "secure_delete=ON")
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes its lock at once: upgrading a read lock later can fail with "database is locked".
        writes = connection.get_execution_options().get("relay_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
