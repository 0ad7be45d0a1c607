"""Connections to the shared PostgreSQL that outlive the test that opened them: a new one costs as much as a small test.

The server starts a process for each, which learns the catalogue anew. What a connection was told in a session is
discarded before another test has it, and one that is broken, or still at work, is closed as ever.
"""

from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

from service.kit.db import postgres

_MOST = 12
_USABLE = (TransactionStatus.IDLE, TransactionStatus.INTRANS, TransactionStatus.INERROR)


class KeptConnections:
    """Those to one database that no test uses now."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._resting: dict[int, tuple[str, postgres.Connection]] = {}
        self._close = psycopg.Connection.close

    def install(self, patch: Any) -> None:
        """Let the service's connections come from here and go back."""
        connect = postgres.Connection.connect
        home = self

        def connected(**parameters: Any) -> postgres.Connection:
            if parameters.get("dbname") != home._database:
                return connect(**parameters)
            # An engine's own context is equal to any other's.
            key = repr(sorted((name, value) for name, value in parameters.items() if name != "context"))
            found = home._take(key) or connect(**parameters)
            found.__dict__["_kept_as"] = key
            return found

        def close(connection: postgres.Connection) -> None:
            if not home._keep(connection):
                home._close(connection)

        patch.setattr(postgres.Connection, "connect", connected)
        patch.setattr(postgres.Connection, "close", close, raising=False)

    @property
    def pids(self) -> list[int]:
        """The server's processes for those that rest."""
        return list(self._resting)

    def close_all(self) -> None:
        """Close those that rest."""
        for _, connection in self._resting.values():
            self._close(connection)
        self._resting.clear()

    def _take(self, key: str) -> postgres.Connection | None:
        for pid, (kept_as, connection) in list(self._resting.items()):
            if kept_as == key:
                del self._resting[pid]
                if connection.pgconn.exec_(b"SELECT 1").status == ExecStatus.TUPLES_OK:
                    return connection
                self._close(connection)
        return None

    def _keep(self, connection: postgres.Connection) -> bool:
        """Return True if the connection is as new now, and rests here."""
        key = connection.__dict__.pop("_kept_as", None)
        line = connection.pgconn
        if key is None or len(self._resting) >= _MOST or connection.closed or line.transaction_status not in _USABLE:
            return False
        for statement in (b"ROLLBACK", b"DISCARD ALL"):
            if line.exec_(statement).status != ExecStatus.COMMAND_OK:
                return False
        connection.read_only = connection.isolation_level = connection.deferrable = None
        connection.autocommit = False
        connection._notice_handlers.clear()
        connection._notify_handlers.clear()
        self._resting[line.backend_pid] = key, connection
        return True
