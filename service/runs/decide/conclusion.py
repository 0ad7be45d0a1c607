"""What follows when a run has ended: the cascade moves on, or the detection ends with one revision, one final event."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from service.detectors.enums import ReasonCode
from service.events.draft import Draft
from service.events.types import EventType
from service.runs.decide.joining import join
from service.runs.decide.moves import end_run, is_ended
from service.runs.decide.revision import write_revision
from service.runs.decide.succession import transfer_leadership
from service.runs.decide.workbench import Workbench
from service.runs.dedup_key import shares
from service.runs.state.lifecycle import RunState, RunTransition, advance
from service.runs.state.rows import DetectionRow, RunRow
from service.runs.state.source import SourceState
from service.runs.topics import TOPIC_RUNS, topic_of
from service.verdicts.cascade import StartNext, Stop, next_step
from service.verdicts.detector_result import compose_detector
from service.verdicts.facts import RunFacts
from service.verdicts.summary import summary
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import Rule


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
