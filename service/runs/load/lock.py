"""Locking a detection for its caller, in the order of `load`: the audio that its runs share, then its own row."""

from sqlmodel import Session, col, select

from service.kit.db.database import advisory_lock
from service.media.models import Media
from service.runs.dedup_key import can_share
from service.runs.load.load import audio_key
from service.runs.state.models import Detection


def lock_audio(session: Session, account_id: str, mode: str, sha256: str) -> None:
    """Let no other transaction move runs that share answers about these bytes, until this one ends."""
    advisory_lock(session, audio_key(account_id, mode, sha256))


def lock_detection(session: Session, detection_id: str) -> Detection:
    """Return the detection as it is now; until we commit nothing else changes it, nor the runs it shares."""
    wanted = select(Detection, Media.sha256).outerjoin(Media, col(Media.id) == Detection.media_id)
    known, sha256 = session.exec(wanted.where(Detection.id == detection_id)).one()
    if known.force or not can_share(known.mode, known.source_name):
        return _lock_row(session, detection_id)
    if sha256 is not None:
        lock_audio(session, known.account_id, known.mode, sha256)
        return _lock_row(session, detection_id)
    savepoint = session.begin_nested()
    detection = _lock_row(session, detection_id)
    if detection.media_id is None:
        savepoint.commit()
        return detection
    savepoint.rollback()  # its audio came this very moment, and is to be locked first: the row is let go
    return lock_detection(session, detection_id)


def _lock_row(session: Session, detection_id: str) -> Detection:
    statement = (
        select(Detection)
        .where(Detection.id == detection_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return session.exec(statement).one()
