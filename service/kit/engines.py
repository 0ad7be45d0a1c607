"""How each of the two databases is spoken to."""

from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL

from service.kit import patience as patient
from service.kit.patience import FOREVER, Patience, time_left

_SPARE = 2  # for who opens a transaction outside the threads
_LEAST_CONNECT_SECONDS = 2  # libpq takes less for this much
_REFUSED = "unsupported startup parameter"  # as PgBouncer says it, and Neon of single ones


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


def postgres_engine(url: URL, connections: int, patience: Patience) -> Engine:
    """PostgreSQL, waited for as long as `patience` says. One that rests in the pool is tried before it is used."""
    engine = create_engine(
        url,
        # Server-side prepared statements break behind a transaction-mode pooler, and buy little here.
        connect_args={"prepare_threshold": None},
        pool_size=connections + _SPARE,
        max_overflow=0,
        pool_timeout=patience.lock or 30,
        pool_pre_ping=True,
        hide_parameters=True,
    )
    refused: set[str] = set()  # empty, or says that the way there takes no options
    _connect_with(engine, url, patience, refused)

    @event.listens_for(engine, "checkin")
    def rest(connection: Any, _record: Any) -> None:
        if connection is None or connection.closed:
            return
        connection.answer_within = patience.connect or FOREVER  # it is asked first whether it still lives
        if connection.read_only is False:  # after a reader; but a server that was made read-only is not to be overruled
            connection.read_only = None

    @event.listens_for(engine, "checkout")
    def work(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.answer_within = patience.answer

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        limits = patience.server_limits() if refused else {}
        if limits:
            settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())
            connection.execute(text(f"SELECT {settings}"))  # as SET LOCAL, in one round trip

    return engine


def _connect_with(engine: Engine, url: URL, patience: Patience, refused: set[str]) -> None:
    """`engine` connects with the limits. Where a pooler refuses `options`, `refused` says so from then on."""

    def opened(parameters: dict[str, Any]) -> patient.Connection:
        ours = patience.parameters(url, options=not refused)
        if time_left() < patience.connect:
            if time_left() < _LEAST_CONNECT_SECONDS:
                raise patient.TooLate("no time is left for a connection")
            ours["connect_timeout"] = int(time_left())
        return patient.Connection.connect(**(parameters | ours))

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> Any:
        try:
            made = opened(parameters)
        except psycopg.OperationalError as error:
            if refused or _REFUSED not in str(error):
                raise
            refused.add("options")
            made = opened(parameters)
        made.answer_within = patience.connect or FOREVER
        return made
