"""Faults of ours that pass, brought about from outside: each holds while its context is open, and then is gone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, text

from service.kit.db import postgres
from service.kit.db.database import Database


@contextmanager
def refusing(database: Database, error: Exception) -> Iterator[None]:
    """Let PostgreSQL refuse: open connections are closed, and new ones are refused."""

    def refuse(**_: Any) -> None:
        raise error

    database.engine.dispose()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(postgres.Connection, "connect", refuse)
        yield


@contextmanager
def down(database: Database) -> Iterator[None]:
    """Let nothing answer; on SQLite the file cannot be opened."""
    if not database.is_sqlite:
        with refusing(database, psycopg.OperationalError("connection failed: Connection refused")):
            yield
        return
    path = Path(database.url.database or "")
    database.engine.dispose()
    away = path.rename(path.with_suffix(".away"))
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        away.rename(path)


@contextmanager
def out_of_connections(database: Database) -> Iterator[None]:
    """Let the server have no connection left, in its words. On SQLite another writer does not end."""
    if not database.is_sqlite:
        with refusing(database, psycopg.OperationalError('FATAL:  too many connections for role "relay"')):
            yield
        return
    with closing(sqlite3.connect(database.url.database or "", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with _each_connection(database, "PRAGMA busy_timeout = 10"):
            yield
        other.execute("ROLLBACK")


@contextmanager
def read_only(database: Database) -> Iterator[None]:
    """Let reads be answered, and writes be refused."""
    if database.is_sqlite:
        with _each_connection(database, "PRAGMA query_only = ON"):
            yield
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    database.engine.dispose()
    try:
        yield
    finally:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SET default_transaction_read_only = off"))
            connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
        database.engine.dispose()


@contextmanager
def full(database: Database) -> Iterator[None]:
    """Let nothing grow. On PostgreSQL a stand-in says so, in the server's words."""
    if database.is_sqlite:
        with database.reading() as session:
            pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
        with _each_connection(database, f"PRAGMA max_page_count = {pages}"):
            yield
        return

    def refuse(_cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("INSERT", "UPDATE")):
            raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    names = ("do_execute", "do_executemany")
    for name in names:
        event.listen(database.engine, name, refuse)
    try:
        yield
    finally:
        for name in names:
            event.remove(database.engine, name, refuse)


@contextmanager
def _each_connection(database: Database, statement: str) -> Iterator[None]:
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute(statement)

    event.listen(database.engine, "connect", prepare)
    database.engine.dispose()
    try:
        yield
    finally:
        event.remove(database.engine, "connect", prepare)
        database.engine.dispose()
