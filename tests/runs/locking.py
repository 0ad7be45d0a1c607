"""What tests of locks need: work in another thread, the moment when somebody waits, an answer that a worker brings."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import text
from sqlmodel import Session

from service.detectors.enums import Authenticity, Via
from service.kit.db.database import Database
from service.runs.inputs import Polled, VendorAnswer
from tests.detections.rows import World, alter
from tests.detections.scripted import Scripted, said

_LONGEST = 30


@contextmanager
def meanwhile(*works: Callable[[], object]) -> Iterator[None]:
    """Each of `works` has been done in a thread of its own, begun before the body."""
    troubles: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as trouble:  # noqa: BLE001 - raised below, in the test's own thread
            troubles.append(trouble)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(_LONGEST)
    assert not any(thread.is_alive() for thread in threads)
    assert troubles == []


def at_once(*works: Callable[[], object]) -> None:
    """All have been done, begun at one moment."""
    gate = threading.Barrier(len(works))

    def begun(work: Callable[[], object]) -> Callable[[], object]:
        return lambda: (gate.wait(_LONGEST), work())

    with meanwhile(*map(begun, works)):
        pass


def impatient(session: Session) -> None:
    """Whatever this transaction has to wait for, it gives up after a while."""
    session.connection().execute(text("SET LOCAL lock_timeout = '3s'"))


def until_somebody_waits(database: Database) -> None:
    """Another transaction waits for ours."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    for _ in range(1000):
        with database.reading() as session:
            if session.connection().execute(waiting).scalar_one():
                return
    raise AssertionError("nobody waits")


def polled(here: World, run_id: str, word: str) -> Polled:
    """What a worker brings that asked for this run, which it has claimed: an answer of this word."""
    (run,) = [each for each in here.runs() if each.id == run_id]
    alter(here.database, [run], state="waiting", lease_token="ours")
    read = Scripted(run.vendor, (run.detector,)).read(said(word), run.detector)
    answer = VendorAnswer(Via.POLL, said(word), read, Authenticity.TLS_FETCH)
    return Polled(run_id, "ours", here.clock(), confirms=False, answer=answer)
