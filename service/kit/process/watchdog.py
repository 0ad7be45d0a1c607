"""Ends a process that PostgreSQL leaves without an answer for minutes, so that its platform starts a new one.

A refusal is an answer: a new process would get the same, would not even start, and so make the outage longer.

It has a thread of its own: neither a blocked event loop nor a database thread that hangs can keep it from looking.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service.kit.db.database import Database
from service.kit.db.patience import Deadline
from service.kit.errors import Overdue
from service.kit.faults import fault_of

_LOOKS = 10  # in the time that may pass
_STATUS = 1

log = structlog.get_logger()


class Watchdog:
    """Looks whether `database` still answers. `end()` is called once it has not for `seconds`."""

    def __init__(self, database: Database, seconds: float, end: Callable[[], object]) -> None:
        self._database = database
        self._seconds = seconds
        self._end = end
        self._stopped = threading.Event()
        self._asked: Future[None] | None = None

    def watch(self) -> None:
        """Watch until it is stopped, or has called `end`."""
        good_at = time.monotonic()
        while not self._stopped.wait(self._seconds / _LOOKS):
            if self._asked is None or self._asked.done():
                with contextlib.suppress(Overdue):  # the threads take nothing new: the process ends anyway
                    self._asked = self._database.call(self._ask, Deadline(self._seconds))
            if self._is_refused():
                good_at = time.monotonic()
            good_at = max(good_at, self._database.good_at)
            if (silent := time.monotonic() - good_at) > self._seconds and not self._stopped.is_set():
                log.critical(
                    "database.lost", seconds=round(silent), advice="this process ends; is PostgreSQL reachable?"
                )
                self._end()
                return

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def _ask(self) -> None:
        with self._database.reading() as session:
            session.connection().execute(text("SELECT 1"))

    def _is_refused(self) -> bool:
        """Return True if the last question was refused. Wait a moment for its end."""
        if self._asked is None:
            return False
        try:
            return _is_refusal(self._asked.exception(self._seconds / _LOOKS))
        except (TimeoutError, CancelledError):
            return False


def _is_refusal(error: BaseException | None) -> bool:
    """Return True if PostgreSQL, or the way there, refused for a reason that passes. Silence is not a refusal."""
    import psycopg  # noqa: PLC0415 - only PostgreSQL is watched, and SQLite does without its driver

    from service.kit.db.postgres import TooLate  # noqa: PLC0415

    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.Error) or isinstance(cause, TooLate | psycopg.errors.ConnectionTimeout):
        return False
    return fault_of(cause) is not None


@contextmanager
def watched(database: Database, seconds: float) -> Iterator[None]:
    """End this process at once, as `kill -9` would, if PostgreSQL does not answer for `seconds`, inside."""
    if database.is_sqlite or not seconds:
        yield
        return
    dog = Watchdog(database, seconds, lambda: os._exit(_STATUS))
    threading.Thread(target=dog.watch, name="watchdog", daemon=True).start()
    try:
        yield
    finally:
        dog.stop()
