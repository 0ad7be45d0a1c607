"""A worker's queues: a loop begins where a row is due, however it came to be there, and rests where none is."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert
from sqlmodel import Session, SQLModel

from service.callbacks.models import Callback
from service.callbacks.process import CallbackProcessor
from service.kit.concurrency.wake import LISTENING_SWEEP_SECONDS
from service.kit.db.columns import table_of
from service.kit.db.database import Database
from service.kit.db.queues import NextDue
from service.quotas.models import Gate
from service.runs.state.models import Certificate, Detection, Run
from service.webhooks.models import Delivery, Endpoint
from service.worker import LOOPS_FAILED, Worker
from tests.at_work import RealTime, by_hand, started
from tests.detections.rows import world
from tests.detections.scripted import NOW, asc
from tests.waiting import until

_LATER = NOW + timedelta(hours=1)
_FILLING = {str(kind): value for kind, value in [(datetime, NOW), (str, "1"), (int, 1), (bytes, b"{}")]}


def _put(session: Session, model: type[SQLModel], **values: Any) -> None:
    """A row with something in each column that needs it."""
    row = {name: _FILLING[str(field.annotation)] for name, field in model.model_fields.items() if field.is_required()}
    session.connection().execute(insert(table_of(model)), [row | values])


def _put_what_is_referred_to(session: Session) -> None:
    _put(session, Detection, id="1", source_state="ready")
    _put(session, Endpoint, id="1", status="enabled")


_QUEUES: list[tuple[str, type[SQLModel], dict[str, Any]]] = [
    ("fetch sources", Detection, {"id": "2", "source_state": "due", "due_at": NOW}),
    ("dispatch runs", Run, {"state": "queued", "due_at": NOW}),
    ("dispatch runs", Run, {"state": "unknown", "due_at": NOW, "lease_token": "ended"}),
    ("dispatch runs", Gate, {"queue_until": _LATER}),
    ("process callbacks", Callback, {"state": "due", "due_at": NOW}),
    ("poll vendors", Run, {"state": "waiting", "due_at": NOW}),
    ("poll vendors", Run, {"state": "timed_out", "due_at": NOW}),
    ("tell followers", Run, {"state": "succeeded", "ended_at": NOW, "followers_due_at": NOW}),
    ("check certificates", Certificate, {"state": "announced", "due_at": NOW}),
    ("deliver webhooks", Delivery, {"state": "due", "lane": "fresh", "due_at": NOW}),
    ("deliver webhooks", Delivery, {"state": "due", "lane": "retry", "due_at": NOW, "lease_token": "ended"}),
    ("tell delays", Detection, {"id": "2", "source_state": "ready", "delay_due_at": NOW}),
]


@pytest.mark.parametrize(("name", "model", "values"), _QUEUES, ids=[f"{each[0]} {each[2]}" for each in _QUEUES])
async def test_the_loop_of_a_row_that_is_due_is_named_and_no_other(
    database: Database, name: str, model: type[SQLModel], values: dict[str, Any]
) -> None:
    async with by_hand(world(database, asc())) as worker:
        with database.writing() as session:
            _put_what_is_referred_to(session)
        assert await worker.find_due() == ([], 1)
        with database.writing() as session:
            _put(session, model, **values)
        assert await worker.find_due() == ([name], 1)


async def test_a_row_that_is_leased_is_looked_at_when_its_lease_ends(database: Database) -> None:
    here = world(database, asc())
    lease_ends = NOW + timedelta(seconds=0.5)
    async with by_hand(here) as worker:
        with database.writing() as session:
            _put_what_is_referred_to(session)
            _put(session, Delivery, state="due", lane="fresh", due_at=lease_ends, lease_token="taken")
        assert await worker.find_due() == ([], 0.5)
        here.clock.turn(0.5)
        assert await worker.find_due() == (["deliver webhooks"], 1)


async def test_where_it_cannot_be_told_what_is_due_each_loop_finds_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("unreadable")

    async with by_hand(world(database, asc())) as worker:
        queues = [loop.name for loop in worker.loops() if loop.due]
        monkeypatch.setattr(NextDue, "find", fail)
        before = LOOPS_FAILED.value("find due rows")
        assert await worker.find_due() == (queues, 1)
        assert LOOPS_FAILED.value("find due rows") == before + 1


async def test_an_answer_that_does_not_come_is_no_failure_and_no_loop_waits_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def late(*_: object, **__: object) -> None:
        return None

    async with by_hand(world(database, asc())) as worker:
        monkeypatch.setattr(NextDue, "read", late)
        before = LOOPS_FAILED.value("find due rows")
        assert await worker.find_due() == ([loop.name for loop in worker.loops() if loop.due], 1)
        assert LOOPS_FAILED.value("find due rows") == before


async def test_each_queue_is_read_through_an_index(database: Database) -> None:
    """However many rows wait or have ended: only the first of each queue is read."""
    statements: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    async with by_hand(world(database, asc())) as worker:
        engine = worker._resources.database.engine
        event.listen(engine, "before_cursor_execute", listen)
        await worker.find_due()
        event.remove(engine, "before_cursor_execute", listen)
    ((statement, parameters),) = statements
    with database.reading() as session:
        connection = session.connection()
        if database.is_sqlite:
            plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            whole = [step for step in plan if "TEMP B-TREE" in step or ("SCAN" in step and "INDEX" not in step)]
        else:
            connection.exec_driver_sql("SET enable_seqscan = off")
            connection.exec_driver_sql("SET enable_bitmapscan = off")
            plan = list(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            whole = [step for step in plan if "Seq Scan" in step or "Sort" in step]
    assert sum("ix_" in step for step in plan) == 9, plan
    assert [step for step in whole if "gate" not in step and step != "SCAN CONSTANT ROW"] == []


async def test_a_row_that_another_process_wrote_without_a_word_is_found(database: Database) -> None:
    here = world(database, asc())
    here.clock = RealTime()
    async with started(here):
        with database.writing() as session:  # not the worker's own, which would be told
            _put(session, Callback, state="due", due_at=here.clock(), headers_json="{}")
        await until(lambda: here.callback_states() == ["parked"])


async def test_a_loop_with_nothing_due_begins_no_round(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, asked = list[int](), list[int]()
    real: Callable[[Worker], Awaitable[Any]] = Worker.find_due

    async def step(_: CallbackProcessor) -> bool:
        begun.append(1)
        return False

    async def find_due(worker: Worker) -> Any:
        asked.append(1)
        return await real(worker)

    monkeypatch.setattr(CallbackProcessor, "step", step)
    monkeypatch.setattr(Worker, "find_due", find_due)
    here = world(database, asc())
    here.clock = RealTime()
    async with started(here) as worker:
        wake = worker._resources.database.wake
        await until(lambda: wake.sweep_seconds == LISTENING_SWEEP_SECONDS)  # it hears; then all were woken once
        await until(lambda: begun)
        before = len(asked)
        await until(lambda: len(asked) > before)
        rounds = len(begun)
        await until(lambda: len(asked) > before + 2)
        assert len(begun) == rounds
        wake.notify(["callbacks"])
        await until(lambda: len(begun) == rounds + 1)
