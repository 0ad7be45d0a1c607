"""Reading detections: the result as it stands or as a revision has it, lists, and how many wait."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, text, tuple_
from sqlmodel import Session, col, select

from service.certificates.listing import with_certificates
from service.detections.submit import Submitted
from service.detectors.enums import Verdict
from service.kit.db.columns import table_of
from service.kit.db.queues import Backlog, backlog_of
from service.kit.errors import not_found
from service.kit.ids import is_id
from service.kit.paging import Page, paged, windowed
from service.media.models import Media
from service.runs.load.load_facts import detection_facts, run_facts, runs_of
from service.runs.policy import DetectionPolicy
from service.runs.reporting import facts
from service.runs.state.lifecycle import RunState
from service.runs.state.models import (
    DETECTION_OPEN,
    RUN_DISPATCHABLE,
    RUN_POLLABLE,
    SOURCE_WAITING,
    Detection,
    RawBody,
    Revision,
    Run,
)
from service.verdicts.facts import RunFacts
from service.verdicts.result import compose
from service.verdicts.summary import summary
from service.verdicts.verdict import DetectionStatus


def find_detection(session: Session, account_id: str, mode: str, detection_id: str) -> Detection | None:
    """Return the account's detection of this id in this mode; `None` for another account's."""
    # Only a well-formed id is looked up: PostgreSQL takes no text with U+0000.
    detection = session.get(Detection, detection_id) if is_id(detection_id, "det") else None
    if detection is None or (detection.account_id, detection.mode) != (account_id, mode):
        return None
    return detection


def has_ended(detection: Detection) -> bool:
    """Return True if the detection has a final answer."""
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


_OPEN = tuple(status.value for status in DetectionStatus if not status.ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionFilter:
    """What a detection must be to be shown: all that is given holds.

    `created_after` is included and `created_before` is not, so that spans of time fit together. `stuck`: it has not
    ended although its customer wanted the answer by now.
    """

    status: DetectionStatus | None = None
    verdict: Verdict | None = None
    detector: str | None = None
    external_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    stuck: bool = False


def list_detections(
    session: Session, account_id: str, mode: str, wanted: DetectionFilter, page: Page, now: datetime
) -> list[Detection]:
    """Return the page's detections and one more, if there are more; newest first."""
    statement = select(Detection).where(*_owned(account_id, mode), *_conditions(wanted, now))
    return list(session.exec(paged(statement, table_of(Detection), page)))


def page_of(session: Session, account_id: str, mode: str, wanted: DetectionFilter, page: Page) -> Page:
    """Return the page, ended where it would read too many rows: most filters have no index."""
    unindexed = (wanted.status, wanted.verdict, wanted.detector, wanted.stuck or None)
    if wanted.external_id is not None or all(one is None for one in unindexed):
        return page
    span = _span(table_of(Detection), wanted)
    return windowed(session, table_of(Detection), page, *_owned(account_id, mode), *span)


def summaries(session: Session, detections: Sequence[Detection], policy: DetectionPolicy) -> list[dict[str, Any]]:
    """Each detection in its short form: as its latest revision has it, or as it stands."""
    ended = [detection for detection in detections if has_ended(detection)]
    under_way = [detection for detection in detections if not has_ended(detection)]
    results = _decided(session, ended) | _standing(session, under_way, policy)
    return [summary(results[detection.id]) for detection in detections]


def _owned(account_id: str, mode: str) -> tuple[ColumnElement[bool], ...]:
    return col(Detection.account_id) == account_id, col(Detection.mode) == mode


def _span(table: Table, wanted: DetectionFilter) -> list[ColumnElement[bool]]:
    after = [] if wanted.created_after is None else [table.c.created_at >= wanted.created_after]
    return after if wanted.created_before is None else [*after, table.c.created_at < wanted.created_before]


def _conditions(wanted: DetectionFilter, now: datetime) -> list[ColumnElement[bool]]:
    table = table_of(Detection)
    conditions = _span(table, wanted)
    if wanted.status is not None:
        conditions.append(table.c.status == wanted.status.value)
    if wanted.verdict is not None:
        conditions.append(table.c.verdict == wanted.verdict.value)
    if wanted.external_id is not None:
        conditions.append(table.c.external_id == wanted.external_id)
    if wanted.detector is not None:
        runs = select(Run.id).where(Run.detection_id == Detection.id, Run.detector == wanted.detector)
        conditions.append(runs.exists())
    if wanted.stuck:
        conditions += [table.c.status.in_(_OPEN), table.c.answer_by_at <= now]
    return conditions


def _decided(session: Session, ended: Sequence[Detection]) -> dict[str, dict[str, Any]]:
    latest = [(detection.id, detection.revision) for detection in ended]
    table = table_of(Revision)
    wanted = select(Revision).where(tuple_(table.c.detection_id, table.c.n).in_(latest))
    return {row.detection_id: json.loads(row.result) for row in (session.exec(wanted) if latest else ())}


def _standing(session: Session, under_way: Sequence[Detection], policy: DetectionPolicy) -> dict[str, dict[str, Any]]:
    if not under_way:
        return {}
    runs: dict[str, list[Run]] = {detection.id: [] for detection in under_way}
    latest = (col(Run.detection_id) == Detection.id, col(Run.round) == Detection.round)
    wanted = select(Run).join(Detection, and_(*latest)).where(col(Run.detection_id).in_(runs))
    for run in session.exec(wanted.order_by(col(Run.position))):
        runs[run.detection_id].append(run)
    every = [run for some in runs.values() for run in some]
    facts: dict[str, RunFacts] = {one.run_id: one for one in run_facts(session, every, policy)}
    media_ids = {detection.media_id for detection in under_way if detection.media_id}
    # Held while the facts are made: `detection_facts` then finds its media in the session, and asks nothing.
    held = session.exec(select(Media).where(col(Media.id).in_(media_ids))).all()
    composed = {
        detection.id: compose(
            detection_facts(session, detection, runs[detection.id]),
            [facts[run.id] for run in runs[detection.id]],
            base_url=policy.base_url,
        )
        for detection in under_way
    }
    del held
    return composed


def detections_waiting(session: Session, now: datetime) -> list[Backlog]:
    """Count runs and sources that are due and not claimed, and detections whose answer is overdue."""
    run, detection = table_of(Run), table_of(Detection)
    is_due = run.c.due_at <= now
    dispatchable = [
        backlog_of(
            session, f"runs_{state.value}", run.c.due_at, text(RUN_DISPATCHABLE), run.c.state == state.value, is_due
        )
        for state in (RunState.QUEUED, RunState.UNKNOWN)
    ]
    return [
        backlog_of(session, "sources_due", detection.c.due_at, text(SOURCE_WAITING), detection.c.due_at <= now),
        *dispatchable,
        backlog_of(session, "runs_waiting", run.c.due_at, text(RUN_POLLABLE), is_due),
        backlog_of(
            session, "detections_stuck", detection.c.answer_by_at, text(DETECTION_OPEN), detection.c.answer_by_at <= now
        ),
    ]
