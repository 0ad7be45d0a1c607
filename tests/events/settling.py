"""The service's own transactions hold the feed back for a moment: a test that reads it waits for them."""

import time
from collections.abc import Callable

import pytest

from service.events.backlog import events_waiting
from service.kit.db.database import Database

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
        time.sleep(_PAUSE_SECONDS)  # others' transactions: there is no event to wait for


def seen_at_last(look: Callable[[], list[str]], expected: list[str]) -> list[str]:
    """Look until it is `expected`, or for some seconds, and return the last look.

    One look may show less than there is, where a transaction of another database ends in the middle of it: a test
    that has a neighbour looks again.
    """
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while (found := look()) != expected and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return found
