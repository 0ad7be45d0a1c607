"""Erasing a detection or its audio, through all the rooms that hold a part of it. Who asked is noted by the caller."""

from datetime import datetime

from sqlmodel import Session, col, select

from service.callbacks.queries import erase_callbacks_of
from service.detections.erase import erase_detection_rows
from service.events.outbox import erase_events_of
from service.kit.errors import CallerError
from service.media.erase import mark_erased
from service.media.models import Media
from service.runs.state.models import Detection
from service.webhooks.queue.bulk_moves import drop_deliveries_of


def erase_detection(session: Session, detection: Detection, now: datetime) -> None:
    """Erase all but ids, states, times and the verdict. A second time changes nothing. The caller has locked the row.

    Its audio may go at once, unless another detection has it. Raises `CallerError` 409 while it has not ended.
    """
    if detection.erased_at is not None:
        return
    run_ids = erase_detection_rows(session, detection, now)
    erase_callbacks_of(session, run_ids)
    erase_events_of(session, detection.id, now)
    drop_deliveries_of(session, detection.id, now)
    media = session.get(Media, detection.media_id, with_for_update=True) if detection.media_id else None
    if media is not None and media.erased_at is None and not _has_owner(session, media.id):
        media.delete_after = now


def erase_media(session: Session, media: Media, now: datetime) -> None:
    """Put the bytes out of reach, and mark them to be deleted from the store. The caller has locked the row.

    Done already, it changes nothing. Raises `CallerError` 409 while a detection needs them.
    """
    if media.erased_at is not None:
        return
    if is_needed(session, media.id):
        raise CallerError("media_in_use", "A detection that has not ended still needs this audio.", status=409)
    mark_erased(media, now)


def is_needed(session: Session, media_id: str) -> bool:
    """Return True if a detection that has not ended uses these bytes."""
    using = select(Detection.id).where(Detection.media_id == media_id, col(Detection.completed_at).is_(None))
    return session.exec(using.limit(1)).first() is not None


def _has_owner(session: Session, media_id: str) -> bool:
    """Return True if a detection that is not erased has this audio."""
    owning = select(Detection.id).where(Detection.media_id == media_id, col(Detection.erased_at).is_(None))
    return session.exec(owning.limit(1)).first() is not None
