"""What a process that was killed leaves of audio: files half received, and bytes in the store that no row names.

Nothing younger than an hour is touched: it may be on its way in.
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
from service.kit.ids import created_at
from service.media.ingest import STAGED
from service.media.models import Media
from service.media.store import Store

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
