"""The test that every store can still be written: tried, because a full or read-only disk answers reads."""

import asyncio
import tempfile
import uuid
from pathlib import Path

from sqlmodel import Session, col, delete

from service.kit.db.database import Database
from service.media.models import MediaChunk
from service.media.store import FileStore, Store

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
