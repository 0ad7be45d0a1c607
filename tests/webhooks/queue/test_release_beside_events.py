"""What was held is released while further events of the same detection are written: none of them waits for ever."""

import asyncio
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import text

from service.kit.db.database import Database
from service.webhooks.queue.requeue import release_held
from tests.waiting import until
from tests.webhooks.rows import NOW, draft, put, put_endpoint, set_endpoint, states, tell

_IN_LINE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def _waits(database: Database) -> bool:
    """Return True if a connection waits for a lock."""
    with database.reading() as session:
        return bool(session.connection().execute(text(_IN_LINE)).scalar())


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("all", ["due", "blocked"]),
        ("none", ["skipped", "due"]),
    ],
)
async def test_an_event_beside_the_release_of_an_older_one_is_not_blocked_for_ever(
    postgres_url: str, choice: str, expected: list[str]
) -> None:
    with closing(Database(postgres_url)) as database:
        endpoint_id, _ = put_endpoint(database, status="disabled")
        put(database, draft())
        later = NOW + timedelta(seconds=1)
        set_endpoint(database, endpoint_id, status="enabled", enabled_at=NOW, release_choice=choice)
        with database.writing() as session:
            tell(session, draft(), now=later)  # behind the older one, which is still held
            releasing = asyncio.create_task(database.write(release_held, endpoint_id, later))
            await until(lambda: _waits(database) or releasing.done())
        await releasing
        assert states(database) == expected
