"""Taking a detection's content away: what was asked with it, what vendors wrote. That it was, and its end, stay.

Not here: callbacks, webhooks and audio, which are other rooms'. `retention/erase` goes through all of them.
"""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlmodel import Session, select

from service.certificates.listing import drop_certificates_of
from service.kit.clock import rfc3339
from service.kit.errors import CallerError
from service.runs.state.models import OBSERVATION, RAW_BODY, RUN, Detection, Revision
from service.verdicts.display import without_promise
from service.verdicts.verdict import DetectionStatus

_EMPTY: dict[str, Any] = {"external_id": None, "metadata": {}, "declared": None, "conflicts": []}
_EMPTY_ATTRIBUTION: dict[str, Any] = {"family": None, "version": None, "agreement": "none", "candidates": []}
_EMPTY_DETECTOR: dict[str, Any] = {
    "reason_text": None,
    "verdict_raw": None,
    "score": None,
    "confidence": None,
    "components": {},
    "content": None,
    "attribution": None,
    "segments": [],
    "sub_models": [],
    "reasons": [],
    "raw": None,
    "raw_events": [],
    "extras": {},
}


def erase_detection_rows(session: Session, detection: Detection, now: datetime) -> list[str]:
    """Leave ids, states and times alone of the detection and its runs; return the runs' ids.

    The caller holds it locked. Raise `CallerError` 409 while it has not ended.
    """
    if not DetectionStatus(detection.status).ended:
        raise CallerError("not_ended", "The detection has not ended; cancel it first.", status=409)
    run_ids = erase_runs(session, detection.id)
    drop_certificates_of(session, detection.id)
    for revision in session.exec(select(Revision).where(Revision.detection_id == detection.id)):
        revision.result = json.dumps(without_content(json.loads(revision.result), now), ensure_ascii=False)
    detection.external_id = detection.declared_json = detection.source_url = None
    detection.metadata_json = "{}"
    detection.source_name = "audio"
    detection.erased_at = now
    session.flush()
    return run_ids


def without_content(result: dict[str, Any], erased_at: datetime) -> dict[str, Any]:
    """Return the result with the same fields, without any text of the customer's or a vendor's and any measurement."""
    return {
        **result,
        **_EMPTY,
        "track": {**result["track"], "filename": None},
        "components": dict.fromkeys(result["components"]),
        "attribution": _EMPTY_ATTRIBUTION,
        "display": without_promise(result["display"]),
        "review": _review(result["review"]),
        "detectors": [_bare(entry) for entry in result["detectors"]],
        "erased_at": rfc3339(erased_at),
    }


def _review(review: dict[str, Any]) -> dict[str, Any]:
    """One that was to come cannot come any more: there is nothing left to be judged by."""
    over = {"required": False, "state": "none"} if review["state"] == "open" else {}
    return {**review, **over, "decided_by": None, "note": None}


def _bare(entry: dict[str, Any]) -> dict[str, Any]:
    refs = {**entry["refs"], "other": {}}
    return {**entry, **_EMPTY_DETECTOR, "refs": refs}


def erase_runs(session: Session, detection_id: str) -> list[str]:
    """Erase all runs of the detection, of every round; return their ids. The caller holds the detection locked.

    No late answer is looked for any more, and no other run takes over an answer of theirs.
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
