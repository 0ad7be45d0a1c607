"""One code for two databases: SQLite (embedded, one process) and PostgreSQL (many processes).

Functions that touch the database are `def`, take a session first and run in a thread inside one transaction:
`await database.write(verb, argument)`. Nothing here, or anywhere, holds a transaction open across HTTP.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlmodel import Session

from service.kit.concurrency.wake import CHANNEL, Wake
from service.kit.db.deadlock_retry import retry_deadlocks, waited_for_a_lock
from service.kit.db.patience import FOREVER, Deadline, Patience, within
from service.kit.errors import Overdue

P = ParamSpec("P")
T = TypeVar("T")

CONNECTIONS = 8
_CLOSING_SECONDS = 3.0
_STUCK_SECONDS = 1.0  # after its deadline, a thread may hang where none is looked at: in a name look-up
_SPARE = 3  # the writer, and who opens a transaction outside the threads
_TOPICS, _AFTER = "topics", "after_commit"
_ONE_MOMENT: dict[str, Any] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

_log = logging.getLogger(__name__)


def normalise_url(url: str) -> URL:
    """Return the URL that SQLAlchemy needs: `postgres://`, as Heroku writes it, becomes psycopg's; options are kept."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError("no address of a database") from error
    if parsed.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "sqlite":
        return parsed
    raise ValueError(f"{parsed.drivername!r} is not a database we speak: use sqlite:/// or postgresql://")


class Database:
    """An engine, its threads, and the waking that follows a commit."""

    def __init__(
        self,
        url: str,
        *,
        wake: Wake | None = None,
        patience: Patience | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        self.url = normalise_url(url)
        self.wake = wake or Wake()
        self.is_sqlite = self.url.drivername == "sqlite"
        self.patience = (patience or Patience()).of(self.url)
        self.most_connections = connections
        """The most connections that this process opens at once: one a thread."""
        self.engine = _engine(self.url, connections, self.patience)
        # Several statements of a reader see one moment: always so on SQLite, on PostgreSQL only if asked for.
        self._readers = self.engine if self.is_sqlite else self.engine.execution_options(**_ONE_MOMENT)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="database")
        # SQLite has one writer. Writers that wait in turn, in one thread, hold up no reader and keep their order.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="writer") if self.is_sqlite else self._threads
        self._most_seconds = FOREVER if self.is_sqlite else self.patience.answer
        self._calls: dict[Future[Any], Deadline] = {}
        self.good_at = time.monotonic()
        """When a transaction last went well, by the monotonic clock."""
        self.written_at = self.good_at
        """The same of one that writes."""
        # For writers in threads of their own, as in commands: SQLite's busy handler polls and can starve.
        self._writer = threading.Lock()

    async def write(self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `verb(session, …)` returned, after the commit. An exception rolls everything back.

        PostgreSQL may abort it because of other transactions; then `verb` is called again. So it must change nothing
        but what its session holds.
        """

        def work() -> T:
            with self.writing() as session:
                return verb(session, *args, **kwargs)

        deadline = Deadline(self._most_seconds)
        while True:
            try:
                return await self._called(lambda: retry_deadlocks(work), deadline, self._writing)
            except DBAPIError as error:
                if not waited_for_a_lock(error) or deadline.left < self.patience.lock:
                    raise

    async def read(self, verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `verb(session, …)` returned from one consistent snapshot; nothing is written."""

        def work() -> T:
            with self.reading() as session:
                return verb(session, *args, **kwargs)

        return await self._called(work, Deadline(self._most_seconds), self._threads)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that commits at the end, then wakes the topics that `notify_on_commit` named."""
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
        self.good_at = self.written_at = time.monotonic()
        self.wake.notify(topics)
        for follow_up in session.info.get(_AFTER, ()):
            _follow(follow_up)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that is always rolled back."""
        with self._readers.connect() as connection, Session(bind=connection) as session:
            yield session
        self.good_at = time.monotonic()

    def call(self, work: Callable[[], T], deadline: Deadline, threads: ThreadPoolExecutor | None = None) -> Future[T]:
        """Run `work` in a thread; its transactions end by `deadline`. May be called from any thread."""

        def run() -> T:
            if deadline.left <= 0:
                raise Overdue("no connection was free in time")
            with within(deadline):
                return work()

        try:
            future = (threads or self._threads).submit(run)
        except RuntimeError as error:
            raise Overdue("this process ends") from error
        self._calls[future] = deadline
        future.add_done_callback(lambda done: self._calls.pop(done, None))
        return future

    def hurry(self, seconds: float) -> None:
        """Limit every call to PostgreSQL to this many seconds from now on; for a process that ends."""
        if self.is_sqlite:
            return
        self._most_seconds = min(self._most_seconds, seconds)
        for deadline in list(self._calls.values()):
            deadline.hurry(seconds)

    def close(self) -> None:
        """Wait a moment for what is under way, give up the rest, and close every connection."""
        for threads in (self._threads, self._writing):
            threads.shutdown(wait=False)
        self.hurry(_CLOSING_SECONDS)
        wait(list(self._calls), None if self.is_sqlite else _CLOSING_SECONDS + _STUCK_SECONDS)
        for threads in (self._threads, self._writing):
            threads.shutdown(wait=False, cancel_futures=True)
        self.engine.dispose()

    async def _called(self, work: Callable[[], T], deadline: Deadline, threads: ThreadPoolExecutor) -> T:
        """Return what `work` returned in a thread. A thread that hangs all the same is left behind."""
        future = asyncio.wrap_future(self.call(work, deadline, threads))
        if deadline.at == FOREVER:
            return await future
        try:
            async with asyncio.timeout(deadline.left + _STUCK_SECONDS) as limit:
                return await future
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Overdue("the database did not answer in time") from error

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


def _engine(url: URL, connections: int, patience: Patience) -> Engine:
    if url.drivername == "sqlite":
        return _sqlite_engine(url, connections)
    from service.kit.db.postgres import postgres_engine  # noqa: PLC0415 - its driver is 9 MB that SQLite does without

    return postgres_engine(url, connections, patience)


def _sqlite_engine(url: URL, connections: int) -> Engine:
    """Make an engine for SQLite: durable, with foreign keys, and writers that take their lock at once."""
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


def notify_on_commit(session: Session, *topics: str) -> None:
    """Wake those who wait for `topics` once this transaction has committed, here and in other processes."""
    session.info.setdefault(_TOPICS, set()).update(topics)


def after_commit(session: Session, follow_up: Callable[[], None]) -> None:
    """Call `follow_up()` once this transaction has committed, in the database's thread.

    What it raises is logged and goes no further: the write has succeeded, and must not look failed and be repeated.
    """
    session.info.setdefault(_AFTER, []).append(follow_up)


def advisory_lock(session: Session, key: str) -> None:
    """Lock `key` until this transaction ends; wait for it. On SQLite there is one writer at a time anyway."""
    if session.connection().dialect.name == "postgresql":
        session.connection().execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})


def try_advisory_lock(session: Session, key: str) -> bool:
    """Lock `key` until this transaction ends, without waiting. Return False if another transaction has it now."""
    if session.connection().dialect.name != "postgresql":
        return True
    held = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))")
    return bool(session.connection().execute(held, {"key": key}).scalar())


def insert_ignoring_conflicts(connection: Connection, table: Table) -> Insert:
    """Return an INSERT that leaves rows that are there already as they are; its `RETURNING` names only the new."""
    return insert_ignoring_conflicts_on(connection.dialect.name, table)


def insert_ignoring_conflicts_on(dialect: str, table: Table) -> Insert:
    """Return the same for a statement that is built once, before there is a connection."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def _follow(follow_up: Callable[[], None]) -> None:
    try:
        follow_up()
    except Exception:  # noqa: BLE001 - whatever it was, the commit stands
        _log.exception("what was to follow a commit failed")
