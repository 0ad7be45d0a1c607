"""A job of a vendor's is one run's, however many are told of it at once."""

import asyncio
from contextlib import closing

from sqlalchemy import event
from structlog.testing import capture_logs

from service.kit.db.database import Database
from tests.detections.rows import World, world
from tests.detections.scripted import asc, job

_LONGEST_SECONDS = 20


def _ends(here: World) -> list[tuple[str, str | None, str | None]]:
    return sorted((run.state, run.vendor_job_id, run.reason_code) for run in here.runs())


async def test_a_job_that_two_runs_are_told_at_once_is_the_first_ones(postgres_url: str) -> None:
    """That nobody has it yet is looked up without a lock: the second to write it meets the unique key."""
    with closing(Database(postgres_url)) as database, closing(Database(postgres_url)) as another:
        here = world(database, asc(submits=[job("j1"), job("j1")]))
        second = World(another, here.policy, here.clock)
        here.submit("asc")
        loop, overtaken = asyncio.get_running_loop(), list[bool]()

        async def overtake() -> None:
            here.submit("asc")
            await second.dispatch()

        @event.listens_for(database.engine, "after_cursor_execute")
        def look(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            asks = statement.startswith("SELECT run.vendor_job_id, run.id")
            if asks and not overtaken:
                overtaken.append(True)
                asyncio.run_coroutine_threadsafe(overtake(), loop).result(_LONGEST_SECONDS)

        with capture_logs() as lines:
            await asyncio.gather(here.dispatch(), return_exceptions=True)
        assert overtaken
        assert [line["event"] for line in lines if line["log_level"] == "error"] == []
        assert _ends(here) == [("failed", None, "schema_mismatch"), ("waiting", "j1", None)]


async def test_of_two_runs_that_come_back_with_one_job_the_second_fails(sqlite_url: str) -> None:
    with closing(Database(sqlite_url)) as database:
        here = world(database, asc(submits=[job("j1"), job("j1")]))
        here.submit("asc")
        here.submit("asc")
        await here.dispatch()
        assert _ends(here) == [("failed", None, "schema_mismatch"), ("waiting", "j1", None)]
