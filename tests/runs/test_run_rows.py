"""Who writes when a run is due, whose it is or where it stands holds its row: nothing read before is written after.

A claim takes runs by their own rows and skips what is locked; it knows no lock of the detection's.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from service.billing.models import Entry
from service.callbacks.process import claim_callbacks, read_callbacks
from service.callbacks.settle import process_callbacks
from service.detections.changes import expire_overdue
from service.kit.db.database import Database
from service.runs.inputs import Begun, Leaving
from service.runs.state.models import Run
from service.runs.step import step_one
from service.vendor_calls.admission import claim_submissions
from service.vendor_calls.claimed_runs import ClaimedRun
from tests.detections.rows import World, alter, world
from tests.detections.scripted import Scripted, asc, lost
from tests.detections.sharing import ask, call_off, only, recording

_PAIRS_IN_THE_SUITE = 25
_LEASE = timedelta(seconds=90)


@dataclass
class Other:
    """Another worker, in a thread of its own. What it claimed is in `claimed` once it could."""

    here: World
    claimed: list[ClaimedRun] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __call__(self) -> None:
        """It claims now, and is given the time to; where it has to wait for us it goes on later."""
        thread = threading.Thread(target=self.claim)
        self._threads.append(thread)
        thread.start()
        thread.join(0.3)

    def claim(self) -> None:
        with self.here.database.writing() as session:
            found, _ = claim_submissions(session, self.here.policy.catalogue, now=self.here.clock(), limit=9)
        self.claimed += found

    def is_done(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def sends(self) -> list[int]:
        """The charges of the submissions that it may send, of those it claimed."""
        begun = [_leave(self.here, one.run.id, one.token) for one in self.claimed]
        return [each.charge_id for each in begun if isinstance(each, Begun)]


def _leave(here: World, run_id: str, token: str) -> Begun | str:
    now = here.clock()
    with here.database.writing() as session:
        begun: Begun | str = step_one(session, Leaving(run_id, token, now + _LEASE), here.policy, now)
        return begun


def _after_the_read(monkeypatch: pytest.MonkeyPatch, module: str, pause: Callable[[], None]) -> None:
    """`pause()` between what a step has loaded and what it saves next."""
    real = getattr(__import__(module, fromlist=["decide_all"]), "decide_all")  # noqa: B009 - a module by its name

    def paused(*args: Any, **kwargs: Any) -> Any:
        pause()
        return real(*args, **kwargs)

    monkeypatch.setattr(f"{module}.decide_all", paused)


async def _lost(database: Database, vendor: Scripted) -> World:
    """A submission of unknown outcome that is due to be repeated, and a callback that names its job."""
    here = world(database, vendor)
    here.submit("asc")
    await here.dispatch()
    here.clock.turn(91)
    here.arrive(here.run().id, {"said": "ai"}, job_id="j1")
    return here


async def test_a_callback_that_adopts_a_job_while_the_run_is_claimed_leaves_no_second_submission(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await _lost(database, asc(submits=[lost()]))
    other = Other(here)
    _after_the_read(monkeypatch, "service.callbacks.settle", other)
    await here.callbacks()
    other.is_done()
    assert other.sends() == []
    assert (here.run().state, here.run().vendor_job_id, here.run().submit_tries) == ("waiting", "j1", 1)
    with database.reading() as session:
        assert len(session.exec(select(Entry)).all()) == 1


async def test_a_run_claimed_before_the_callback_adopts_its_job_is_not_submitted_again(database: Database) -> None:
    here = await _lost(database, asc(submits=[lost()]))
    other = Other(here)
    other.claim()
    await here.callbacks()
    assert (len(other.claimed), other.sends()) == (1, [])
    assert (here.run().state, here.run().vendor_job_id) == ("waiting", "j1")


async def test_a_leader_is_handed_over_with_the_lease_that_it_has(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world(database, asc())
    media_id = recording(here)
    first, second = (ask(here, media_id) for _ in range(2))
    other = Other(here)
    _after_the_read(monkeypatch, "service.runs.step", other)
    call_off(here, first)
    other.is_done()
    heir = only(here, second)
    tokens = {one.token for one in other.claimed if one.run.id in (heir.id, only(here, first).id)}
    assert ({heir.lease_token} if heir.lease_token else set()) == tokens
    assert len(other.sends()) == len(tokens)


async def test_a_leader_that_is_claimed_is_handed_over_with_its_lease(database: Database) -> None:
    here = world(database, asc())
    media_id = recording(here)
    first, second = (ask(here, media_id) for _ in range(2))
    other = Other(here)
    other.claim()
    call_off(here, first)
    (one,) = other.claimed
    assert (only(here, first).lease_token, only(here, second).lease_token) == (None, one.token)
    assert len(other.sends()) == 1
    assert (only(here, first).submit_tries, only(here, second).submit_tries) == (0, 1)


async def test_a_run_that_is_claimed_while_it_is_ended_keeps_no_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world(database, asc())
    here.submit("asc")
    run = here.run()
    alter(database, [run], deadline_at=here.clock() - timedelta(minutes=6))
    other = Other(here)
    _after_the_read(monkeypatch, "service.runs.step", other)
    with database.writing() as session:
        expire_overdue(session, run.id, here.policy, here.clock())
    other.is_done()
    assert (here.run().state, here.run().lease_token, here.run().due_at) == ("timed_out", None, None)
    assert other.sends() == []


async def test_an_overdue_run_that_was_handed_over_does_not_end_its_heir(database: Database) -> None:
    here = world(database, asc())
    media_id = recording(here)
    first = ask(here, media_id)
    here.clock.turn(30)
    second = ask(here, media_id)
    overdue = only(here, first)
    call_off(here, first)
    with database.writing() as session:
        expire_overdue(session, overdue.id, here.policy, here.clock())
    assert only(here, second).state == "queued"


@pytest.mark.parametrize("state", ["waiting", "succeeded"])
def test_nothing_leaves_for_a_run_that_is_neither_queued_nor_unknown(database: Database, state: str) -> None:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], lease_token="ours", state=state, vendor_job_id="j1")
    assert _leave(here, here.run().id, "ours") == "lease_lost"


@pytest.mark.parametrize("state", ["queued", "unknown"])
def test_nothing_leaves_for_a_run_whose_job_is_known(database: Database, state: str) -> None:
    here = world(database, asc())
    here.submit("asc")
    alter(database, [here.run()], lease_token="ours", state=state, vendor_job_id="j1")
    assert _leave(here, here.run().id, "ours") == "lease_lost"


@pytest.fixture
def crowd(postgres_url: str) -> Iterator[World]:
    """A world whose database serves many at once."""
    with closing(Database(postgres_url)) as database:
        yield world(database, asc())


def test_of_many_pairs_of_callback_and_claim_none_sends_twice(crowd: World) -> None:
    assert [n for n in range(_PAIRS_IN_THE_SUITE) if _sent_twice(crowd, n)] == []


def _sent_twice(here: World, n: int) -> bool:
    """Whether a run of unknown outcome, claimed while its callback is thought about, was sent again unmarked."""
    run, other, barrier, sent = _lost_run(here, n), Other(here), threading.Barrier(2), list[int]()

    def send() -> None:
        barrier.wait()
        other.claim()
        sent.extend(other.sends())

    now = here.clock()
    with here.database.writing() as session:
        claimed = claim_callbacks(session, now=now, lease_until=now + _LEASE, limit=1)
    thread = threading.Thread(target=send)
    thread.start()
    barrier.wait()
    with here.database.writing() as session:
        ready = read_callbacks(session, claimed, here.policy)
        process_callbacks(session, ready, here.policy, now, wait=True)
    thread.join(30)
    after = only(here, run.detection_id)
    alter(here.database, [after], state="failed", ended_at=now, due_at=None, lease_token=None)
    return bool(sent) and not after.resubmitted


def _lost_run(here: World, n: int) -> Run:
    detection_id = here.submit("asc")
    run = only(here, detection_id)
    left: datetime = here.clock() - timedelta(seconds=91)
    alter(here.database, [run], state="unknown", submit_started_at=left, submitted_at=left, submit_tries=1)
    here.arrive(run.id, {"said": "ai"}, job_id=f"j{n}")
    return run
