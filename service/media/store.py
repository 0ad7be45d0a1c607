"""The store of the bytes: a folder, or the database. What the bytes are is known elsewhere."""

import asyncio
import errno
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from sqlmodel import Session, col, delete, select

from service.kit.db.database import Database
from service.kit.errors import RelayError
from service.media.models import MediaChunk

CHUNK_BYTES = 256 * 1024
_CHUNKS_PER_TRANSACTION = 16
_CHUNKS_PER_LOOK = 4
_MANY = 500
_COPYING = ".incoming"
_STALE_SECONDS = 3600
_ID = re.compile(r"[A-Za-z0-9_]{1,64}")


class MediaMissing(RelayError):  # noqa: N818 - it says what is the matter
    """The store does not hold these bytes, or not all of them."""


Finish = Callable[[Session], None]
"""Keeps the last of the bytes, in the transaction that enters their row. It may run again if that is tried again."""


class Store(Protocol):
    """Keeps the bytes of media by their ids."""

    async def put(self, media_id: str, path: Path) -> Finish:
        """Keep the bytes of the file at `path`, for good and as a whole, once what is returned has run and committed.

        The file itself may be gone then. What a failure leaves behind is for the caller to `delete`.
        """

    def read(self, media_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to before `end` (or the last one), in pieces.

        Raises `MediaMissing` where there is nothing, or less than `end` promises.
        """

    async def delete(self, media_id: str) -> None:
        """Delete what is kept under this id, if anything."""

    async def some(self, after: str) -> tuple[list[str], str]:
        """Return some ids of what is kept, from the position `after`; and the next position, empty at the end."""


def store_from(setting: str, database: Database) -> Store:
    """Return the store that a setting such as `file:data/media` or `database:` names, or raise `ValueError`."""
    kind, colon, rest = setting.partition(":")
    if kind == "file" and rest:
        return FileStore(Path(rest))
    if kind == "database" and colon and not rest:
        return DatabaseStore(database)
    raise ValueError(f"{setting!r} is not a store we know: use for example file:data/media, or database:")


class FileStore:
    """A file a recording, in folders by the end of the id (its beginning is the time, and would fill one folder)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def put(self, media_id: str, path: Path) -> Finish:
        """Put it as `Store` says. A file of the same file system is moved, another copied; both appear whole or not."""
        await asyncio.to_thread(_move, path, self._place(media_id))
        return _nothing_is_left

    async def read(self, media_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes as `Store` says."""
        place, position = self._place(media_id), start
        while end is None or position < end:
            wanted = CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - position)
            piece = await asyncio.to_thread(_piece, place, position, wanted)
            if not piece and end is not None:
                raise MediaMissing(f"{media_id} ends at byte {position}, not {end}")
            if not piece:
                return
            yield piece
            position += len(piece)

    async def delete(self, media_id: str) -> None:
        """Delete it as `Store` says."""
        await asyncio.to_thread(self._place(media_id).unlink, missing_ok=True)

    async def some(self, after: str) -> tuple[list[str], str]:
        """Return some as `Store` says. A position is the name of a folder."""
        return await asyncio.to_thread(_some_files, self.folder, after)

    def _place(self, media_id: str) -> Path:
        if _ID.fullmatch(media_id) is None:
            raise ValueError(f"{media_id!r} is not an id")
        return self.folder / media_id[-2:] / media_id


class DatabaseStore:
    """Chunks in a table, for processes that share a database and no disk. No transaction moves more than 4 MiB."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, media_id: str, path: Path) -> Finish:
        """Put it as `Store` says. The last 4 MiB, mostly all there is, are written with their row."""
        n, pieces = 0, await asyncio.to_thread(_pieces, path, 0)
        while len(pieces) == _CHUNKS_PER_TRANSACTION:
            await self._database.write(_add_chunks, media_id, n, pieces)
            n += len(pieces)
            pieces = await asyncio.to_thread(_pieces, path, n * CHUNK_BYTES)
        return partial(_add_chunks, media_id=media_id, first=n, pieces=pieces)

    async def read(self, media_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes as `Store` says."""
        position = start
        while end is None or position < end:
            n, offset = divmod(position, CHUNK_BYTES)
            last = n + _CHUNKS_PER_LOOK if end is None else min(n + _CHUNKS_PER_LOOK, -(-end // CHUNK_BYTES))
            chunks = await self._database.read(_chunks, media_id, n, last)
            data = b"".join(chunks)[offset : None if end is None else end - n * CHUNK_BYTES]
            if not data and (end is not None or position == 0):
                raise MediaMissing(f"{media_id} ends at byte {position}")
            if not data:
                return
            yield data
            position += len(data)
            if end is None and len(chunks) < last - n:
                return

    async def delete(self, media_id: str) -> None:
        """Delete it as `Store` says."""
        await self._database.write(_drop_chunks, media_id)

    async def some(self, after: str) -> tuple[list[str], str]:
        """Return some as `Store` says. A position is an id."""
        found = await self._database.read(_some_ids, after)
        return found, found[-1] if len(found) == _MANY else ""


def _move(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        _sync(source)
        source.replace(place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, place)
    _sync(place.parent)


def _copy(source: Path, place: Path) -> None:
    beside = place.with_name(f"{place.name}{_COPYING}")
    try:
        shutil.copyfile(source, beside)
        _sync(beside)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Sync what is at `path`, so that it survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _piece(path: Path, position: int, wanted: int) -> bytes:
    # Opened for each piece: no open file has to outlive a reader that simply stops.
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(position)
            return file.read(wanted)
    except FileNotFoundError as error:
        raise MediaMissing(f"{path.name} is not there") from error


def _nothing_is_left(_session: Session) -> None:
    """Do nothing: the bytes are kept already."""


def _pieces(path: Path, position: int) -> list[bytes]:
    with path.open("rb") as file:
        file.seek(position)
        return list(islice(iter(lambda: file.read(CHUNK_BYTES), b""), _CHUNKS_PER_TRANSACTION))


def _add_chunks(session: Session, media_id: str, first: int, pieces: Sequence[bytes]) -> None:
    session.add_all(MediaChunk(media_id=media_id, n=first + n, data=piece) for n, piece in enumerate(pieces))


def _chunks(session: Session, media_id: str, first: int, last: int) -> Sequence[bytes]:
    query = select(MediaChunk.data).where(MediaChunk.media_id == media_id, MediaChunk.n >= first, MediaChunk.n < last)
    return session.exec(query.order_by(col(MediaChunk.n))).all()


def _some_files(folder: Path, after: str) -> tuple[list[str], str]:
    """Return the files of as many folders as have a good many. A copy that was never finished is deleted on the way."""
    found: list[str] = []
    for inner in sorted(path.name for path in folder.glob("??") if path.name > after):
        for path in (folder / inner).iterdir():
            if _ID.fullmatch(path.name):
                found.append(path.name)
            elif path.name.endswith(_COPYING) and path.stat().st_mtime < time.time() - _STALE_SECONDS:
                path.unlink(missing_ok=True)
        if len(found) >= _MANY:
            return found, inner
    return found, ""


def _some_ids(session: Session, after: str) -> list[str]:
    first = select(MediaChunk.media_id).where(MediaChunk.media_id > after, MediaChunk.n == 0)
    return list(session.exec(first.order_by(col(MediaChunk.media_id)).limit(_MANY)))


def _drop_chunks(session: Session, media_id: str) -> None:
    session.exec(delete(MediaChunk).where(col(MediaChunk.media_id) == media_id))


_BYTES = 16 * 1024  # more than fits on the pages that any database keeps half empty


async def try_to_write(database: Database, store: Store, staging: Path | None) -> None:
    """Write a little to each store, and delete it. Raise what the database or the system raised."""
    await database.write(_write_and_remove)
    folders = [staging or Path(tempfile.gettempdir())]
    if isinstance(store, FileStore):
        folders.append(store.folder)
    for folder in folders:
        await asyncio.to_thread(_write_and_drop, folder)


def _write_and_remove(session: Session) -> None:
    """Write a chunk of no audio, and delete it before the commit; it needed room on the disk all the same."""
    name = f"probe_{uuid.uuid4().hex}"
    session.add(MediaChunk(media_id=name, n=0, data=bytes(_BYTES)))
    session.flush()
    session.exec(delete(MediaChunk).where(col(MediaChunk.media_id) == name))


def _write_and_drop(folder: Path) -> None:
    whole = folder.resolve()
    there = next(place for place in (whole, *whole.parents) if place.exists())  # it is made with the first audio
    with tempfile.TemporaryFile(dir=there, buffering=0) as file:
        file.write(bytes(_BYTES))
