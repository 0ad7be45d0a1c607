"""Audio comes in once, whole, and judged; whatever goes wrong, nothing of it stays behind."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from service.kit.db.database import Database
from service.kit.errors import CallerError
from service.kit.ids import is_id
from service.media.ingest import UNUSED, StoredMedia, clean_name, take_in
from service.media.models import Media
from service.media.probe import HEAD_BYTES
from service.media.store import FileStore
from tests.media import sounds

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CAP = 1_000_000


@dataclass
class Place:
    """A database, a store and a staging folder, and what is left in them."""

    database: Database
    folder: Path
    store: FileStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = FileStore(self.folder / "store")

    async def take(self, chunks: bytes | AsyncIterator[bytes], **changes: Any) -> StoredMedia:
        keywords: dict[str, Any] = {"name": "song.wav", "account_id": "acc_1", "mode": "live", "max_bytes": CAP}
        return await take_in(
            sounds.pieces(chunks) if isinstance(chunks, bytes) else chunks,
            database=self.database,
            store=self.store,
            clock=lambda: NOW,
            staging=self.folder / "staging",
            **(keywords | changes),
        )

    async def rows(self) -> Sequence[Media]:
        return await self.database.read(lambda session: session.exec(select(Media).order_by("id")).all())

    def stored(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "store").rglob("*") if path.is_file())

    def staged(self) -> list[Path]:
        return list((self.folder / "staging").iterdir())


@pytest.fixture
def place(database: Database, tmp_path: Path) -> Place:
    return Place(database, tmp_path)


async def test_what_comes_in_is_stored_and_described(place: Place) -> None:
    data = sounds.wav(90)
    taken = await place.take(data)
    media = taken.media
    assert taken.created
    assert is_id(media.id, "med")
    assert (media.sha256, media.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (media.name, media.format, media.content_type) == ("song.wav", "wav", "audio/wav")
    assert (media.duration_ms, media.created_at, media.delete_after) == (90_000, NOW, NOW + UNUSED)
    assert b"".join([piece async for piece in place.store.read(media.id)]) == data
    assert [row.model_dump() for row in await place.rows()] == [media.model_dump()]
    assert place.staged() == []


async def test_the_same_bytes_again_are_the_first_object(place: Place) -> None:
    first = await place.take(sounds.wav())
    again = await place.take(sounds.wav(), name="another name.wav")
    assert (again.created, again.media.id, again.media.name) == (False, first.media.id, "song.wav")
    assert place.stored() == [first.media.id]


async def test_many_at_once_with_the_same_bytes_make_one_object(place: Place) -> None:
    taken = await asyncio.gather(*(place.take(sounds.wav()) for _ in range(8)))
    assert len({each.media.id for each in taken}) == 1
    assert sum(each.created for each in taken) == 1
    assert place.stored() == [row.id for row in await place.rows()]
    assert place.staged() == []


async def test_accounts_and_modes_share_nothing_and_names_matter_in_test_mode_only(place: Place) -> None:
    told = [
        await place.take(sounds.wav(), account_id=account, mode=mode, name=name)
        for account, mode, name in [
            ("acc_1", "live", "a.wav"),
            ("acc_2", "live", "a.wav"),
            ("acc_1", "test", "a.wav"),
            ("acc_1", "test", "a.ai.wav"),
            ("acc_1", "test", "a.wav"),
            ("acc_1", "live", "a.ai.wav"),
        ]
    ]
    assert [each.created for each in told] == [True, True, True, True, False, False]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (NOW + timedelta(seconds=1), NOW + UNUSED),  # as long as a new upload
        (NOW + 3 * UNUSED, NOW + 3 * UNUSED),  # not less than promised
        (None, None),  # a detection needs them
    ],
)
async def test_bytes_that_come_again_are_not_about_to_be_deleted(
    place: Place, before: datetime | None, after: datetime | None
) -> None:
    first = await place.take(sounds.wav())

    def end(session: Session) -> None:
        session.get_one(Media, first.media.id).delete_after = before

    await place.database.write(end)
    assert (await place.take(sounds.wav())).media.delete_after == after
    assert [row.delete_after for row in await place.rows()] == [after]


async def test_erased_bytes_that_come_again_are_a_new_object(place: Place) -> None:
    first = await place.take(sounds.wav())

    def erase(session: Session) -> None:
        session.get_one(Media, first.media.id).erased_at = NOW

    await place.database.write(erase)
    await place.store.delete(first.media.id)
    second = await place.take(sounds.wav())
    assert second.created
    assert [row.id for row in await place.rows()] == [first.media.id, second.media.id]
    assert place.stored() == [second.media.id]


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "empty_media"),
        (b"just words", 415, "unsupported_media"),
        (b"<html>" * 50_000, 415, "unsupported_media"),
        (sounds.wav(125), 413, "media_too_large"),
    ],
)
async def test_refused_bytes_leave_nothing_behind(place: Place, data: bytes, status: int, code: str) -> None:
    with pytest.raises(CallerError) as caught:
        await place.take(data)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert await place.rows() == []
    assert place.stored() == []
    assert place.staged() == []


async def test_exactly_as_many_bytes_as_are_allowed_are_taken(place: Place) -> None:
    data = sounds.wav()
    assert (await place.take(data, max_bytes=len(data))).created
    with pytest.raises(CallerError):
        await place.take(data + b"!", max_bytes=len(data))


async def test_what_is_not_audio_is_refused_before_the_rest_has_come(place: Place) -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b"x" * 1024

    with pytest.raises(CallerError):
        await place.take(endless())
    assert asked == HEAD_BYTES // 1024


@pytest.mark.parametrize("size", [700, 300_000])
@pytest.mark.parametrize(
    ("before", "stream", "word"),
    [
        (bytes(20_000), sounds.mp3(100), "mp3"),
        (b"\r\n", sounds.mp3(100), "mp3"),
        (sounds.ape(900), sounds.mp3(100), "mp3"),
        (sounds.ADTS_FRAME[9:], sounds.ADTS_FRAME * 112, "aac"),
    ],
)
async def test_frames_that_do_not_begin_at_once_are_taken_and_measured(
    place: Place, before: bytes, stream: bytes, word: str, size: int
) -> None:
    media = (await place.take(sounds.pieces(before + stream, size))).media
    assert media.format == word
    assert media.duration_ms == pytest.approx(2612, rel=0.01)


@pytest.mark.parametrize("size", [1, 7, 4096, 300_000])
async def test_the_size_of_the_pieces_changes_nothing(place: Place, size: int) -> None:
    data = sounds.wav(2)
    assert (await place.take(sounds.pieces(data, size))).media.sha256 == hashlib.sha256(data).hexdigest()


async def test_a_sender_that_breaks_off_leaves_nothing_behind(place: Place) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield sounds.wav(60)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await place.take(broken())
    assert place.stored() == []
    assert place.staged() == []


async def test_a_store_that_fails_leaves_no_row_and_no_bytes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def put(self: FileStore, media_id: str, path: Path) -> None:
        del path
        (self.folder / media_id[-2:]).mkdir(parents=True)
        (self.folder / media_id[-2:] / media_id).write_bytes(b"half of")
        raise OSError(28, "no space left")

    monkeypatch.setattr(FileStore, "put", put)
    with pytest.raises(OSError, match="no space left"):
        await place.take(sounds.wav())
    assert await place.rows() == []
    assert place.stored() == []
    assert place.staged() == []


async def test_an_upload_that_is_cancelled_leaves_nothing_behind(place: Place) -> None:
    waits = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield sounds.wav(60)
        waits.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(place.take(stuck()))
    await waits.wait()
    assert len(place.staged()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert place.staged() == []


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        (None, "audio.mp3"),
        ("", "audio.mp3"),
        (" .. ", "audio.mp3"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\song.mp3", "song.mp3"),
        ("a\0b\r\nc\u202egpm.mp3", "abcgpm.mp3"),
        ("\ud800.mp3", ".mp3"),
        ("folder/", "audio.mp3"),
        ("été, 1.lost-callback.ai.mp3", "été, 1.lost-callback.ai.mp3"),
        ("x" * 300 + ".mp3", "x" * 251 + ".mp3"),
        ("x." + "y" * 300, "x." + "y" * 253),
    ],
)
def test_names_are_made_harmless(given_name: str | None, kept: str) -> None:
    assert clean_name(given_name, "mp3") == kept


@given(st.text(max_size=400))
def test_every_name_can_be_kept(name: str) -> None:
    kept = clean_name(name, "mp3")
    assert 1 <= len(kept) <= 255
    assert kept.isprintable() or all(character.isprintable() or character.isspace() for character in kept)
    assert not set(kept) & set("/\\\0\r\n")
    assert clean_name(kept, "mp3") == kept
