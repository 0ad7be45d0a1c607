"""Audio on its way in: streamed to a temporary file, hashed and judged on the way, stored, then entered in the table.

Where the bytes come from (an upload, a customer's URL) is the caller's business; so is when they go.
"""

import asyncio
import os
import tempfile
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, case
from sqlmodel import Session, col, select, update

from service.kit.clock import Clock
from service.kit.db.database import Database, insert_ignoring_conflicts
from service.kit.errors import CallerError, Problem
from service.kit.ids import new_id
from service.media.models import Media
from service.media.probe import HEAD_BYTES, Format, duration_ms, sniff
from service.media.room import Room
from service.media.store import Finish, Store

MAX_BYTES = 100 * 1024 * 1024
STAGED = "relay-incoming-"  # how the names of temporary files begin
UNUSED = timedelta(hours=24)  # what no detection uses by then may go
_WRITE_BYTES = 256 * 1024
_MAX_NAME_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class StoredMedia:
    """The media that holds these bytes; `created` is false when we had them already."""

    media: Media
    created: bool


Beside = Callable[[Session, StoredMedia], None]
"""Called in the transaction that enters the media, or finds it. What it raises rolls that back."""


async def take_in(
    chunks: AsyncIterator[bytes],
    *,
    name: str | None,
    account_id: str,
    mode: str,
    database: Database,
    store: Store,
    clock: Clock,
    max_bytes: int = MAX_BYTES,
    staging: Path | None = None,
    beside: Beside | None = None,
    room: Room | None = None,
) -> StoredMedia:
    """Store the bytes and enter them, once for each account and mode (in test mode: and name).

    Raises `CallerError` 413, 415 or 422 as soon as the bytes show that they are too many, no audio, or none; 429 as
    soon as the account's `room` is used up; and whatever `chunks` or `beside` raises. Nothing is left behind then.
    `staging` is a folder for temporary files.
    """
    with _temporary_file(staging) as path:
        stream = _Incoming(path, max_bytes)
        async for chunk in chunks:
            if room is not None:
                room.add(len(chunk))
            await stream.add(chunk)
        kind = await stream.finish()
        media = Media(
            id=new_id("med"),
            account_id=account_id,
            mode=mode,
            sha256=stream.digest.hexdigest(),
            name_key="",
            bytes=stream.count,
            name=clean_name(name, kind.extension),
            format=kind.word,
            content_type=kind.content_type,
            duration_ms=await duration_ms(path, kind),
            created_at=clock(),
            delete_after=clock() + UNUSED,
        )
        if mode == "test":
            media.name_key = media.name  # names carry the sandbox's words there
        taken = await _keep(media, path, database, store, beside or _nothing)
    if room is not None and taken.created:
        room.enter()
    return taken


def clean_name(name: str | None, extension: str) -> str:
    """Return a harmless name of up to 255 characters: no folders, nothing invisible, its ending kept."""
    base = (name or "").replace("\\", "/").rpartition("/")[2]
    seen = "".join(character for character in base if unicodedata.category(character)[0] != "C").strip()
    if not seen.strip("."):
        return f"audio.{extension}"
    stem, dot, ending = seen.rpartition(".")
    if not stem or len(dot + ending) > _MAX_NAME_CHARACTERS // 2:
        return seen[:_MAX_NAME_CHARACTERS].strip()
    return stem[: _MAX_NAME_CHARACTERS - len(dot + ending)] + dot + ending


@dataclass
class _Incoming:
    """The stream so far: counted, judged by its head, hashed and written in threads."""

    path: Path
    max_bytes: int
    count: int = 0
    kind: Format | None = None
    digest: Any = field(default_factory=sha256)
    waiting: bytearray = field(default_factory=bytearray)

    async def add(self, chunk: bytes) -> None:
        """Append `chunk`."""
        self.count += len(chunk)
        if self.count > self.max_bytes:
            raise CallerError("media_too_large", f"The audio is larger than {self.max_bytes} bytes.", status=413)
        self.waiting += chunk
        if self.kind is None and len(self.waiting) >= HEAD_BYTES:
            self._judge()
        if len(self.waiting) >= _WRITE_BYTES:
            await self._flush()

    async def finish(self) -> Format:
        """Finish the file, and return its audio's format."""
        if not self.count:
            raise CallerError("empty_media", "The audio is empty.", problems=(Problem("/file", "must not be empty"),))
        kind = self.kind or self._judge()
        await self._flush()
        return kind

    def _judge(self) -> Format:
        self.kind = sniff(bytes(self.waiting[:HEAD_BYTES]))
        if self.kind is None:
            known = "mp3, wav, flac, m4a, aac, ogg, webm, aiff"
            raise CallerError("unsupported_media", f"This is not audio of a supported format: {known}.", status=415)
        return self.kind

    async def _flush(self) -> None:
        data, self.waiting = self.waiting, bytearray()
        await asyncio.to_thread(self._write, data)

    def _write(self, data: bytearray) -> None:
        self.digest.update(data)
        # Opened anew, and never created: a thread that outlives its cancelled request must not bring the file back.
        with self.path.open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(data)


@contextmanager
def _temporary_file(staging: Path | None) -> Iterator[Path]:
    if staging is not None:
        staging.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=STAGED, dir=staging)
    os.close(descriptor)
    path = Path(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _keep(media: Media, path: Path, database: Database, store: Store, beside: Beside) -> StoredMedia:
    """Store the bytes before or as their row is entered: a reader that finds the row finds the bytes."""
    if await database.read(_is_known, media) and (known := await database.write(_find, media, beside)) is not None:
        return known
    try:
        finish = await store.put(media.id, path)
        taken = await database.write(_enter, media, beside, finish)
    except BaseException:
        await asyncio.shield(store.delete(media.id))
        raise
    if not taken.created:  # another upload was faster
        await store.delete(media.id)
    return taken


def _nothing(_session: Session, _taken: StoredMedia) -> None:
    """Write nothing beside the new object."""


def _is_known(session: Session, media: Media) -> bool:
    """Return True if these bytes are here: mostly they are not, and then nothing is written before they are stored."""
    alive = select(Media.id).where(*_alive(media))
    return session.exec(alive).first() is not None


def _find(session: Session, media: Media, beside: Beside) -> StoredMedia | None:
    known = _known(session, media)
    if known is None:
        return None
    taken = StoredMedia(known, created=False)
    beside(session, taken)
    return taken


def _known(session: Session, media: Media) -> Media | None:
    """Return the object that has these bytes already, as fresh as a new upload: it is kept at least as long as one."""
    ends, fresh = col(Media.delete_after), media.created_at + UNUSED  # no end is set while a detection needs it
    longer = case((ends < fresh, fresh), else_=ends)
    alive = update(Media).where(*_alive(media)).values(delete_after=longer)
    known = session.connection().execute(alive.returning(col(Media.id))).scalar()
    return None if known is None else session.get(Media, known)


def _enter(session: Session, media: Media, beside: Beside, finish: Finish) -> StoredMedia:
    """Return the row of these bytes: ours, or that of a faster upload."""
    created = _insert(session, media)
    entered = media if created else _known(session, media)
    if entered is None:
        erased = update(Media).where(*_same(media), col(Media.erased_at).is_not(None))
        session.exec(erased.values(name_key=Media.id))  # an erased object keeps its id, and gives up its place
        created = _insert(session, media)
        entered = media if created else _known(session, media)
    if entered is None:
        raise RuntimeError("the same media came and went at once")
    if created:
        finish(session)
    taken = StoredMedia(entered, created)
    beside(session, taken)
    return taken


def _insert(session: Session, media: Media) -> bool:
    """Return True if the row is written; False where another has its place."""
    connection, table = session.connection(), Media.metadata.tables["media"]
    insert = insert_ignoring_conflicts(connection, table).values(media.model_dump()).returning(table.c.id)
    return connection.execute(insert).scalar() is not None


def _alive(media: Media) -> tuple[ColumnElement[bool], ...]:
    return (*_same(media), col(Media.erased_at).is_(None))


def _same(media: Media) -> tuple[ColumnElement[bool], ...]:
    return (
        col(Media.account_id) == media.account_id,
        col(Media.mode) == media.mode,
        col(Media.sha256) == media.sha256,
        col(Media.name_key) == media.name_key,
    )
