"""What any store must do, asked of both."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlmodel import select

from service.kit.db.database import Database
from service.media.models import MediaChunk
from service.media.store import CHUNK_BYTES, DatabaseStore, FileStore, MediaMissing, Store, store_from

SIZES = [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 20 * CHUNK_BYTES, 21 * CHUNK_BYTES + 5]


def content(size: int) -> bytes:
    return bytes(n * 31 % 251 for n in range(1000)) * (size // 1000) + bytes(size % 1000)


@pytest.fixture(params=["file", "database"])
def store(request: pytest.FixtureRequest, tmp_path: Path, database: Database) -> Store:
    return FileStore(tmp_path / "store") if request.param == "file" else DatabaseStore(database)


@pytest.fixture
def filed(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "incoming"
        path.write_bytes(data)
        return path

    return write


async def read(store: Store, media_id: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.read(media_id, start, end)])


@pytest.mark.parametrize("size", SIZES)
async def test_what_was_put_is_read_back(
    store: Store, database: Database, filed: Callable[[bytes], Path], size: int
) -> None:
    data = content(size)
    await database.write(await store.put("med_one", filed(data)))
    assert await read(store, "med_one") == data
    assert await read(store, "med_one", 0, size) == data


async def test_what_is_short_is_written_with_its_row_alone(database: Database, filed: Callable[[bytes], Path]) -> None:
    store = DatabaseStore(database)
    finish = await store.put("med_one", filed(content(15 * CHUNK_BYTES)))
    with pytest.raises(MediaMissing):
        await read(store, "med_one")
    await database.write(finish)
    assert await read(store, "med_one") == content(15 * CHUNK_BYTES)


async def test_any_stretch_can_be_read(store: Store, database: Database, filed: Callable[[bytes], Path]) -> None:
    data = content(3 * CHUNK_BYTES + 10)
    await database.write(await store.put("med_one", filed(data)))
    edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(data) - 1, len(data)]
    for start in edges:
        for end in edges:
            assert await read(store, "med_one", start, end) == data[start:end], (start, end)


async def test_pieces_are_bounded(store: Store, database: Database, filed: Callable[[bytes], Path]) -> None:
    await database.write(await store.put("med_one", filed(content(20 * CHUNK_BYTES))))
    lengths = [len(piece) async for piece in store.read("med_one")]
    assert max(lengths) <= 4 * CHUNK_BYTES


async def test_what_is_not_there_is_missing(store: Store, database: Database, filed: Callable[[bytes], Path]) -> None:
    with pytest.raises(MediaMissing):
        await read(store, "med_none")
    await database.write(await store.put("med_one", filed(b"four")))
    with pytest.raises(MediaMissing):
        await read(store, "med_one", 0, 5)


async def test_what_was_deleted_is_gone_and_deleting_again_is_no_fault(
    store: Store, database: Database, filed: Callable[[bytes], Path]
) -> None:
    await database.write(await store.put("med_one", filed(b"one")))
    await database.write(await store.put("med_two", filed(b"two")))
    await store.delete("med_one")
    await store.delete("med_one")
    with pytest.raises(MediaMissing):
        await read(store, "med_one")
    assert await read(store, "med_two") == b"two"


async def test_chunks_in_the_database_have_256_kib(database: Database, filed: Callable[[bytes], Path]) -> None:
    await database.write(await DatabaseStore(database).put("med_one", filed(content(2 * CHUNK_BYTES + 3))))
    rows = await database.read(lambda session: session.exec(select(MediaChunk).order_by("n")).all())
    assert [(row.n, len(row.data)) for row in rows] == [(0, CHUNK_BYTES), (1, CHUNK_BYTES), (2, 3)]


async def test_a_file_of_another_file_system_is_copied_whole_or_not_at_all(
    tmp_path: Path, database: Database, filed: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_replace, incoming = Path.replace, filed(b"bytes")

    def replace(self: Path, target: Path) -> Path:
        if self == incoming:
            raise OSError(errno.EXDEV, "another file system")
        return plain_replace(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    store = FileStore(tmp_path / "store")
    await database.write(await store.put("med_one", incoming))
    assert await read(store, "med_one") == b"bytes"
    assert [path.name for path in (tmp_path / "store").rglob("*") if path.is_file()] == ["med_one"]


@pytest.mark.parametrize("media_id", ["../../etc/passwd", "", "a/b", ".", "med_\0"])
async def test_nothing_but_an_id_names_a_file(tmp_path: Path, media_id: str) -> None:
    with pytest.raises(ValueError, match="not an id"):
        await read(FileStore(tmp_path), media_id)


def test_settings_name_a_store(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/unused.db")
    file_store = store_from("file:data/media", database)
    assert isinstance(file_store, FileStore)
    assert file_store.folder == Path("data/media")
    assert isinstance(store_from("database:", database), DatabaseStore)
    for setting in ("", "file:", "file", "database", "database:x", "s3://bucket"):
        with pytest.raises(ValueError, match="for example file:data/media"):
            store_from(setting, database)
    database.close()
