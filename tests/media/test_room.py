"""An account's room for audio, by the day and at once: its own, and no other account's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel import select

from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.ids import new_id
from service.media.ingest import take_in
from service.media.models import Media
from service.media.room import Rooms
from service.media.store import DatabaseStore
from tests.media import sounds

NOW = datetime.fromisoformat("2026-11-20T12:00:00Z")
_HOUR = timedelta(hours=1)


@dataclass
class Turned:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def _put(
    database: Database, size: int, *, age: timedelta = _HOUR, erased: bool = False, account: str = "acc_1"
) -> None:
    media_id = new_id("med")
    with database.writing() as session:
        session.add(
            Media(
                id=media_id, account_id=account, mode="live", sha256=media_id, name_key="", bytes=size, name="a",
                format="wav", content_type="audio/wav", created_at=NOW - age, erased_at=NOW if erased else None,
            )
        )  # fmt: skip


def _rooms(
    database: Database, clock: Turned | None = None, *, a_day: int | None = 1000, kept: int | None = 500
) -> Rooms:
    return Rooms(database, lambda: NOW, a_day=a_day, kept=kept, monotonic=clock or Turned())


async def _refusal(rooms: Rooms, size: int = 0) -> CallerError:
    async def take() -> None:
        async with rooms.one_more("acc_1") as room:
            for _ in range(size):
                room.add(1)

    with pytest.raises(CallerError) as caught:
        await take()
    assert (caught.value.status, caught.value.code) == (429, "media_quota_exceeded")
    return caught.value


async def test_the_refusal_gives_the_figures(database: Database) -> None:
    _put(database, 500)
    said = await _refusal(_rooms(database))
    assert "500 of 1,000 bytes uploaded in the last 24 hours, and 500 of 500 bytes stored" in said.detail
    assert int(said.headers["Retry-After"]) > 0


async def test_what_is_deleted_makes_room_at_once_but_not_for_the_day(database: Database) -> None:
    _put(database, 500, erased=True)
    await _rooms(database).check("acc_1")
    _put(database, 500, erased=True)
    await _refusal(_rooms(database))


async def test_what_came_yesterday_does_not_count_for_today(database: Database) -> None:
    _put(database, 5000, erased=True, age=timedelta(hours=25))
    await _rooms(database).check("acc_1")


async def test_another_accounts_audio_counts_for_nothing(database: Database) -> None:
    _put(database, 5000, account="acc_2")
    await _rooms(database).check("acc_1")


async def test_a_stream_is_cut_where_the_room_ends_and_takes_none_then(database: Database) -> None:
    _put(database, 400)
    rooms = _rooms(database)
    await _refusal(rooms, 102)
    async with rooms.one_more("acc_1") as room:
        room.add(100)


async def test_uploads_at_the_same_time_share_the_room(database: Database) -> None:
    rooms = _rooms(database)
    async with rooms.one_more("acc_1") as first:
        first.add(499)
        async with rooms.one_more("acc_1") as second:
            second.add(1)
            with pytest.raises(CallerError):
                first.add(1)
        first.add(1)


async def test_what_was_entered_counts_before_the_table_is_asked_again(database: Database) -> None:
    rooms = _rooms(database)
    async with rooms.one_more("acc_1") as room:
        room.add(500)
        room.enter()
    await _refusal(rooms)


async def test_an_account_that_made_room_is_let_in_a_second_later(database: Database) -> None:
    _put(database, 500)
    clock = Turned()
    rooms = _rooms(database, clock)
    await _refusal(rooms)
    with database.writing() as session:
        session.exec(select(Media)).one().erased_at = NOW
    clock.now += 1.1
    await rooms.check("acc_1")


async def test_audio_that_comes_in_counts_once_however_often_it_is_sent(database: Database, tmp_path: Path) -> None:
    rooms = _rooms(database, a_day=10_000, kept=2 * len(sounds.wav()) - 1)

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        yield data

    async def take(data: bytes) -> None:
        async with rooms.one_more("acc_1") as room:
            await take_in(
                pieces(data), name="a.wav", account_id="acc_1", mode="live", database=database,
                store=DatabaseStore(database), clock=lambda: NOW, staging=tmp_path, room=room,
            )  # fmt: skip

    for _ in range(4):
        await take(sounds.wav())
    assert (await rooms._use("acc_1")).kept == len(sounds.wav())
    assert (await rooms._use("acc_1")).under_way == 0


async def test_without_limits_nothing_is_asked() -> None:
    async with Rooms().one_more("acc_1") as room:
        room.add(10**12)
