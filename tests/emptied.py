"""The PostgreSQL database that the tests of one process use in turn, emptied after each.

Making and dropping one takes 400 ms; emptying takes a few. What a test must not leave behind is an error of that test.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests import postgres
from tests.kept_connections import KeptConnections

_VACUUM_EVERY = 50  # autovacuum is off, and deleted rows would be read by each later scan
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.002

_OBJECTS = """
    SELECT relkind::text || ' ' || relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S', 'v') ORDER BY 1
"""
_COLUMNS = """
    SELECT count(*) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND NOT attisdropped
"""
_OTHERS = """
    SELECT pid, state, query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL(%s)
"""
_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL(%s)
"""


class SharedDatabase:
    """A migrated database and the connection that empties it."""

    def __init__(self, url: str, connection: psycopg.Connection, kept: KeptConnections) -> None:
        self.url = url
        self._kept = kept
        self._connection = connection
        self._schema = self._read_schema()
        tables = [name[2:] for name in self._schema[0] if name.startswith("r ") and name != "r alembic_version"]
        sequences = [name[2:] for name in self._schema[0] if name.startswith("S ")]
        self._deletes = sql.SQL("; ").join(
            [
                *(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for table in tables),
                *(sql.SQL("SELECT setval({}, 1, false)").format(sql.Literal(name)) for name in sequences),
            ]
        )
        self._emptied = 0
        self._revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()

    @classmethod
    @contextmanager
    def on(cls, folder: Path, name: str) -> Iterator["SharedDatabase"]:
        """Yield the database `name`, made on the server in `folder`; drop it at the end."""
        with postgres.fresh_database(folder, name) as url, psycopg.connect(url, autocommit=True) as connection:
            # Rows go in any order, whatever points at them.
            connection.execute("SET session_replication_role = replica")
            kept = KeptConnections(name)
            with pytest.MonkeyPatch.context() as patch:
                kept.install(patch)
                yield cls(url, connection, kept)
            kept.close_all()

    def empty(self) -> None:
        """End all other connections, delete every row and begin the sequences anew.

        Raise `AssertionError` where the schema is not as it was: the test needs the mark `own_database`.
        """
        self._end_other_connections()
        found = self._read_schema()
        assert found == self._schema, f"the schema was changed by a test without the mark own_database: {found}"
        self._connection.execute(self._deletes)
        self._connection.execute("UPDATE alembic_version SET version_num = %s", self._revision)
        self._emptied += 1
        if self._emptied % _VACUUM_EVERY == 0:
            self._connection.execute("VACUUM")

    def _end_other_connections(self) -> None:
        """End them one by one as they are seen, but for those that rest. A closed one is seen for a moment.

        The server's own wait for the end of a connection looks only ten times a second.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        kept = [self._kept.pids]
        others = self._connection.execute(_OTHERS, kept).fetchall()
        while others:
            assert time.monotonic() < deadline, f"connections that do not end: {others}"
            time.sleep(_LOOK_SECONDS)
            self._connection.execute(_END_OTHERS, kept)
            others = self._connection.execute(_OTHERS, kept).fetchall()

    def _read_schema(self) -> tuple[list[str], int]:
        names = [name for (name,) in self._connection.execute(_OBJECTS)]
        columns = self._connection.execute(_COLUMNS).fetchone()
        return names, columns[0] if columns else 0
