"""Audio on its way out. The row stays, with the id, the hash and the time; the bytes and the name go.

Marked first, deleted then, and unmarked at last: a process that dies in between leaves a mark to go on from. Whether
anybody still needs the bytes is for the caller to know.
"""

from datetime import datetime

from sqlmodel import Session

from service.kit.ids import is_id
from service.media.models import Media


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
