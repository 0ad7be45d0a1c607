"""A callback that names a job, and its run that learns that job at the same moment, never miss each other."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import Session

from service.callbacks.models import Callback
from service.callbacks.process import claim_callbacks, read_callbacks
from service.callbacks.settle import ReadCallback, process_callbacks
from service.detectors.port import Accepted
from service.kit.db.database import Database
from service.runs.inputs import SubmissionAttempt, SubmissionOutcome, VendorAccepted
from service.runs.load.lock import lock_detection
from service.runs.step import step_one
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, Scripted, asc, job, lost, said
from tests.runs.locking import impatient, meanwhile, until_somebody_waits

RUNNING = {"said": "running"}


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    """A database in which many write at once."""
    with closing(Database(postgres_url)) as database:
        yield database


def _read(here: World) -> list[ReadCallback]:
    """The stored callbacks, claimed and read as things are now."""
    until = here.clock() + timedelta(seconds=30)
    with here.database.writing() as session:
        claimed = claim_callbacks(session, now=here.clock(), lease_until=until, limit=50)
    with here.database.reading() as session:
        return read_callbacks(session, claimed, here.policy)


def _process(
    session: Session, here: World, ready: Sequence[ReadCallback], *, wait: bool = True
) -> list[str | Exception | None]:
    return process_callbacks(session, ready, here.policy, here.clock(), wait=wait)


def _leaving(database: Database, vendor: Scripted | None = None) -> tuple[World, VendorAccepted]:
    """A run whose submission is out, and what its worker brings when the vendor has named the job `j1`."""
    here = world(database, vendor or asc())
    here.submit("asc")
    alter(database, [here.run()], lease_token="ours", submit_started_at=NOW, submit_tries=1)
    attempt = SubmissionAttempt(SubmissionOutcome.ACCEPTED, NOW, raw=job("j1"))
    return here, VendorAccepted(here.run().id, "ours", Accepted("j1"), attempt)


@contextmanager
def _keys_taken(database: Database) -> Iterator[list[list[str]]]:
    """The meeting keys that statements wait for, one list a statement."""
    taken: list[list[str]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if "pg_advisory_xact_lock" in statement:
            keys = parameters["keys"] if isinstance(parameters, dict) else parameters[0]
            taken.append([key for key in keys if key.startswith("callback:")])

    event.listen(database.engine, "before_cursor_execute", note)
    yield taken
    event.remove(database.engine, "before_cursor_execute", note)


async def test_a_run_that_learns_its_job_while_the_callback_is_being_parked_wakes_it(postgres: Database) -> None:
    here, accepted = _leaving(postgres)
    here.arrive("j1", RUNNING, job_id="j1")
    ready = _read(here)

    def learn() -> None:
        with postgres.writing() as session:
            assert step_one(session, accepted, here.policy, here.clock()) == "accepted"

    with ExitStack() as after, postgres.writing() as session:
        assert _process(session, here, ready) == ["parked"]
        after.enter_context(meanwhile(learn))
        until_somebody_waits(postgres)
    assert here.callback_states() == ["due"]
    await here.callbacks()
    assert here.callback_states() == ["applied"]


async def test_a_callback_that_is_parked_while_its_run_learns_its_job_is_due_again(postgres: Database) -> None:
    here, accepted = _leaving(postgres)
    here.arrive("j1", RUNNING, job_id="j1")
    ready, ends = _read(here), []

    def park() -> None:
        with postgres.writing() as session:
            ends.extend(_process(session, here, ready))

    with ExitStack() as after, postgres.writing() as session:
        assert step_one(session, accepted, here.policy, here.clock()) == "accepted"
        after.enter_context(meanwhile(park))
        until_somebody_waits(postgres)
    assert (ends, here.callback_states()) == (["due"], ["due"])
    await here.callbacks()
    assert here.callback_states() == ["applied"]


async def test_a_callback_that_was_read_before_its_run_knew_the_job_is_due_again(database: Database) -> None:
    here, accepted = _leaving(database)
    here.arrive("j1", RUNNING, job_id="j1")
    ready = _read(here)
    await database.write(step_one, accepted, here.policy, here.clock())
    with database.writing() as session:
        assert _process(session, here, ready) == ["due"]
    await here.callbacks()
    assert here.callback_states() == ["applied"]


def test_a_callback_that_meets_its_run_goes_to_the_detection_without_the_key(postgres: Database) -> None:
    """Who holds the detection may be waiting for that key, to tell a callback that is parked."""
    here, accepted = _leaving(postgres)
    here.arrive("j1", RUNNING, job_id="j1")
    ready = _read(here)
    with postgres.writing() as session:
        step_one(session, accepted, here.policy, here.clock())
    with postgres.writing() as holding:
        lock_detection(holding, here.run().detection_id)
        with postgres.writing() as session:
            impatient(session)
            assert _process(session, here, ready) == ["due"]
    ready = _read(here)
    with _keys_taken(postgres) as taken, postgres.writing() as session:
        assert _process(session, here, ready) == ["applied"]
    assert [keys for keys in taken if keys] == []


@pytest.mark.parametrize("names_first", [True, False])
@pytest.mark.parametrize("other", ["by its job", "without a job"])
async def test_two_callbacks_of_one_batch_of_which_one_names_the_job_do_not_miss_each_other(
    database: Database, other: str, names_first: bool
) -> None:
    here = world(database, asc(submits=[lost()], fetches=[said("ai")]))
    here.submit("asc")
    await here.dispatch()
    run_id = here.run().id
    naming = (run_id, RUNNING, "j1")
    arrivals = [naming, ("j1", {"said": "ai"}, "j1") if other == "by its job" else (run_id, {"said": "ai"}, None)]
    for subject, body, job_id in arrivals if names_first else reversed(arrivals):
        here.arrive(subject, body, job_id=job_id)
        here.clock.turn(1)
    for _ in range(2):  # what is found only then comes with the next batch
        await here.callbacks()
    assert (here.run().vendor_job_id, here.callback_states()) == ("j1", ["applied", "applied"])


async def test_a_batch_takes_the_keys_of_what_it_parks_and_of_what_it_teaches_in_one_order(postgres: Database) -> None:
    """Two batches that each park what the other teaches would otherwise wait for one another."""
    here = world(postgres, asc(submits=[lost()]))
    here.submit("asc")
    await here.dispatch()
    here.arrive(here.run().id, RUNNING, job_id="a")
    here.arrive("b", RUNNING, job_id="b")
    ready = _read(here)
    with _keys_taken(postgres) as taken, postgres.writing() as session:
        assert sorted(map(str, _process(session, here, ready))) == ["applied", "parked"]
    keys = [key for each in taken for key in each]
    assert {"callback:live:asc:a", "callback:live:asc:b"} <= set(keys)
    first_time = list(dict.fromkeys(keys))  # one that is ours already waits for nobody
    assert first_time == sorted(first_time)


def test_a_callback_of_a_run_that_somebody_holds_is_missed_and_comes_again(postgres: Database) -> None:
    here, accepted = _leaving(postgres)
    with postgres.writing() as session:
        step_one(session, accepted, here.policy, here.clock())
    here.arrive("j1", RUNNING, job_id="j1")
    here.arrive("stranger", RUNNING)
    ready = sorted(_read(here), key=lambda each: each.callback.subject)
    with postgres.writing() as holding:
        lock_detection(holding, here.run().detection_id)
        with postgres.writing() as session:
            impatient(session)
            assert _process(session, here, ready, wait=False) == [None, "parked"]
    assert sorted(here.callback_states()) == ["due", "parked"]
    with postgres.writing() as session:
        assert _process(session, here, ready[:1], wait=False) == ["applied"]


@pytest.mark.parametrize("subject", ["j1", "run"])
def test_a_callback_that_another_process_merged_meanwhile_is_nobodys(database: Database, subject: str) -> None:
    here, _ = _leaving(database)
    here.arrive(here.run().id if subject == "run" else subject, RUNNING, job_id="j1")
    (ready,) = _read(here)
    with database.writing() as session:
        session.delete(session.get_one(Callback, ready.callback.id))
    with database.writing() as session:
        assert _process(session, here, [ready]) == ["lease_lost"]
