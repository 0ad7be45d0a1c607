"""Media links: one opens until its run ends, and for so many fetches."""

from datetime import datetime

from sqlmodel import Session, col, select, update

from service.media.links import MediaGrant
from service.media.models import Media
from service.runs.state.models import Detection, Run

MAX_FETCHES = 20


def open_link(session: Session, run_id: str, mode: str, now: datetime, counts: bool) -> MediaGrant | None:  # noqa: FBT001 - the link's door names it
    """Return what the link opens, or `None`. A fetch that `counts` is counted here, in the same statement that asks."""
    run_id = _who_goes_on(session, run_id)
    alive = (col(Run.id) == run_id, col(Run.mode) == mode, col(Run.ended_at).is_(None), col(Run.deadline_at) > now)
    if counts:
        once_more = update(Run).where(*alive, col(Run.media_fetches) < MAX_FETCHES)
        taken = session.exec(once_more.values(media_fetches=Run.media_fetches + 1))
        if taken.rowcount == 0:
            return None
    found = session.exec(
        select(Media)
        .join(Detection, col(Detection.media_id) == Media.id)
        .join(Run, col(Run.detection_id) == Detection.id)
        .where(*alive, col(Media.erased_at).is_(None))
    ).first()
    return MediaGrant(found.id, found.bytes, found.content_type) if found else None


def _who_goes_on(session: Session, run_id: str) -> str:
    """Return the run itself, or the one that took over what the vendor was sent under its name."""
    handed = select(Run.successor_run_id).where(Run.id == run_id)
    heir_id = session.exec(handed).first()
    return run_id if heir_id is None else _who_goes_on(session, heir_id)
