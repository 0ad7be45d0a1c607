"""A leader and a crowd of runs that follow it, and processes of ours that die at a commit of the test's choice."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, insert
from sqlmodel import col, select

from service.detections.changes import recheck
from service.events.models import Event
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.kit.ids import new_id
from service.media.models import Media
from service.resources import open_resources
from service.runs.load.lock import lock_detection
from service.runs.state.models import Detection, Observation, Run
from service.settings import load_settings
from service.worker import Worker
from tests.detections.rows import World, world
from tests.detections.scripted import Scripted
from tests.detections.sharing import ask, recording
from tests.journeys.hammer_loops import turned

_MOST_ROUNDS = 60


class DiedError(Exception):
    """The process is gone; nothing of it is committed any more."""


def crowd(database: Database, vendor: Scripted, **plan: Any) -> World:
    """Return a world in which a detection of one recording leads and another follows it."""
    here = world(database, vendor, trust="payload", **plan)
    media_id = recording(here)
    for _ in range(2):
        ask(here, media_id)
        here.clock.turn(1)
    return here


def multiply(here: World, count: int) -> None:
    """Let `count` more detections follow, each the only follower's like but for its ids; in a few statements."""
    with here.database.writing() as session:
        run = session.exec(select(Run).where(col(Run.follows_run_id).is_not(None))).one()
        detection = session.get_one(Detection, run.detection_id)
        ids = [(new_id("det"), new_id("run")) for _ in range(count)]
        one = detection.model_dump()
        session.connection().execute(insert(table_of(Detection)), [one | {"id": each} for each, _ in ids])
        its = run.model_dump()
        rows = [its | {"id": run_id, "detection_id": detection_id} for detection_id, run_id in ids]
        session.connection().execute(insert(table_of(Run)), rows)


class Process:
    """A process of ours: all its loops, turned by the test."""

    def __init__(self, here: World, database: Database, worker: Worker) -> None:
        self._here = here
        self.database = database
        self._worker = worker

    async def turn(self) -> None:
        """Turn each loop once."""
        for loop in turned(self._worker):
            await loop.step()

    async def turn_until_it_dies(self, counts: Counter[str]) -> None:
        """Turn all loops until a commit was refused, and once more; or for so long that none will be."""
        for _ in range(_MOST_ROUNDS):
            died = counts["refused"] > 0
            for loop in turned(self._worker):
                with suppress(DiedError):
                    await loop.step()
            if died:
                return

    async def until(self, over: Callable[[], bool]) -> None:
        """Turn all loops, second by second, until it is so."""
        for _ in range(_MOST_ROUNDS):
            await self.turn()
            if over():
                return
            self._here.clock.turn(1)
        pytest.fail(f"not so after {_MOST_ROUNDS} rounds: {Counter(run.state for run in self._here.runs())}")


@asynccontextmanager
async def process(here: World) -> AsyncIterator[Process]:
    """Yield a new process on the world's database."""
    url = here.database.url.render_as_string(hide_password=False)
    settings = load_settings(
        secret_keys=("k" * 40,),
        database_url=url,
        media_store="database:",
        database_statement_seconds=200,  # how long a crowd takes is not asked here
    )
    async with open_resources(settings, here.clock) as resources:
        worker = Worker(replace(resources, policy=here.policy))
        yield Process(here, resources.database, worker)


def let_die(database: Database, commits: int, since: Callable[[], bool]) -> Counter[str]:
    """Let no commit of this process succeed any more, after so many `since` then. Return how many did, and did not."""
    counts: Counter[str] = Counter()

    @event.listens_for(database.engine, "commit")
    def count(_connection: object) -> None:
        if not counts["refused"] and not since():
            return
        if counts["committed"] >= commits:
            counts["refused"] += 1
            raise DiedError
        counts["committed"] += 1

    return counts


@contextmanager
def after_each_commit(database: Database, then: Callable[[], None]) -> Iterator[None]:
    """Call `then` after each write of this process, when nothing of it is locked any more."""
    writing = database.writing

    @contextmanager
    def watched() -> Iterator[Any]:
        with writing() as session:
            yield session
        then()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "writing", watched)
        yield


def open_detections(here: World) -> int:
    """Return how many have not ended."""
    with here.database.reading() as session:
        return len(session.exec(select(Detection.id).where(col(Detection.completed_at).is_(None))).all())


def outcomes(here: World) -> Counter[tuple[str, str | None, int]]:
    """Return how many detections have each status, verdict and revision."""
    with here.database.reading() as session:
        return Counter(session.exec(select(Detection.status, Detection.verdict, Detection.revision)).all())


def assert_told_once(here: World, *kinds: str) -> None:
    """Each detection has one final event of these kinds a revision, in this order, and each run's end is told once."""
    with here.database.reading() as session:
        rows = session.exec(select(Event).order_by(col(Event.position))).all()
        ids, run_ids = session.exec(select(Detection.id)).all(), session.exec(select(Run.id)).all()
    finals = Counter((one.detection_id, one.final_revision, one.type) for one in rows if one.final_revision is not None)
    assert finals == {(each, n, kind): 1 for each in ids for n, kind in enumerate(kinds, 1)}
    ends = Counter(one.run_id for one in rows if one.type == "detector.completed")
    assert ends == dict.fromkeys(run_ids, 1)


def assert_one_answer(here: World, run_ids: Sequence[str] | None = None) -> None:
    """Every run, or each of these, has the same answer: looked at once by the one that asked, copied by the others."""
    with here.database.reading() as session:
        runs = [run for run in session.exec(select(Run)) if run_ids is None or run.id in run_ids]
        looks = {(one.run_id, one.n): one for one in session.exec(select(Observation))}
    deciding = [looks[run.id, run.observation_n or 0] for run in runs]
    assert len({(one.body_sha256, one.reading) for one in deciding}) == 1
    with_effect = Counter(one.run_id for one in looks.values() if one.effect.startswith("answer"))
    assert {with_effect[run.id] for run in runs} == {1}
    assert Counter(run.via == "reuse" for run in runs) == {True: len(runs) - 1, False: 1}


def assert_at_rest(here: World) -> None:
    """No run is due, leased, leading or waiting for anything, and the audio may go in time."""
    left = [(run.due_at, run.lease_token, run.leader_key, run.waiting_for) for run in here.runs()]
    assert Counter(left) == {(None, None, None, None): len(left)}
    with here.database.reading() as session:
        assert None not in session.exec(select(Media.delete_after)).all()


def ask_again(here: World, detection_id: str) -> None:
    """Have the detection run again."""
    with here.database.writing() as session:
        recheck(session, lock_detection(session, detection_id), here.policy, here.clock())
