"""One code for two databases: SQLite (embedded, one process) and PostgreSQL (many processes).

Functions that touch the database are `def`, take a session first and run in a thread inside one transaction:
`await database.write(verb, argument)`. Nothing here, or anywhere, holds a transaction open across HTTP.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlmodel import Session

from service.kit.repeat import repeated
from service.kit.wake import CHANNEL, Wake

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 8
_TOPICS, _AFTER = "topics", "after_commit"
_ONE_MOMENT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

_log = logging.getLogger(__name__)


def normalise_url(url: str) -> URL:
    """The address SQLAlchemy wants: `postgres://` as Heroku writes it becomes psycopg's, options kept."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite":
        return parsed
    raise ValueError(f"{parsed.drivername!r} is not a database we speak: use sqlite:/// or postgresql://")


class Database:
    """An engine, its threads, and the waking that follows a commit."""

    def __init__(self, url: str, *, wake: Wake | None = None) -> None:
        self.url = normalise_url(url)
        self.wake = wake or Wake()
        self.is_sqlite = self.url.drivername == "sqlite"
        self.engine = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)
        # Several statements of a reader see one moment: always so on SQLite, on PostgreSQL only if asked for.
        self._readers = self.engine if self.is_sqlite else self.engine.execution_options(**_ONE_MOMENT)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="database")
        # SQLite has one writer. Queueing here is fair; its own busy handler polls and can starve.
        self._writer = threading.Lock()

    async def write(self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `verb(session, …)` returned, after the commit. An exception rolls everything back.

        PostgreSQL may break it off because of others; then `verb` is called again. What it changes is the session's.
        """

        def work() -> T:
            with self.writing() as session:
                return verb(session, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, repeated, work)

    async def read(self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `verb(session, …)` returned from one consistent look; nothing is written."""

        def work() -> T:
            with self.reading() as session:
                return verb(session, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that commits at the end, then wakes whom `wakes` named."""
        with self._one_writer(), self.engine.connect() as plain:
            connection = plain.execution_options(relay_writes=True)
            with Session(bind=connection, expire_on_commit=False) as session:
                try:
                    yield session
                    session.flush()
                    topics: set[str] = session.info.get(_TOPICS, set())
                    if topics and not self.is_sqlite:
                        self._notify(session, topics)
                    session.commit()
                except BaseException:
                    session.rollback()  # an object that was added is as new again, and the next try can add it
                    raise
        self.wake.tell(topics)
        for follow_up in session.info.get(_AFTER, ()):
            _follow(follow_up)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that is always rolled back."""
        with self._readers.connect() as connection, Session(bind=connection) as session:
            yield session

    @property
    def most_connections(self) -> int:
        """How many connections this process opens at once, at most: one a thread."""
        return _THREADS

    def close(self) -> None:
        """Every thread has finished and every connection is closed."""
        self._threads.shutdown(wait=True)
        self.engine.dispose()

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        if self.is_sqlite:
            with self._writer:
                yield
        else:
            yield

    def _notify(self, session: Session, topics: set[str]) -> None:
        for payload in self.wake.payloads(topics):
            session.connection().execute(
                text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": payload}
            )


def wakes(session: Session, *topics: str) -> None:
    """When this transaction has committed, those who wait for `topics` wake, here and in other processes."""
    session.info.setdefault(_TOPICS, set()).update(topics)


def after_commit(session: Session, follow_up: Callable[[], None]) -> None:
    """`follow_up()` is called once this transaction has committed, in the database's thread.

    What it raises is logged and goes no further: the write has succeeded, and must not look failed and be repeated.
    """
    session.info.setdefault(_AFTER, []).append(follow_up)


def serialise(session: Session, key: str) -> None:
    """Until this transaction ends, no other one passes the same `key`. On SQLite writers are alone anyway."""
    if session.connection().dialect.name == "postgresql":
        session.connection().execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def try_serialise(session: Session, key: str) -> bool:
    """Whether no other transaction passes the same `key` until this one ends; false: another one has it now."""
    if session.connection().dialect.name != "postgresql":
        return True
    held = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")
    return bool(session.connection().execute(held, {"key": key}).scalar())


def insert_ignoring_conflicts(connection: Connection, table: Table) -> Insert:
    """An INSERT that leaves rows that are there already as they are; `RETURNING` names only the new."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def _follow(follow_up: Callable[[], None]) -> None:
    try:
        follow_up()
    except Exception:  # noqa: BLE001 - whatever it was, the commit stands
        _log.exception("what was to follow a commit failed")


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": 30, "check_same_thread": False},
        pool_size=_THREADS + 2,
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


def _postgres_engine(url: URL) -> Engine:
    # Server-side prepared statements break behind a transaction-mode pooler, and buy little here.
    return create_engine(
        url,
        connect_args={"prepare_threshold": None},
        pool_size=_THREADS + 2,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
    )
