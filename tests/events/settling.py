"""Transaction numbers are the whole server's: other tests' transactions hold the feed of this one back for a moment."""

import time

import pytest
from sqlalchemy import text

from service.kit.database import Database

_DEADLINE_SECONDS = 20.0
_PAUSE_SECONDS = 0.01
_UNCERTAIN = text(
    "SELECT count(*) FROM event WHERE transaction_id >= pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
)


def settle(database: Database) -> None:
    """Every event committed so far is certain: no older transaction is running, in any database of the server."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not database.is_sqlite:
        with database.reading() as session:
            if not session.connection().execute(_UNCERTAIN).scalar_one():
                return
        if time.monotonic() > deadline:
            pytest.fail("a transaction of the server does not end")
        time.sleep(_PAUSE_SECONDS)  # other processes' transactions: there is no event to wait for
