"""Faults of ours that pass: the database is away, or nothing can be written. The same work may succeed a little later.

The caller is asked to try again. Everything else that fails is a mistake in the code, and is not listed.
"""

import errno
import re
import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.kit.errors import Overdue


class Fault(Enum):
    """A fault that passes; the value is the API's code for it."""

    UNAVAILABLE = "database_unavailable"
    OVERLOADED = "overloaded"
    READ_ONLY = "read_only"
    FULL = "storage_full"

    @property
    def of_writing(self) -> bool:
        """Return True if reading still works."""
        return self in (Fault.READ_ONLY, Fault.FULL)


_OF_SQLSTATE = {
    "25006": Fault.READ_ONLY,
    "25P03": Fault.UNAVAILABLE,  # idle in a transaction for too long
    "40001": Fault.OVERLOADED,
    "40P01": Fault.OVERLOADED,
    "53100": Fault.FULL,
    "55P03": Fault.OVERLOADED,
    "57014": Fault.OVERLOADED,  # a statement took too long
}
_OF_SQLSTATE_CLASS = {"08": Fault.UNAVAILABLE, "53": Fault.OVERLOADED, "57": Fault.UNAVAILABLE}
# A connection that is refused has no SQLSTATE: words are all there is. PostgreSQL's, then PgBouncer's.
_NO_ROOM = re.compile(
    r"too many (clients|connections)|remaining connection slots|no more connections|query_wait_timeout"
)
# PostgreSQL manual, appendix A: connection exceptions, and the server's shutting down or starting up.
_LOST = ("08", "57P")
_OF_SQLITE = {
    "SQLITE_BUSY": Fault.OVERLOADED,
    "SQLITE_LOCKED": Fault.OVERLOADED,
    "SQLITE_READONLY": Fault.READ_ONLY,
    "SQLITE_IOERR": Fault.UNAVAILABLE,
    "SQLITE_FULL": Fault.FULL,
    "SQLITE_CANTOPEN": Fault.UNAVAILABLE,
    "SQLITE_PROTOCOL": Fault.OVERLOADED,
}
_OF_SYSTEM = {
    errno.ENOSPC: Fault.FULL,
    errno.EDQUOT: Fault.FULL,
    errno.EFBIG: Fault.FULL,
    errno.EROFS: Fault.READ_ONLY,
    errno.EACCES: Fault.READ_ONLY,
    errno.EPERM: Fault.READ_ONLY,
    errno.EMFILE: Fault.OVERLOADED,
    errno.ENFILE: Fault.OVERLOADED,
}


def fault_of(error: BaseException) -> Fault | None:
    """Return the passing fault that caused `error`; `None` where it has no such cause."""
    return next((fault for one in _causes(error) if (fault := _fault(one)) is not None), None)


def is_lost(error: DBAPIError) -> bool:
    """Return True if the database went away: what was to be written may be tried again over another connection."""
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(_LOST)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.orig if isinstance(error, DBAPIError) else error.__cause__


def _fault(error: BaseException) -> Fault | None:
    if isinstance(error, Overdue | PoolTimeout):
        return Fault.OVERLOADED
    # Of the two drivers a process loads one: where the module is absent, the error cannot come from it.
    if (psycopg := sys.modules.get("psycopg")) is not None and isinstance(error, psycopg.Error):
        return _of_postgres(error, refused=isinstance(error, psycopg.OperationalError))
    if (sqlite3 := sys.modules.get("sqlite3")) is not None and isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more, and too much
        return next((fault for name, fault in _OF_SQLITE.items() if getattr(sqlite3, name) == code), None)
    if isinstance(error, OSError):
        return _OF_SYSTEM.get(error.errno or 0)
    return None


def _of_postgres(error: Any, *, refused: bool) -> Fault | None:
    state: str | None = error.sqlstate
    if state is not None:
        return _OF_SQLSTATE.get(state) or _OF_SQLSTATE_CLASS.get(state[:2])
    if refused:
        return Fault.OVERLOADED if _NO_ROOM.search(str(error)) else Fault.UNAVAILABLE
    return None
