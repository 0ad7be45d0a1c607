"""What a killed process left of audio goes, after an hour; what is wanted or new stays."""

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from service.kit.db.database import Database
from service.kit.ids import created_at, new_id
from service.media.erase import Leftovers
from service.media.ingest import STAGED
from service.media.models import Media, MediaChunk
from service.media.store import DatabaseStore, FileStore, MediaMissing, Store

NOW = datetime.fromisoformat("2026-11-20T12:00:00Z")
_OLD = timedelta(hours=2)


def _id(age: timedelta) -> str:
    return new_id("med", milliseconds=int((NOW - age).timestamp() * 1000))


@pytest.fixture(params=["file", "database"])
def store(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> Store:
    return FileStore(tmp_path / "store") if request.param == "file" else DatabaseStore(database)


async def _put(store: Store, database: Database, tmp_path: Path, age: timedelta = _OLD) -> str:
    media_id = _id(age)
    source = tmp_path / "source"
    source.write_bytes(b"sound")
    await database.write(await store.put(media_id, source))
    return media_id


def _name(database: Database, media_id: str, **changes: Any) -> None:
    with database.writing() as session:
        session.add(
            Media(
                id=media_id, account_id="acc_1", mode="live", sha256=media_id, name_key="", bytes=5, name="a",
                format="wav", content_type="audio/wav", created_at=NOW, **changes,
            )
        )  # fmt: skip


async def _is_there(store: Store, media_id: str) -> bool:
    try:
        return [piece async for piece in store.read(media_id, 0, 5)] == [b"sound"]
    except MediaMissing:
        return False


async def test_bytes_that_no_row_names_go_and_others_stay(database: Database, store: Store, tmp_path: Path) -> None:
    lost, named, coming, marked, deleted = [
        await _put(store, database, tmp_path, age) for age in (_OLD, _OLD, timedelta(minutes=30), _OLD, _OLD)
    ]
    _name(database, named)
    _name(database, marked, erased_at=NOW, delete_after=NOW)  # the pruner's to delete
    _name(database, deleted, erased_at=NOW)
    assert await Leftovers(database, store, tmp_path).step(NOW) == 2
    there = [await _is_there(store, each) for each in (lost, named, coming, marked, deleted)]
    assert there == [False, True, True, True, False]


async def test_a_large_store_is_looked_through_part_by_part(
    database: Database, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.media.store._MANY", 2)
    for _ in range(7):
        await _put(store, database, tmp_path)
    search, gone = Leftovers(database, store, tmp_path), list[int]()
    while sum(gone) < 7 and len(gone) < 20:
        gone.append(await search.step(NOW))
    assert sum(gone) == 7
    assert len(gone) > 1


async def test_files_half_received_go_and_other_programs_files_stay(database: Database, tmp_path: Path) -> None:
    names = {f"{STAGED}old": _OLD, f"{STAGED}new": timedelta(minutes=30), "incoming-of-another": _OLD}
    for name, age in names.items():
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, times=(0, (NOW - age).timestamp()))
    (tmp_path / f"{STAGED}link").symlink_to(tmp_path / "incoming-of-another")
    await Leftovers(database, DatabaseStore(database), tmp_path).step(NOW)
    left = set(os.listdir(tmp_path))  # noqa: PTH208 - a few names
    assert {f"{STAGED}new", "incoming-of-another"} <= left
    assert f"{STAGED}old" not in left


async def test_a_copy_that_was_never_finished_goes(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "store" / "ab"
    folder.mkdir(parents=True)
    half = folder / "med_x.incoming"
    half.write_bytes(b"x")
    os.utime(half, times=(0, 0))
    await Leftovers(database, FileStore(tmp_path / "store"), tmp_path).step(NOW)
    assert not half.exists()


async def test_half_a_recording_in_the_database_goes_whole(database: Database, tmp_path: Path) -> None:
    media_id = _id(_OLD)
    with database.writing() as session:
        session.add_all(MediaChunk(media_id=media_id, n=n, data=b"x") for n in range(3))
    assert await Leftovers(database, DatabaseStore(database), tmp_path).step(NOW) == 1
    with database.reading() as session:
        assert session.exec(select(MediaChunk.n)).all() == []


def test_an_id_knows_when_it_was_made() -> None:
    assert created_at(_id(_OLD)) == NOW - _OLD
    assert created_at("med_none") is None
