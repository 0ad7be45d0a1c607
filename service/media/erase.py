"""Audio on its way out: erased, or left over by a process that was killed.

The row stays, with the id, the hash and the time; the bytes and the name go. Marked first, deleted then, and unmarked
at last: a process that dies in between leaves a mark to go on from. Whether the bytes are still needed is for the
caller to know. Left over are files half received, and bytes in the store that no row names. Of these nothing younger
than an hour is touched: it may be on its way in.
"""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlmodel import Session, col, or_, select

from service.kit.db.database import Database
from service.kit.ids import created_at, is_id
from service.media.ingest import STAGED
from service.media.models import Media
from service.media.store import Store


def find_media(session: Session, account_id: str, mode: str, media_id: str) -> Media | None:
    """Return the account's media of this id in this mode, locked, erased or not; None for another account's."""
    return _owned(session, account_id, mode, media_id, lock=True)


def readable_media(session: Session, account_id: str, mode: str, media_id: str) -> Media | None:
    """Return the account's media of this id in this mode; None if it is another account's, or erased."""
    media = _owned(session, account_id, mode, media_id, lock=False)
    return None if media is None or media.erased_at is not None else media


def _owned(session: Session, account_id: str, mode: str, media_id: str, *, lock: bool) -> Media | None:
    if not is_id(media_id, "med"):
        return None
    media = session.get(Media, media_id, with_for_update=lock, populate_existing=lock)
    if media is None or (media.account_id, media.mode) != (account_id, mode):
        return None
    return media


def mark_erased(media: Media, now: datetime) -> None:
    """Put the bytes out of reach. They are still to be deleted from the store, as `delete_after` says."""
    media.erased_at = now
    media.delete_after = now
    media.name = ""
    media.name_key = media.id  # the same bytes, uploaded again, are a new object


def note_deleted(session: Session, media_id: str) -> None:
    """Note that the store has deleted the bytes: nothing is left to do."""
    session.get_one(Media, media_id).delete_after = None


log = structlog.get_logger()

_OLD = timedelta(hours=1)


class Leftovers:
    """The search of one process: a part of the store at each step, and from the beginning again at its end."""

    def __init__(self, database: Database, store: Store, staging: Path | None = None) -> None:
        self._database = database
        self._store = store
        self._staging = staging
        self._after = ""

    async def step(self, now: datetime) -> int:
        """Return how many recordings of this part of the store were deleted, for no row names them."""
        await asyncio.to_thread(drop_staged, self._staging, now)
        found, self._after = await self._store.some(self._after)
        old = [media_id for media_id in found if _is_old(media_id, now)]
        lost = await self._database.read(nameless, old) if old else []
        for media_id in lost:
            await self._store.delete(media_id)
        if lost:
            log.warning("media.leftovers_deleted", count=len(lost))
        return len(lost)


def drop_staged(folder: Path | None, now: datetime) -> int:
    """Delete files that no process has written to for an hour; return how many. Only our own, by name and by owner.

    Without a folder, in the one where the system has temporary files.
    """
    count = 0
    for path in (folder or Path(tempfile.gettempdir())).glob(f"{STAGED}*"):
        try:
            found = path.lstat()
            if found.st_uid == os.getuid() and found.st_mtime < (now - _OLD).timestamp():
                path.unlink()
                count += 1
        except OSError:  # another process was faster
            continue
    return count


def nameless(session: Session, media_ids: Sequence[str]) -> list[str]:
    """Return those of these ids that have no row, or a row whose bytes were deleted."""
    kept = or_(col(Media.erased_at).is_(None), col(Media.delete_after).is_not(None))
    named = set(session.exec(select(Media.id).where(col(Media.id).in_(media_ids), kept)))
    return [media_id for media_id in media_ids if media_id not in named]


def _is_old(media_id: str, now: datetime) -> bool:
    at = created_at(media_id)
    return at is not None and at < now - _OLD
