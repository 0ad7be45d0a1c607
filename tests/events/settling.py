"""The service's own transactions hold the feed back for a moment: a test that reads it waits for them."""

import time

import pytest

from service.events.backlog import events_waiting
from service.kit.database import Database

_DEADLINE_SECONDS = 20.0
_PAUSE_SECONDS = 0.01


def settle(database: Database) -> None:
    """Every event committed so far is certain: no older transaction is running in this database."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not database.is_sqlite:
        with database.reading() as session:
            if not any(one.count for one in events_waiting(session)):
                return
        if time.monotonic() > deadline:
            pytest.fail("a transaction of the database does not end")
        time.sleep(_PAUSE_SECONDS)  # other processes' transactions: there is no event to wait for
