"""Answers that stay open: a key has so many, no other key is refused for it, and idle ones cost next to nothing."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from service.api.limits import MOST_A_KEY
from service.kit.concurrency.wake import LISTENING_SWEEP_SECONDS
from tests.api.doors import bearer
from tests.api.listening import Reader, listening
from tests.api.v1.test_streams import Door, door
from tests.waiting import until

__all__ = ["door"]  # the fixture

_EVENTS = "/v1/events/stream"


async def _all_open(door: Door, stack: contextlib.AsyncExitStack, count: int) -> list[Reader]:
    return [await stack.enter_async_context(listening(door.client, _EVENTS, door.key)) for _ in range(count)]


async def _refused(door: Door, path: str, key: dict[str, str]) -> httpx.Response:
    async with door.client.stream("GET", path, headers=key) as answer:
        if answer.status_code == 429:
            await answer.aread()
        return answer


@pytest.fixture
async def open_ones(door: Door) -> Any:
    async with contextlib.AsyncExitStack() as stack:
        yield await _all_open(door, stack, MOST_A_KEY)
        door.context.shutdown.begin()


@pytest.mark.parametrize("path", [_EVENTS, "/v1/detections/{}/stream", "/v1/detections/{}?wait=5"])
async def test_beyond_its_share_a_key_is_refused_and_another_is_not(
    door: Door, open_ones: list[Reader], path: str
) -> None:
    assert len(open_ones) == MOST_A_KEY
    path = path.format(door.submit())
    answer = await _refused(door, path, door.key)
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "too_many_open", "5")
    other = bearer(door.here.database)
    assert (await _refused(door, path.replace("wait=5", "wait=1"), other)).status_code == 200


async def test_what_need_not_wait_is_never_refused(door: Door, open_ones: list[Reader]) -> None:
    assert open_ones
    detection_id = door.submit()
    assert (await door.client.get(f"/v1/detections/{detection_id}", headers=door.key)).status_code == 200
    assert (await door.client.get("/v1/detections/det_none?wait=5", headers=door.key)).status_code == 404
    assert (await door.client.head(_EVENTS, headers=door.key)).status_code == 200


async def test_a_place_is_given_back_when_the_reader_goes(door: Door) -> None:
    async with contextlib.AsyncExitStack() as stack:
        await _all_open(door, stack, MOST_A_KEY)
        assert (await _refused(door, _EVENTS, door.key)).status_code == 429
    await until(lambda: not door.context.open_responses._open)
    detection_id = door.submit()
    assert (await door.client.get(f"/v1/detections/{detection_id}?wait=1", headers=door.key)).status_code == 200
    assert not door.context.open_responses._open


async def test_idle_streams_of_an_account_look_together_and_rarely(door: Door, open_ones: list[Reader]) -> None:
    database = door.here.database
    database.wake.sweep_seconds = LISTENING_SWEEP_SECONDS
    door.put()
    for reader in open_ones:
        await reader.hears(1)
    looks: list[str] = []

    def note(*heard: Any) -> None:
        if "FROM event" in heard[2]:
            looks.append(heard[2])

    event.listen(database.engine, "before_cursor_execute", note)
    await asyncio.sleep(3)  # for so long nothing happens: after one second, and then after two
    door.put()
    for reader in open_ones:
        await reader.hears(2)
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(looks) <= 10
