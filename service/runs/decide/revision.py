"""Writing an answer down: one revision, one final event. What came late makes the next one.

A run whose time ran out may still be answered. Its answer counts as long as nobody has cancelled, asked again or
erased since; then a further revision replaces the last word, and the older rows stay as they are.
"""

import json
from collections.abc import Sequence
from typing import Any

from service.detectors.enums import ReasonCode
from service.events.draft import Draft
from service.events.types import EventType
from service.runs.decide.workbench import Workbench
from service.runs.state.rows import DetectionRow, RevisionRow, RunRow
from service.runs.telling.facts import detection_facts
from service.runs.topics import topic_of
from service.verdicts.result import compose
from service.verdicts.settle import settle
from service.verdicts.summary import summary
from service.verdicts.verdict import DetectionStatus

_FINAL_EVENT = {
    DetectionStatus.COMPLETED: EventType.DETECTION_COMPLETED,
    DetectionStatus.COMPLETED_PARTIAL: EventType.DETECTION_COMPLETED,
    DetectionStatus.FAILED: EventType.DETECTION_FAILED,
    DetectionStatus.EXPIRED: EventType.DETECTION_FAILED,
    DetectionStatus.CANCELLED: EventType.DETECTION_CANCELLED,
}


def write_revision(bench: Workbench, detection: DetectionRow, runs: Sequence[RunRow], *, reread: bool = False) -> None:
    """End the detection with one more revision, and draft what is to be told of it.

    `reread`: no vendor was asked, so it ended when it did, and no audio was needed.
    """
    detection.revision += 1
    detection.completed_at = (detection.completed_at if reread else None) or bench.now
    detection.delay_due_at = None
    facts = detection_facts(detection, runs, bench.media_of(detection), revision=detection.revision)
    parts = [bench.facts_of(run) for run in runs]
    decided = settle(facts, parts, cancelled=_was_cancelled(runs))
    result = compose(facts, parts, decided, base_url=bench.policy.base_url)
    detection.status, detection.verdict = result["status"], result["verdict"]
    detection.outcome_reason = result["outcome_reason"]
    bench.revisions.append(
        RevisionRow(
            detection_id=detection.id,
            n=detection.revision,
            verdict=result["verdict"],
            status=result["status"],
            result=json.dumps(result, ensure_ascii=False, allow_nan=False),
            created_at=bench.now,
        )
    )
    bench.topics.add(topic_of(detection.id))
    if not reread and detection.media_id is not None:
        bench.media_released[detection.media_id] = bench.now + bench.policy.media_retention
    bench.drafts += _final_drafts(detection, result)


def _final_drafts(detection: DetectionRow, result: dict[str, Any]) -> list[Draft]:
    """Return the one event of a later revision; a cancelled re-check makes no revision and has an event of its own."""
    first = detection.revision == 1
    kind = _FINAL_EVENT[DetectionStatus(detection.status)]
    if not first and kind is not EventType.DETECTION_CANCELLED:
        kind = EventType.DETECTION_REVISED
    kinds = [kind, EventType.REVIEW_REQUIRED] if first and result["review"]["required"] else [kind]
    short = summary(result)
    return [
        Draft(
            detection.account_id,
            detection.mode,
            each,
            short,
            detection_id=detection.id,
            revision=detection.revision,
            final=each is kind,
        )
        for each in kinds
    ]


def _was_cancelled(runs: Sequence[RunRow]) -> bool:
    return any(run.reason_code == ReasonCode.CANCELLED.value for run in runs)
