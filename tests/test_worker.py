"""The worker's loops over many owners' rows: the first cannot be dealt with, and the second gets its due."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, select
from structlog.testing import capture_logs

from service import loops
from service.callbacks.process import CallbackProcessor
from service.detections.changes import overdue_runs, unannounced_delays
from service.kit.db.alone import MOST_LEFT_OUT, ROWS_FAILED
from service.kit.db.database import Database
from service.kit.process.heartbeat import Worker as Row
from service.kit.schema.migrate import upgrade
from service.kit.system_clock import system_clock
from service.loops import Loop, Loops
from service.resources import open_resources
from service.retention.prune import mark_due_media, old_results
from service.runs.state.models import Detection, Run
from service.settings import Settings, load_settings
from service.webhooks.models import Delivery, Endpoint
from service.worker import LOOPS_FAILED, Worker, working
from tests.at_work import by_hand
from tests.detections.rows import World, alter, world
from tests.detections.scripted import NOW, asc
from tests.detections.sharing import ask, recording
from tests.waiting import until
from tests.webhooks.rows import draft, put, put_endpoint

_POISONED = 100


async def _turn(here: World, name: str) -> None:
    async with by_hand(here) as at_work:
        (loop,) = (loop for loop in at_work.loops() if loop.name == name)
        for _ in range(5):
            if not await loop.step():
                return


def _asked(here: World, count: int, *, broken: str = "rule", **values: Any) -> list[str]:
    """So many detections; of all but the last something cannot be read."""
    media_id = recording(here)
    found = []
    for n in range(count):
        found.append(ask(here, media_id, force=True))
        here.clock.turn(0.001 if n else 0)
    with here.database.writing() as session:
        for detection_id in found[:-1]:
            setattr(session.get_one(Detection, detection_id), broken, "{")
        for run in session.exec(select(Run)):
            for name, value in values.items():
                setattr(run, name, value)
    return found


async def test_a_hundred_unreadable_detections_keep_no_delay_untold(database: Database) -> None:
    here = world(database, asc())
    *_, good = _asked(here, _POISONED + 1)
    before = ROWS_FAILED.value("tell delays")
    here.clock.turn(890)
    await _turn(here, "tell delays")
    assert here.detection(good).delayed_at is not None
    assert ROWS_FAILED.value("tell delays") - before == _POISONED


async def test_a_hundred_unreadable_detections_keep_no_overdue_run_open(database: Database) -> None:
    here = world(database, asc())
    *_, good = _asked(here, _POISONED + 1)
    (last,) = here.runs(good)
    alter(database, [last], deadline_at=last.deadline_at + timedelta(seconds=1))
    here.clock.turn(3600 + 302)
    await _turn(here, "expire runs")
    assert here.detection(good).status == "expired"


@pytest.mark.parametrize(
    "find",
    [
        lambda session, but: overdue_runs(session, now=NOW, but=but),
        lambda session, but: unannounced_delays(session, now=NOW, but=but),
        lambda session, but: old_results(session, NOW, 9, but=but),
        lambda session, but: mark_due_media(session, NOW, 9, but=but),
    ],
    ids=["overdue_runs", "unannounced_delays", "old_results", "mark_due_media"],
)
def test_as_many_rows_as_are_left_alone_can_be_left_out(
    database: Database, find: Callable[[Session, Collection[str]], list[str]]
) -> None:
    with database.writing() as session:
        assert find(session, {f"row_{n}" for n in range(MOST_LEFT_OUT)}) == []


async def test_a_run_whose_end_cannot_be_written_still_ends(database: Database) -> None:
    here = world(database, asc())
    bad, _ = _asked(here, 2, broken="metadata_json")
    here.clock.turn(3600 + 302)
    await _turn(here, "expire runs")
    assert here.detection(bad).status in ("failed", "expired")


_Verb = Callable[..., object]
_ENDPOINT_LOOPS: Sequence[tuple[str, str, str, dict[str, Any]]] = [
    # the loop, its verb, the deliveries' state before, the endpoints as they are
    ("hold deliveries", "hold_deliveries", "due", {"status": "disabled"}),
    ("release deliveries", "release_held", "held", {}),
]


@pytest.mark.parametrize(("loop", "verb", "state", "standing"), _ENDPOINT_LOOPS)
async def test_one_endpoint_that_fails_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch, loop: str, verb: str, state: str, standing: dict[str, Any]
) -> None:
    here = world(database, asc())
    first, second = (put_endpoint(database)[0] for _ in range(2))
    put(database, draft())
    with database.writing() as session:
        for delivery in session.exec(select(Delivery)):
            delivery.state, delivery.due_at = state, (NOW if state == "due" else None)
        for endpoint in session.exec(select(Endpoint)):
            endpoint.sqlmodel_update(standing)
    _fail_for(monkeypatch, verb, min(first, second))
    await _turn(here, loop)
    with database.reading() as session:
        states = {row.endpoint_id: row.state for row in session.exec(select(Delivery))}
    assert states[min(first, second)] == state
    assert states[max(first, second)] == ("held" if state == "due" else "due")


async def test_one_endpoint_that_cannot_be_judged_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = world(database, asc())
    ids = sorted(put_endpoint(database)[0] for _ in range(2))
    with database.writing() as session:
        for endpoint in session.exec(select(Endpoint)):
            endpoint.failing_since, endpoint.failures = NOW - timedelta(days=6), 50
    _fail_for(monkeypatch, "judge", ids[0])
    await _turn(here, "judge endpoints")
    with database.reading() as session:
        assert [session.get_one(Endpoint, each).status for each in ids] == ["enabled", "disabled"]


def _fail_for(monkeypatch: pytest.MonkeyPatch, verb: str, row_id: str) -> None:
    real: _Verb = getattr(loops, verb)

    def failing(session: Session, endpoint_id: str, *args: object) -> object:
        if endpoint_id == row_id:
            raise ValueError("unreadable")
        return real(session, endpoint_id, *args)

    monkeypatch.setattr(loops, verb, failing)


async def test_a_worker_whose_clock_is_wrong_claims_nothing_and_says_so(postgres_url: str) -> None:
    ahead = timedelta(seconds=100)

    def clock() -> datetime:
        return system_clock() + ahead

    with closing(Database(postgres_url)) as database, capture_logs() as logs:
        here = world(database, asc())
        here.arrive("nobodys", {"said": "ai"}, received_at=system_clock())
        settings = load_settings(secret_keys=("k" * 40,), database_url=postgres_url, media_store="database:")
        async with open_resources(settings, clock) as resources, working(resources) as at_work:
            (beat,) = (loop for loop in at_work.loops() if loop.name == "beat")
            await until(lambda: _beats(database))
            assert (here.callback_states(), resources.local_deliverer) == (["due"], None)
            ahead = timedelta(0)
            await beat.step()
            await until(lambda: _thought_about(here))
            assert resources.local_deliverer is not None
    told = [line for line in logs if line["event"].startswith("worker.clock")]
    assert (told[0]["event"], told[-1]["event"]) == ("worker.clock_wrong", "worker.clock_right")
    assert told[0]["seconds"] == pytest.approx(100, abs=2)


async def test_a_clock_that_goes_wrong_in_the_middle_of_a_backlog_stops_the_claims(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timedelta(0)
    begun = list[timedelta]()
    beats = list[Loop]()
    seen = asyncio.Event()

    async def step(_: CallbackProcessor) -> bool:
        nonlocal ahead
        begun.append(ahead)
        if len(begun) == 3:
            ahead = timedelta(seconds=100)
            await beats[0].step()
            seen.set()
        return len(begun) < 6

    monkeypatch.setattr(CallbackProcessor, "step", step)
    settings = load_settings(secret_keys=("k" * 40,), database_url=postgres_url, media_store="database:")
    async with open_resources(settings, lambda: system_clock() + ahead) as resources:
        at_work = Worker(resources)
        beats += [loop for loop in at_work.loops() if loop.name == "beat"]
        await beats[0].step()  # its row is there: two first beats at once would be one too many
        await at_work.start()
        try:
            await asyncio.wait_for(seen.wait(), 10)
            ahead = timedelta(0)
            await beats[0].step()
            await until(lambda: len(begun) >= 6)
        finally:
            await at_work.stop()
    assert set(begun) == {timedelta(0)}


@contextlib.asynccontextmanager
async def _going_by_the_clock(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, step: Callable[[], Awaitable[bool]]
) -> AsyncIterator[Worker]:
    monkeypatch.setattr(Loops, "table", lambda _: (Loop("the duty", step, every=0.05),))
    async with open_resources(settings) as resources, working(resources) as at_work:
        yield at_work


async def test_a_duty_by_the_clock_begins_at_once_and_never_twice_at_once(
    monkeypatch: pytest.MonkeyPatch, settings_here: Settings
) -> None:
    at_work, most, rounds = 0, 0, 0

    async def step() -> bool:
        nonlocal at_work, most, rounds
        at_work, rounds = at_work + 1, rounds + 1
        most = max(most, at_work)
        await asyncio.sleep(0.2)
        at_work -= 1
        return False

    async with _going_by_the_clock(monkeypatch, settings_here, step):
        await until(lambda: rounds >= 3)
    assert (most, at_work) == (1, 0)


async def test_a_duty_that_fails_is_counted_and_soon_tried_again(
    monkeypatch: pytest.MonkeyPatch, settings_here: Settings
) -> None:
    rounds = 0

    async def step() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ValueError("not yet")
        return False

    before = LOOPS_FAILED.value("the duty")
    with capture_logs() as logs:
        async with _going_by_the_clock(monkeypatch, settings_here, step):
            await until(lambda: rounds >= 2)
    assert LOOPS_FAILED.value("the duty") - before == 1
    assert [line["event"] for line in logs if line.get("loop") == "the duty"] == ["loop.failed", "loop.recovered"]


async def test_a_stop_waits_for_a_duty_in_the_middle_of_a_round(
    monkeypatch: pytest.MonkeyPatch, settings_here: Settings
) -> None:
    begun, ended = asyncio.Event(), False

    async def step() -> bool:
        nonlocal ended
        begun.set()
        await asyncio.sleep(0.5)
        ended = True
        return True

    async with _going_by_the_clock(monkeypatch, settings_here, step):
        await begun.wait()
    assert ended


@pytest.fixture
def settings_here(tmp_path: Path) -> Settings:
    """The settings of a process alone on a SQLite file."""
    url = f"sqlite:///{tmp_path}/relay.db"
    upgrade(url)
    return load_settings(secret_keys=("k" * 40,), database_url=url, media_store="database:")


async def _beats(database: Database) -> bool:
    with database.reading() as session:
        return session.exec(select(Row)).first() is not None


async def _thought_about(here: World) -> bool:
    return here.callback_states() != ["due"]
