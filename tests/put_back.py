"""The PostgreSQL database of tests that change the schema: put back after each where that can be done, else made anew.

Making and dropping one costs half a second of CPU; most of these tests only add a table of their own.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from tests import postgres

_TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1
"""
_WRITTEN = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
        AND pg_relation_size(oid) > 0
"""
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_LEAVE_SECONDS = 1
# All that a test could change, and that a new database would not have: also what is set for the database itself.
_FINGERPRINT = """
    SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
        SELECT concat_ws(' ', 'namespace', nspname) AS line FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast_temp)_'
        UNION ALL SELECT concat_ws(' ', relkind, relname, relpersistence, relrowsecurity, reloptions) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', attrelid::regclass, attnum, attname, atttypid, atttypmod, attnotnull)
            FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        UNION ALL SELECT concat_ws(' ', adrelid::regclass, adnum, pg_get_expr(adbin, adrelid)) FROM pg_attrdef
        UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid))
            FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index
            WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        UNION ALL SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
            WHERE NOT tgisinternal
        UNION ALL SELECT concat_ws(' ', 'function', oid::regprocedure) FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws(' ', 'type', typname) FROM pg_type
            WHERE typnamespace = 'public'::regnamespace AND typtype IN ('d', 'e')
        UNION ALL SELECT concat_ws(' ', 'setting', setrole, setconfig) FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL SELECT concat_ws(' ', 'extension', extname) FROM pg_extension
        UNION ALL SELECT concat_ws(' ', 'database', datconnlimit, datallowconn) FROM pg_database
            WHERE datname = current_database()
        UNION ALL SELECT concat_ws(' ', 'at', version_num) FROM alembic_version
    ) AS lines
"""


class OwnDatabases:
    """Lends one migrated, empty database at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: tuple[str, AbstractContextManager[str]] | None = None
        self._as_new: tuple[str, list[str]] = ("", [])  # of every one: all come from one template

    @contextmanager
    def lend(self, name: str) -> Iterator[str]:
        """Yield the address of a database that is as new; `name` is for one that has to be made."""
        if self._kept is None:
            made = postgres.fresh_database(self._folder, name)
            self._kept = made.__enter__(), made
            self._as_new = _look(self._kept[0])
        yield self._kept[0]
        if not self._put_back(self._kept[0]):
            self.close()

    def close(self) -> None:
        """Drop the database that is kept."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[1].__exit__(None, None, None)

    def _put_back(self, url: str) -> bool:
        """Return True if the database is as new again.

        Not so where a connection is left: it may be that of a process which would go on writing.
        """
        fingerprint, tables = self._as_new
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                if not _wait_until_alone(connection):
                    return False
                added = [name for (name,) in connection.execute(_TABLES) if name not in tables]
                if added:
                    connection.execute(sql.SQL("DROP TABLE {} CASCADE").format(_names(added)))
                if connection.execute(_FINGERPRINT).fetchone() != (fingerprint,):
                    return False
                _empty(connection)
        except psycopg.Error:
            return False
        return True


def _look(url: str) -> tuple[str, list[str]]:
    with psycopg.connect(url, autocommit=True) as connection:
        (found,) = connection.execute(_FINGERPRINT).fetchone() or ("",)
        return found, [name for (name,) in connection.execute(_TABLES)]


def _wait_until_alone(connection: psycopg.Connection) -> bool:
    """Return True as soon as no other connection is there: one that was closed is seen for a moment."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while connection.execute(_OTHERS).fetchone() != (0,):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def _empty(connection: psycopg.Connection) -> None:
    """Truncate what was written, which leaves files as short as new ones, and forget what was learnt of the rows."""
    written = [name for (name,) in connection.execute(_WRITTEN)]
    if written:
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(_names(written)))
    connection.execute("DELETE FROM pg_statistic WHERE starelid >= 16384")  # those below are the system's own


def _names(tables: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, tables))
