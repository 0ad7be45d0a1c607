"""Saying in good time that the answer will be late. A final event still follows."""

from collections.abc import Sequence
from typing import Any

from service.events.types import Draft, EventType
from service.kit.clock import rfc3339
from service.runs.decide.moves import is_due, is_ended
from service.runs.decide.workbench import Workbench
from service.runs.inputs import DelayDue
from service.runs.reporting.facts import detection_facts
from service.runs.state.lifecycle import RunState
from service.runs.state.rows import DetectionRow, RunRow
from service.runs.topics import topic_of
from service.verdicts.result import compose
from service.verdicts.summary import summary
from service.verdicts.verdict import DetectionStatus


def delay_due(bench: Workbench, happened: DelayDue) -> bool:
    """Tell it once for each time of asking, unless the detection has ended meanwhile. True if it was told now."""
    detection = bench.detection(happened.detection_id)
    if detection.delay_due_at is None or detection.delay_due_at > bench.now:
        return False
    detection.delay_due_at = None
    if DetectionStatus(detection.status).ended:
        return False
    detection.delayed_at = bench.now
    runs = bench.runs_of(detection)
    facts = detection_facts(detection, runs, bench.media_of(detection))
    short = summary(compose(facts, [bench.facts_of(run) for run in runs], base_url=bench.policy.base_url))
    bench.drafts.append(
        Draft(
            detection.account_id,
            detection.mode,
            EventType.DETECTION_DELAYED,
            {**short, "delay": delay_of(detection, runs)},
            detection_id=detection.id,
            revision=facts.revision,
        )
    )
    bench.topics.add(topic_of(detection.id))
    return True


def delay_of(detection: DetectionRow, runs: Sequence[RunRow]) -> dict[str, Any]:
    """Return why it takes so long, and until when: our next look at the slowest run, and the latest end of all."""
    waiting = [run for run in runs if not is_ended(run)]
    next_look = max((run.due_at or run.deadline_at for run in waiting), default=detection.deadline_at)
    return {
        "reason": _reason(detection, waiting),
        "waiting_for": [{"detector": run.detector, "reason": _wait(run)} for run in waiting],
        "answer_by_at": rfc3339(detection.answer_by_at),
        "estimated_at": rfc3339(next_look),
        "ends_at_latest": rfc3339(detection.deadline_at),
    }


def _reason(detection: DetectionRow, waiting: Sequence[RunRow]) -> str:
    """One word for the whole: the audio, else what holds up the first run that is held up."""
    if is_due(detection):
        return "source"
    return next((run.waiting_for for run in waiting if run.waiting_for), _wait(waiting[0]) if waiting else "relay")


def _wait(run: RunRow) -> str:
    return run.waiting_for or ("vendor" if run.state == RunState.WAITING.value else "relay")
