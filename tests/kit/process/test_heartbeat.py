from datetime import UTC, datetime, timedelta

from sqlmodel import Session, select

from service.kit.db.database import Database
from service.kit.process.heartbeat import Worker, beat

_START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _workers(session: Session) -> list[Worker]:
    return list(session.exec(select(Worker).order_by(Worker.id)))


async def test_the_first_beat_makes_the_row_and_the_next_ones_move_it(database: Database) -> None:
    later = _START + timedelta(seconds=5)
    await database.write(beat, "w1", "worker", {"polls": 1}, _START)
    await database.write(beat, "w1", "worker", {"polls": 2, "attempts": 3}, later)
    (row,) = await database.read(_workers)
    assert (row.started_at, row.heartbeat_at) == (_START, later)
    assert row.counts_json == '{"attempts": 3, "polls": 2}'


async def test_each_process_has_a_row_of_its_own(database: Database) -> None:
    await database.write(beat, "w1", "worker", {}, _START)
    await database.write(beat, "w2", "web", {}, _START)
    assert [(row.id, row.kind) for row in await database.read(_workers)] == [("w1", "worker"), ("w2", "web")]
