"""The PostgreSQL engine, with limits enforced at both ends. Where SQLite is used, nothing loads this.

The server ends what takes too long there. But a connection can go dead without closing: a proxy may still acknowledge
what it no longer forwards, and then neither the server's limits nor TCP's are noticed here. So each wait for an answer
has a limit of ours as well, after which the connection is given up.
"""

import time
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from psycopg.abc import PQGen
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL

from service.kit.db.patience import FOREVER, Patience, current_deadline, time_left

RV = TypeVar("RV")

_SPARE = 2  # for transactions outside the threads
_LEAST_CONNECT_SECONDS = 2  # libpq takes less for this much
_REFUSED = "unsupported startup parameter"  # as PgBouncer says it, and Neon of single ones


class TooLate(psycopg.OperationalError):
    """No answer came in the time it may take. Whether the last statement was carried out is not known."""


class Connection(psycopg.Connection[Any]):
    """A connection that gives itself up when an answer does not come in time."""

    answer_within = FOREVER

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait as psycopg does. Raise `TooLate`, and close the connection, where the time is up."""
        try:
            return super().wait(_watched(gen, self.answer_within), interval, timeout)
        except TooLate:
            self.pgconn.finish()
            raise


class AsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for the event loop. A wait that brings its own time-out, as that for a NOTIFY, keeps it."""

    answer_within = FOREVER

    async def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:  # noqa: ASYNC109
        """Wait as psycopg does. Raise `TooLate`, and close the connection, where the time is up."""
        try:
            limit = self.answer_within if timeout is None else FOREVER
            return await super().wait(_watched(gen, limit), interval, timeout)
        except TooLate:
            self.pgconn.finish()
            raise


@asynccontextmanager
async def connection_to(url: URL, patience: Patience) -> AsyncIterator[AsyncConnection]:
    """Open a connection outside any pool, for LISTEN and NOTIFY; each answer has as much time as connecting has."""
    parameters = patience.parameters(url, options=False)
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    async with await AsyncConnection.connect(address, autocommit=True, **parameters) as connection:
        connection.answer_within = patience.connect or FOREVER
        yield connection


def _watched(gen: PQGen[RV], seconds: float) -> Generator[Any, Any, RV]:
    """Run `gen`; raise `TooLate` once `seconds` or the call's deadline have passed. psycopg asks ten times a second."""
    until, deadline = time.monotonic() + seconds, current_deadline()
    try:
        state = next(gen)
        while True:
            ready = yield state
            now = time.monotonic()
            if now >= until or (deadline is not None and now >= deadline.at):
                raise TooLate("the database did not answer in time")
            state = gen.send(ready)
    except StopIteration as end:
        answer: RV = end.value
        return answer


def postgres_engine(url: URL, connections: int, patience: Patience) -> Engine:
    """Make an engine for PostgreSQL with the limits of `patience`. A pooled connection is tested before it is used."""
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
    def begin(connection: sqlalchemy.Connection) -> None:
        limits = patience.server_limits() if refused else {}
        if limits:
            settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())
            connection.execute(text(f"SELECT {settings}"))  # as SET LOCAL, in one round trip

    return engine


def _connect_with(engine: Engine, url: URL, patience: Patience, refused: set[str]) -> None:
    """Let `engine` connect with the limits. Where a pooler refuses `options`, `refused` says so from then on."""

    def opened(parameters: dict[str, Any]) -> Connection:
        ours = patience.parameters(url, options=not refused)
        if time_left() < patience.connect:
            if time_left() < _LEAST_CONNECT_SECONDS:
                raise TooLate("no time is left for a connection")
            ours["connect_timeout"] = int(time_left())
        return Connection.connect(**(parameters | ours))

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
