"""Reading detections: the result as it stands, or as the latest revision has it."""

import base64
import json
from typing import Any

from sqlmodel import Session, col, select

from service.certificates.listing import with_certificates
from service.detections.submit import Submitted
from service.kit.errors import not_found
from service.kit.ids import is_id
from service.runs.load.load_facts import detection_facts, run_facts, runs_of
from service.runs.policy import DetectionPolicy
from service.runs.state.models import Detection, RawBody, Revision
from service.runs.telling import facts
from service.verdicts.result import compose, summary
from service.verdicts.verdict import DetectionStatus


def find_detection(session: Session, account_id: str, mode: str, detection_id: str) -> Detection | None:
    """Return the account's detection of this id in this mode; `None` for another account's."""
    # Only a well-formed id is looked up: PostgreSQL takes no text with U+0000.
    detection = session.get(Detection, detection_id) if is_id(detection_id, "det") else None
    if detection is None or (detection.account_id, detection.mode) != (account_id, mode):
        return None
    return detection


def has_ended(detection: Detection) -> bool:
    """Whether the detection has a final answer."""
    return DetectionStatus(detection.status).ended


def result_of(
    session: Session, detection: Detection, policy: DetectionPolicy, *, full: bool, revision: int | None = None
) -> dict[str, Any]:
    """Return the result, in full with the raw answers, or in the short form that webhooks carry.

    `revision` asks for one by its number, instead of the detection as it stands, which shows certificates too.
    Raises `CallerError` 404 for a revision that was never written; the one being made is none yet.
    """
    if revision is not None or has_ended(detection):
        row = session.get(Revision, (detection.id, revision or detection.revision))
        if row is None:
            raise not_found("revision")
        result: dict[str, Any] = json.loads(row.result)
    else:
        runs = runs_of(session, detection.id)
        found = detection_facts(session, detection, runs)
        result = compose(found, run_facts(session, runs, policy), base_url=policy.base_url)
    if revision is None:
        result = with_certificates(session, detection.id, result)
    return _with_raw_bodies(session, result) if full else summary(result)


def first_result(session: Session, submitted: Submitted, policy: DetectionPolicy) -> dict[str, Any]:
    """Return the result, in full, of a detection that was entered in this transaction."""
    if submitted.heard:
        session.flush()
        return result_of(session, session.get_one(Detection, submitted.id), policy, full=True)
    detection = facts.detection_facts(submitted.detection, submitted.runs, submitted.media)
    runs = [facts.run_facts(run, (), (0, 0), ()) for run in submitted.runs]  # nothing was seen or paid yet
    return compose(detection, runs, base_url=policy.base_url)


def _with_raw_bodies(session: Session, result: dict[str, Any]) -> dict[str, Any]:
    owners = [detector["run_id"] for detector in result["detectors"]]
    rows = session.exec(select(RawBody).where(col(RawBody.owner_id).in_(owners)))
    bodies = {(row.owner_id, row.sha256): row.body for row in rows}
    for detector in result["detectors"]:
        raw = detector.get("raw")
        if raw is not None:
            raw |= _shown(bodies.get((detector["run_id"], raw["sha256"])))
    return result


def _shown(body: bytes | None) -> dict[str, str | None]:
    """Return the bytes as text where they are UTF-8, else in base64; nothing once they are erased."""
    if body is None:
        return {"body": None}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body": None, "body_base64": base64.b64encode(body).decode()}
