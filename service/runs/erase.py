"""Taking the content out of an ended detection's runs: what vendors wrote, and what names the audio."""

from sqlalchemy import delete, select, update
from sqlmodel import Session

from service.runs.state.tables import OBSERVATION, RAW_BODY, RUN


def erase_runs(session: Session, detection_id: str) -> list[str]:
    """Erase all runs of the detection, of every round; return their ids. The caller holds the detection locked.

    No late answer is looked for any more, and nobody takes over an answer of theirs.
    """
    connection = session.connection()
    locked = select(RUN.c.id).where(RUN.c.detection_id == detection_id).order_by(RUN.c.id)
    run_ids = list(connection.execute(locked.with_for_update(key_share=True)).scalars())
    bare = {"reason_text": None, "refs_json": "{}", "dedup_key": None, "due_at": None, "lease_token": None}
    connection.execute(update(RUN).where(RUN.c.id.in_(run_ids)).values(**bare))
    connection.execute(delete(RAW_BODY).where(RAW_BODY.c.owner_id.in_(run_ids)))
    seen = update(OBSERVATION).where(OBSERVATION.c.run_id.in_(run_ids))
    connection.execute(seen.values(reading=None, reason_text=None))
    session.expire_all()
    return run_ids
