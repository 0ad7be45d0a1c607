"""What a vendor answered is kept: whatever became of the connection to the database, or of the lease meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select
from structlog.testing import capture_logs

from service.detectors.port import Raw, RunContext
from service.kit.db.database import Database
from service.runs.state.models import Observation
from tests.detections.rows import World, world
from tests.detections.scripted import Answer, Scripted, aippim, asc, job, lost, not_sent, raw, said


@contextmanager
def _backend_that_ends(database: Database) -> Iterator[Callable[[], None]]:
    """After it is called, PostgreSQL ends the connection that writes to a run next, as a restart does; once."""
    armed: list[bool] = []

    def strike(connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        if armed and statement.startswith(("UPDATE run", "INSERT INTO observation")):
            armed.clear()
            pid = connection.connection.driver_connection.info.backend_pid
            with database.engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
                other.execute(text("SELECT pg_sleep(0.05)"))

    event.listen(database.engine, "before_cursor_execute", strike)
    yield lambda: armed.append(True)
    event.remove(database.engine, "before_cursor_execute", strike)


def _then(strike: Callable[[], None], answer: Raw | Exception) -> Callable[[RunContext], Awaitable[Raw]]:
    async def answers(_context: RunContext) -> Raw:
        strike()
        if isinstance(answer, Exception):
            raise answer
        return answer

    return answers


_RECORDS: Sequence[tuple[str, Raw | Exception, dict[str, Any]]] = [
    ("submit", job("j1"), {"state": "waiting", "vendor_job_id": "j1", "submit_tries": 1}),
    ("submit", said("ai"), {"state": "succeeded", "submit_tries": 1}),
    ("submit", raw({}, 400), {"state": "failed", "reason_code": "bad_request"}),
    ("submit", raw({}, 429), {"state": "queued", "waiting_for": "rate_limited", "lease_token": None}),
    ("submit", not_sent(), {"state": "queued", "waiting_for": "vendor_error", "lease_token": None}),
    ("submit", lost(), {"state": "unknown", "waiting_for": "unknown_outcome"}),
    ("prepare", raw({"ref": "m1"}), {"prepared_ref": "m1", "state": "waiting"}),
]


@pytest.mark.parametrize(("step", "answer", "expected"), _RECORDS)
async def test_an_answer_outlives_the_connection_over_which_it_is_recorded(
    postgres_url: str, step: str, answer: Raw | Exception, expected: dict[str, Any]
) -> None:
    with closing(Database(postgres_url)) as database, _backend_that_ends(database) as strike:
        scripted: list[Answer] = [_then(strike, answer)]
        vendor = asc(submits=scripted) if step == "submit" else aippim(prepares=scripted, submits=[job("j1")])
        here = world(database, vendor)
        here.submit(vendor.detectors[0])
        with suppress(DBAPIError), capture_logs():
            await here.dispatch()
        run = here.run().model_dump()
        assert {name: run[name] for name in expected} == expected


async def _overtaken(database: Database, answer: Raw, *later: Answer) -> World:
    """A submission whose answer comes after its lease ran out and another worker has looked at the run."""
    asked, release = asyncio.Event(), asyncio.Event()

    async def slow(_context: RunContext) -> Raw:
        asked.set()
        await release.wait()
        return answer

    vendor: Scripted = asc(submits=[slow, *later])
    here = world(database, vendor, resubmit_after=300)
    here.submit("asc")
    await here.dispatcher.step()
    await asked.wait()
    other = World(database, here.policy, here.clock)
    for wait in (94, 300) if later else (94,):  # past the lease; past the time to repeat it
        here.clock.turn(wait)
        await other.dispatch()
    release.set()
    await here.dispatch()
    return here


async def test_a_job_that_is_told_after_the_lease_is_adopted_by_a_run_that_has_none(database: Database) -> None:
    here = await _overtaken(database, job("j1"))
    assert (here.run().state, here.run().vendor_job_id, here.run().submit_tries) == ("waiting", "j1", 1)


async def test_an_answer_that_comes_after_the_lease_counts_for_a_run_that_has_none(database: Database) -> None:
    here = await _overtaken(database, said("human"))
    assert here.detection(here.run().detection_id).verdict == "no_ai_detected"


async def test_a_job_that_is_told_after_the_run_has_another_is_kept_as_late(database: Database) -> None:
    here = await _overtaken(database, job("j1"), job("j2"))
    assert (here.run().vendor_job_id, here.run().resubmitted) == ("j2", True)
    with database.reading() as session:
        effects = session.exec(select(Observation.effect).where(col(Observation.run_id) == here.run().id)).all()
    assert "late" in effects
