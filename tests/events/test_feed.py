"""The feed: oldest first, in one order always, and never an event skipped, however transactions overlap."""

import random
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from sqlmodel import Session

from service.events.feed import BEGINNING, Mark, event_object, find_event, mark_of, newest_mark, next_mark, read_feed
from service.events.models import Event
from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.db.database import Database
from tests.detections.scripted import NOW
from tests.events.settling import settle

_ACCOUNT = "acc_1"


def _record(session: Session, kind: EventType = EventType.DETECTION_COMPLETED, **changes: Any) -> str:
    fields: dict[str, Any] = {"account_id": _ACCOUNT, "mode": "live", "data": {"n": 1}} | changes
    (recorded,) = Outbox().record(session, [Draft(type=kind, **fields)], NOW)
    return recorded.id


def _put(database: Database, *args: Any, **changes: Any) -> str:
    with database.writing() as session:
        return _record(session, *args, **changes)


def _read(database: Database, after: Mark = BEGINNING, **how: Any) -> list[Event]:
    with database.reading() as session:
        rows = read_feed(session, _ACCOUNT, "live", after, **{"limit": 100, **how})
        session.expunge_all()
        return rows


def _ids(rows: Sequence[Event]) -> list[str]:
    return [row.id for row in rows]


def test_events_come_oldest_first_and_a_page_goes_on_where_the_last_ended(database: Database) -> None:
    made = [_put(database) for _ in range(5)]
    settle(database)
    assert _ids(_read(database)) == made
    first = _read(database, limit=2)
    assert _ids(first) == made[:2]
    assert _ids(_read(database, next_mark(first, BEGINNING))) == made[2:]
    with database.reading() as session:
        end = newest_mark(session, _ACCOUNT, "live")
    assert _read(database, end) == []
    later = _put(database)
    settle(database)
    assert _ids(_read(database, end)) == [later]


def test_only_the_accounts_own_events_of_the_mode_and_type_are_there(database: Database) -> None:
    wanted = _put(database, EventType.DETECTOR_COMPLETED)
    _put(database, account_id="acc_2")
    _put(database, mode="test")
    other = _put(database, EventType.DETECTION_FAILED)
    settle(database)
    assert _ids(_read(database)) == [wanted, other]
    assert _ids(_read(database, pattern="detector.*")) == [wanted]
    assert _ids(_read(database, pattern="detection.failed")) == [other]
    assert _read(database, pattern="batch.*") == []
    with database.reading() as session:
        assert find_event(session, "acc_2", "live", wanted) is None
        assert find_event(session, _ACCOUNT, "test", wanted) is None
        found = find_event(session, _ACCOUNT, "live", wanted)
        assert found is not None
        assert event_object(found) == {
            "id": wanted, "type": "detector.completed", "timestamp": "2026-11-20T12:00:00.000Z", "data": {"n": 1},
        }  # fmt: skip


@pytest.mark.parametrize("event_id", ["", "evt_1", "det_01m7xt5xe5e54tsvvaszt0pgte", "evt_\0"])
def test_what_is_no_id_finds_nothing(database: Database, event_id: str) -> None:
    with database.reading() as session:
        assert find_event(session, _ACCOUNT, "live", event_id) is None


def test_a_later_position_that_commits_first_is_held_back_until_the_earlier_one(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        with database.writing() as slow:
            early = _record(slow)
            late = _put(database)
            assert _read(database) == []
            with database.reading() as session:
                assert newest_mark(session, _ACCOUNT, "live") == BEGINNING
        settle(database)
        assert _ids(_read(database)) == [early, late]


def test_an_older_transaction_with_a_later_position_is_not_skipped(postgres_url: str) -> None:
    """Positions are drawn at the insert, transactions numbered before: the two orders differ."""
    with closing(Database(postgres_url)) as database:
        with database.writing() as older:
            _record(older, account_id="acc_2")  # it has its number now
            with database.writing() as newer:
                low = _record(newer)
            assert _read(database) == []
            high = _record(older)
        settle(database)
        found = _read(database)
        assert sorted(_ids(found)) == sorted([low, high])
        positions = [row.position or 0 for row in found]
        assert positions == sorted(positions, reverse=True)
        assert _ids(_read(database, mark_of(found[0]))) == [found[1].id]


def test_a_mark_from_before_a_restore_goes_by_its_position(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database:
        made = [_put(database) for _ in range(3)]
        settle(database)
        rows = _read(database)
        assert _ids(_read(database, Mark(2**60, rows[1].position or 0))) == made  # once more rather than never


def test_a_reader_beside_four_writers_sees_every_event_once_and_in_one_order(database: Database) -> None:
    chance = random.Random(7)
    delays = [[chance.random() * 0.004 for _ in range(2 * 20)] for _ in range(4)]
    written: list[str] = []

    def write(waits: list[float]) -> None:
        pause = threading.Event()
        while waits:
            with database.writing() as session:
                some = [_record(session)]
                pause.wait(waits.pop())
                some.append(_record(session))
                pause.wait(waits.pop())
            written.extend(some)

    writers = [threading.Thread(target=write, args=(waits,)) for waits in delays]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    after, complete = BEGINNING, False
    while True:
        rows = _read(database, after, limit=3)
        after = next_mark(rows, after)
        seen += _ids(rows)
        if not rows and complete:
            break
        if not rows and not any(writer.is_alive() for writer in writers):
            settle(database)
            complete = True
    assert len(seen) == len(set(seen)) == 160
    assert sorted(seen) == sorted(written)
    assert seen == _ids(_read(database, limit=200))
