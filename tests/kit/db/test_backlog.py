"""How much waits, and since when."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import Session

from service.kit.db import queues as waits
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.kit.db.queues import Backlog, backlog_of
from service.kit.process.heartbeat import Worker, beat

_NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _look(session: Session) -> Backlog:
    heartbeat = table_of(Worker).c.heartbeat_at
    return backlog_of(session, "workers", heartbeat, heartbeat <= _NOW)


async def test_the_rows_are_counted_and_the_oldest_is_told(database: Database) -> None:
    assert await database.read(_look) == Backlog("workers", 0, None)
    for age in (5, 90, -1):
        await database.write(beat, f"w{age}", "host:1", {}, _NOW - timedelta(seconds=age))
    found = await database.read(_look)
    assert (found.count, found.age_seconds(_NOW)) == (2, 90)
    assert Backlog("none", 0, None).age_seconds(_NOW) == 0


async def test_a_long_queue_costs_no_more_than_its_beginning(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age in range(5):
        await database.write(beat, f"w{age}", "host:1", {}, _NOW - timedelta(seconds=age))
    monkeypatch.setattr(waits, "MOST", 3)
    found = await database.read(_look)
    assert (found.count, found.age_seconds(_NOW)) == (3, 4)
