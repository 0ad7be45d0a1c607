"""Locking what a step changes, always in this order: the audio that runs share, the detection's row, its runs' rows.

Claims take runs by their own rows and know nothing of the detection's lock. So what changes when a run is due, whose
it is or where it stands holds the run's row too: read again under the lock, and a claim made before is not lost.

A leader's end ends its followers in the same transaction, each with its own detection. All of them are about the
same audio, so who passes the audio's lock may lock those detections in any order: nobody else is among them.
"""

from sqlmodel import Session, col, select

from service.kit.database import serialise
from service.media.models import Media
from service.runs.dedup_key import can_share
from service.runs.models import Detection, Run


def lock_audio(session: Session, account_id: str, mode: str, sha256: str) -> None:
    """Until this transaction ends nobody else moves runs that share answers about these bytes."""
    serialise(session, f"audio:{account_id}:{mode}:{sha256}")


def lock_detection(session: Session, detection_id: str, *, media_id: str | None = None) -> Detection:
    """The detection, as it is now, and nobody else changes it until we have committed; nor the runs it shares.

    `media_id` is the audio that it is about to have.
    """
    audio = col(Detection.media_id) if media_id is None else media_id
    wanted = select(Detection, Media.sha256).outerjoin(Media, col(Media.id) == audio)
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


def lock_run(session: Session, run_id: str) -> tuple[Detection, Run]:
    """The run and its detection, as they are now, locked. Where another run took its work over, that one."""
    detection, run = lock_same_run(session, run_id)
    return (detection, run) if run.successor_run_id is None else lock_run(session, run.successor_run_id)


def lock_same_run(session: Session, run_id: str) -> tuple[Detection, Run]:
    """This very run and its detection, as they are now, locked; also where another run took its work over."""
    detection_id = session.exec(select(Run.detection_id).where(Run.id == run_id)).one()
    detection = lock_detection(session, detection_id)
    found = select(Run).where(Run.id == run_id).with_for_update(key_share=True)
    return detection, session.exec(found.execution_options(populate_existing=True)).one()


def lock_runs(session: Session, detection_id: str) -> None:
    """Lock all runs of the detection, as they are now. The caller holds the detection, and is to change its runs."""
    found = select(Run).where(Run.detection_id == detection_id).order_by(col(Run.id)).with_for_update(key_share=True)
    session.exec(found.execution_options(populate_existing=True)).all()


def _lock_row(session: Session, detection_id: str) -> Detection:
    # FOR NO KEY UPDATE: nobody deletes a detection or changes its id. PostgreSQL looks at a run's foreign key again
    # where one transaction writes the run twice, as a claim does, and that look must not wait for us.
    statement = (
        select(Detection)
        .where(Detection.id == detection_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return session.exec(statement).one()
