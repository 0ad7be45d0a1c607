"""Callbacks stored where a processor works are handed to it already leased, and nothing is lost where they are not."""

import json
from datetime import timedelta

from sqlmodel import col, select

from service.callbacks.intake import Arrived, store_callbacks
from service.callbacks.models import Callback
from service.kit.db.database import Database
from tests.detections.rows import World, world
from tests.detections.scripted import asc, job


async def _at_work(database: Database) -> World:
    """A world where the vendor has one run as job j1."""
    here = world(database, asc(submits=[job("j1")]))
    here.submit("asc")
    await here.dispatch()
    return here


def _store(here: World, *bodies: bytes, handed: bool = True) -> list[bool]:
    headers = {"content-type": "application/json"}
    batch = [Arrived("live", "asc", "j1", "j1", body, headers, "url_token", here.clock()) for body in bodies]
    with here.database.writing() as session:
        return list(store_callbacks(session, batch, here.processor if handed else None))


def _rows(database: Database) -> list[Callback]:
    with database.reading() as session:
        return list(session.exec(select(Callback).order_by(col(Callback.id))))


def _said(word: str) -> bytes:
    return json.dumps({"said": word}).encode()


async def test_what_is_handed_over_is_leased_and_needs_no_claim(database: Database) -> None:
    here = await _at_work(database)
    assert _store(here, _said("ai")) == [True]
    (row,) = _rows(database)
    assert row.lease_token is not None
    assert row.due_at is not None
    assert row.due_at > here.clock()
    assert not await here.processor.step()
    assert here.callback_states() == ["due"]
    assert not await here.processor.step_handed()
    assert here.callback_states() == ["applied"]


async def test_what_was_handed_to_one_that_died_is_due_again_when_its_lease_ends(database: Database) -> None:
    here = await _at_work(database)
    _store(here, _said("ai"))
    here.processor._handed.clear()  # as when the process ends
    assert not await here.processor.step()
    here.clock.turn(31)
    await here.processor.step()
    assert here.callback_states() == ["applied"]


async def test_one_that_comes_to_it_after_its_lease_ended_is_left_to_the_other(database: Database) -> None:
    here = await _at_work(database)
    _store(here, _said("ai"))
    here.clock.turn(31)
    await here.processor.step()
    (before,) = _rows(database)
    await here.processor.step_handed()
    assert [row.model_dump() for row in _rows(database)] == [before.model_dump()]


async def test_the_same_again_and_what_is_too_large_to_keep_in_memory_is_not_handed_over(database: Database) -> None:
    here = await _at_work(database)
    assert _store(here, _said("ai"), _said("ai")) == [True, False]
    assert _store(here, _said("ai")) == [False]
    assert len(here.processor._handed) == 1
    assert _store(here, _said("x" * 70_000)) == [True]
    assert len(here.processor._handed) == 1
    assert [row.lease_token is None for row in _rows(database)] == [False, True]


async def test_beyond_its_room_they_wait_to_be_found(database: Database) -> None:
    here = await _at_work(database)
    _store(here, *(_said(f"word {n}") for n in range(15)))
    kept = here.processor._handed.copy()
    for _ in range(17):
        here.processor._handed.extend(kept)
    assert _store(here, _said("ai")) == [True]
    assert [row.lease_token is None for row in _rows(database)] == [False] * 15 + [True]
    assert here.processor.reserve(1) is None


async def test_a_process_that_ends_lets_what_was_handed_over_have_its_effect(database: Database) -> None:
    here = await _at_work(database)
    _store(here, _said("ai"))
    await here.processor.drain(within=timedelta(seconds=30).total_seconds())
    assert here.callback_states() == ["applied"]
