"""One account's sources, however many and however silent, hold up no other account."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from service.kit.db.database import Database
from service.media.room import Rooms
from tests.detections.rows import SOUND, World, add_media, world
from tests.detections.scripted import asc
from tests.hanging_names import Lookups, hanging_names
from tests.loopback import answer
from tests.vendor_calls.test_fetch_source import _all, _fetcher, _server
from tests.waiting import until

_CROWD = 24
_USUAL_SECONDS = 1.0


async def _fetched(here: World, url: str) -> float:
    """How long another account's download took, in seconds."""
    began = time.monotonic()
    detection_id = here.submit("asc", source_url=url, source_name="s")
    await until(lambda: here.detection(detection_id).source_state == "ready", seconds=8)
    return time.monotonic() - began


def _crowd(here: World, url: str) -> None:
    for n in range(_CROWD):
        here.submit("asc", source_url=url.format(n=n), source_name="s", account_id="acc_2")


@pytest.fixture
def lookups() -> Iterator[Lookups]:
    with hanging_names() as found:
        yield found


async def test_names_that_are_never_answered_hold_up_no_other_account(database: Database, lookups: Lookups) -> None:
    here = world(database, asc())
    async with _server(song=answer(SOUND)) as server, _fetcher(here) as fetcher:
        port = server.at.url.rpartition(":")[2]
        _crowd(here, f"http://n{{n}}.silent.example:{port}/song.wav")
        fetching = asyncio.create_task(_all(fetcher))
        await until(lambda: lookups.hanging)
        assert await _fetched(here, f"http://a.home.example:{port}/song.wav") < 2 * _USUAL_SECONDS
        assert lookups.hanging <= 2
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


async def test_the_loops_own_look_ups_are_not_held_up_by_customers_names(database: Database, lookups: Lookups) -> None:
    here = world(database, asc())
    async with _fetcher(here) as fetcher:
        for n in range(_CROWD):
            address = f"http://n{n}.silent.example/song.wav"
            here.submit("asc", source_url=address, source_name="s", account_id=f"acc_{n}")
        fetching = asyncio.create_task(_all(fetcher))
        await until(lambda: lookups.hanging >= 6)
        async with asyncio.timeout(2 * _USUAL_SECONDS):
            assert await asyncio.get_running_loop().getaddrinfo("vendor.home.example", 443)
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


async def test_servers_that_never_answer_hold_up_no_other_account(database: Database) -> None:
    here = world(database, asc())
    async with _server(song=answer(SOUND)) as server, _fetcher(here) as fetcher:
        _crowd(here, f"{server.at.url}/silence.wav?{{n}}")
        fetching = asyncio.create_task(_all(fetcher))
        await until(lambda: "silence" in server.asked)
        assert await _fetched(here, f"{server.at.url}/song.wav") < 2 * _USUAL_SECONDS
        fetching.cancel()
        await asyncio.gather(fetching, return_exceptions=True)


async def test_a_source_of_an_account_without_room_waits_and_is_fetched_once_there_is_some(database: Database) -> None:
    here = world(database, asc())
    rooms = Rooms(database, here.clock, kept=1)
    async with _server(song=answer(SOUND)) as server, _fetcher(here) as fetcher:
        with database.writing() as session:
            add_media(session)
        full = replace(fetcher, rooms=rooms)
        detection_id = here.submit("asc", source_url=f"{server.at.url}/song.wav", source_name="s")
        await _all(full)
        detection = here.detection(detection_id)
        assert (detection.source_state, detection.source_tries) == ("due", 0)
        assert detection.due_at == here.clock() + timedelta(seconds=60)
        rooms.kept = None
        here.clock.turn(60)
        await _all(full)
        assert here.detection(detection_id).source_state == "ready"
