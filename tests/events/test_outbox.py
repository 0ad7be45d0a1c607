"""A fact is written once, whole, with the bytes that will be signed, and with all that follows from it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from service.events.models import Event
from service.events.outbox import TOPIC, Outbox, Recorded, event_body
from service.events.types import Draft, EventType
from service.kit.db.database import Database
from tests.waiting import until

NOW = datetime(2026, 11, 20, 12, 30, 15, 123456, tzinfo=UTC)


def draft(**given: Any) -> Draft:
    fields = {"account_id": "acc_1", "mode": "live", "type": EventType.DETECTION_COMPLETED, "data": {"id": "det_1"}}
    return Draft(**(fields | given))


def final(revision: int = 1, **given: Any) -> Draft:
    return draft(detection_id="det_1", revision=revision, final=True, **given)


def events(session: Session) -> list[Event]:
    return list(session.exec(select(Event).order_by(col(Event.position))))


async def test_what_is_stored_are_the_very_bytes_of_the_body(database: Database) -> None:
    data = {"title": "Żółć 🎵 \u2028", "z": 1, "a": [None, True, 0.1], "nested": {"b": 1, "a": 2}}
    (recorded,) = await database.write(Outbox().record, [draft(data=data)], NOW)
    (event,) = await database.read(events)
    assert event.id == recorded.id
    assert event.body == event_body("detection.completed", data, NOW)
    assert list(json.loads(event.body)) == ["type", "timestamp", "data"]
    assert json.loads(event.body) == {
        "type": "detection.completed",
        "timestamp": "2026-11-20T12:30:15.123Z",
        "data": data,
    }
    assert "Żółć 🎵".encode() in event.body


async def test_positions_grow_in_the_order_told(database: Database) -> None:
    told: list[str] = []
    for _ in range(3):
        recorded = await database.write(Outbox().record, [draft(), draft()], NOW)
        told += [each.id for each in recorded]
    stored = await database.read(events)
    assert [event.id for event in stored] == told
    assert len({event.position for event in stored}) == 6


async def test_a_second_last_word_on_one_revision_fails_and_takes_its_transaction_with_it(database: Database) -> None:
    await database.write(Outbox().record, [final()], NOW)
    with pytest.raises(IntegrityError):
        await database.write(Outbox().record, [draft(detection_id="det_2"), final()], NOW)
    assert [event.detection_id for event in await database.read(events)] == ["det_1"]


async def test_two_last_words_at_once_leave_one(database: Database) -> None:
    with pytest.raises(IntegrityError):
        await database.write(Outbox().record, [final(), final()], NOW)
    assert await database.read(events) == []


async def test_another_revision_account_or_mode_has_its_own_last_word(database: Database) -> None:
    told = [final(), final(2), final(account_id="acc_2"), final(mode="test"), draft(detection_id="det_1", revision=1)]
    assert len(await database.write(Outbox().record, told, NOW)) == 5


async def test_recorders_see_the_events_in_order_in_the_same_transaction(database: Database) -> None:
    seen: list[Recorded] = []

    def recorder(session: Session, recorded: Sequence[Recorded], now: datetime) -> None:
        assert now == NOW
        assert len(events(session)) == 2
        seen.extend(recorded)

    drafts = [draft(type=EventType.REVIEW_REQUIRED), draft()]
    assert await database.write(Outbox([recorder]).record, drafts, NOW) == seen
    assert [each.type for each in seen] == ["review.required", "detection.completed"]
    assert seen[0].position < seen[1].position


async def test_a_fact_whose_recorder_fails_was_never_told(database: Database) -> None:
    def recorder(_session: Session, _recorded: Sequence[Recorded], _now: datetime) -> None:
        raise RuntimeError("no deliveries")

    with pytest.raises(RuntimeError, match="no deliveries"):
        await database.write(Outbox([recorder]).record, [draft()], NOW)
    assert await database.read(events) == []


async def test_without_a_fact_no_recorder_is_bothered(database: Database) -> None:
    def recorder(_session: Session, _recorded: Sequence[Recorded], _now: datetime) -> None:
        raise AssertionError

    assert await database.write(Outbox([recorder]).record, [], NOW) == []


async def test_what_json_does_not_have_is_never_stored(database: Database) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        await database.write(Outbox().record, [draft(), draft(data={"share": float("nan")})], NOW)
    assert await database.read(events) == []


async def test_who_waits_for_events_wakes(database: Database) -> None:
    database.wake.attach()
    woken = database.wake.subscribe(TOPIC)
    await database.write(Outbox().record, [draft()], NOW)
    await until(woken.is_set)


async def test_on_postgresql_each_event_knows_its_transaction(database: Database) -> None:
    for _ in range(2):
        await database.write(Outbox().record, [draft(), draft()], NOW)
    marks = [event.transaction_id for event in await database.read(events)]
    if database.is_sqlite:
        assert marks == [0] * 4
    else:
        assert marks[0] == marks[1] is not None
        assert marks[2] == marks[3] is not None
        assert marks[0] != marks[2]
