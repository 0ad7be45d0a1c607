"""Ending runs and detections: what concludes them, and the revision that is written then."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from service.detectors.enums import ReasonCode
from service.events.types import Draft, EventType
from service.runs.decide.coalescing import join, transfer_leadership
from service.runs.decide.moves import end_run, is_ended
from service.runs.decide.workbench import Workbench
from service.runs.dedup_key import shares
from service.runs.reporting.facts import detection_facts
from service.runs.state.lifecycle import RunState, RunTransition, SourceState, advance
from service.runs.state.rows import DetectionRow, RevisionRow, RunRow
from service.runs.topics import TOPIC_RUNS, topic_of
from service.verdicts.cascade import StartNext, Stop, next_step
from service.verdicts.facts import RunFacts
from service.verdicts.result import compose, compose_detector
from service.verdicts.summary import summary
from service.verdicts.verdict import DetectionStatus, settle
from service.verdicts.votes import Rule

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


def conclude(bench: Workbench, detection: DetectionRow, ended: Sequence[RunRow]) -> None:
    """Write everything that follows from `ended`: the next of a cascade is queued, or the end is final.

    Where the last word is spoken already, nothing follows.
    """
    bench.topics.add(topic_of(detection.id))
    if DetectionStatus(detection.status).ended:
        return
    runs = bench.runs_of(detection)
    known: list[RunRow] = []
    if detection.rule == Rule.CASCADE.value and detection.source_state == SourceState.READY.value:
        known = _step_cascade(bench, detection, runs)
    _note_status(detection, runs)
    bench.drafts += [_run_draft(bench, run) for run in [*ended, *known]]
    if all(is_ended(run) for run in runs):
        write_revision(bench, detection, runs)


def conclude_late(bench: Workbench, detection: DetectionRow) -> None:
    """Write what follows from an answer that came after its run's end: a detection that has ended is revised."""
    bench.topics.add(topic_of(detection.id))
    runs = bench.runs_of(detection)
    if DetectionStatus(detection.status).ended:
        write_revision(bench, detection, runs)
    else:
        conclude(bench, detection, [])


def skip_run(bench: Workbench, run: RunRow, reason: ReasonCode, text: str | None = None) -> None:
    """End the run unasked, for this reason. What it had under way goes on for those that follow it."""
    transfer_leadership(bench, run)
    run.reason_code, run.reason_text = reason.value, text
    end_run(bench, run, RunTransition.SKIPPED)


def _step_cascade(bench: Workbench, detection: DetectionRow, runs: Sequence[RunRow]) -> list[RunRow]:
    """Queue the next, or end what is not needed. Return those whose answer was known already, and have ended by it."""
    known: list[RunRow] = []
    while (asked := _ask_next(bench, detection, runs)) is not None:
        if not (shares(detection) and join(bench, asked)):
            break
        known.append(asked)
    return known


def _ask_next(bench: Workbench, detection: DetectionRow, runs: Sequence[RunRow]) -> RunRow | None:
    """Return the run whose turn came just now, queued. Where no more is needed, the rest is skipped."""
    step = next_step([bench.facts_of(run).part for run in runs], quorum=detection.quorum)
    asked = None
    for run in runs:
        if isinstance(step, StartNext) and run.id == step.run_id and run.state == RunState.RESERVED.value:
            _start_clocks(bench, detection, runs)
            run.state = advance(RunState.RESERVED, RunTransition.ASKED).value
            run.due_at = bench.now
            bench.topics.add(TOPIC_RUNS)
            asked = run
        if isinstance(step, Stop) and run.id in step.skip_run_ids:
            skip_run(bench, run, ReasonCode.FALLBACK_NOT_NEEDED)
    return asked


def _start_clocks(bench: Workbench, detection: DetectionRow, runs: Sequence[RunRow]) -> None:
    """Give a run that was not asked yet its whole time from now: the one before may have used up its own."""
    for run in runs:
        configured = bench.policy.catalogue.configured(run.mode, run.vendor)
        if run.state == RunState.RESERVED.value and configured is not None:
            run.deadline_at = bench.now + timedelta(seconds=configured.policy.deadline)
    detection.deadline_at = max(run.deadline_at for run in runs)


def _note_status(detection: DetectionRow, runs: Sequence[RunRow]) -> None:
    if detection.status == DetectionStatus.QUEUED.value and any(run.submit_started_at for run in runs):
        detection.status = DetectionStatus.RUNNING.value


def _run_draft(bench: Workbench, run: RunRow) -> Draft:
    data = {"detection_id": run.detection_id, "run": run_summary(bench.facts_of(run))}
    return Draft(
        run.account_id, run.mode, EventType.DETECTOR_COMPLETED, data, detection_id=run.detection_id, run_id=run.id
    )


def run_summary(facts: RunFacts) -> dict[str, Any]:
    """Return one detector's part in the short form."""
    short: dict[str, Any] = summary({"detectors": [compose_detector(facts)]})["detectors"][0]
    return short
