"""Asking: the first round of a new detection, and a further one of a detection that has ended."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.detectors.catalogue import Catalogue, tier_of
from service.kit.errors import CallerError
from service.runs.decide.coalescing import join_runs
from service.runs.decide.conclusion import conclude
from service.runs.decide.moves import drop_late_polls, is_due, move_source
from service.runs.decide.workbench import Workbench
from service.runs.inputs import Asked, AskedAgain
from service.runs.state.lifecycle import RunState, SourceInput
from service.runs.state.rows import DetectionRow, MediaRow, RunRow
from service.runs.topics import TOPIC_RUNS, TOPIC_SOURCES, topic_of
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import Rule


def asked(bench: Workbench, happened: Asked) -> str:
    """Let the runs of a new detection join those that ask the same; some may end by answers that are stored."""
    detection = bench.detection(happened.detection_id)
    media = bench.media_of(detection)
    bench.topics.add(TOPIC_RUNS if media is not None else TOPIC_SOURCES)
    if media is None:
        return detection.status
    bench.media_kept.append(media.id)  # while a run may need it
    if ended := join_runs(bench, detection, media, bench.runs_of(detection)):
        conclude(bench, detection, ended)
    return detection.status


def asked_again(bench: Workbench, happened: AskedAgain) -> str:
    """Let the detection run again, without a verdict until its next revision. What was answered stays as it is.

    A source that could never be fetched is fetched anew. Raise `CallerError` 409 where the state forbids it.
    """
    detection = bench.detection(happened.detection_id)
    _check_state(detection)
    earlier = bench.runs_of(detection)
    names = [run.detector for run in earlier]
    _check_offered(names, detection.mode, bench.policy.catalogue)
    media = _keep_audio(bench, detection)
    drop_late_polls(earlier)
    span = detection.answer_by_at - (detection.rechecked_at or detection.created_at)
    detection.round += 1
    detection.rechecked_at = bench.now
    detection.status = DetectionStatus.RUNNING.value
    detection.verdict = detection.outcome_reason = detection.completed_at = None
    plan_reminder(detection, bench.now, span)
    runs = first_runs(detection, names, happened.run_ids, bench.policy.catalogue, bench.now)
    detection.deadline_at = max(run.deadline_at for run in runs)
    for run in runs:
        bench.add_run(run)
    if media is not None:
        join_runs(bench, detection, media, runs)  # for later detections: these ask anew
    bench.topics |= {TOPIC_SOURCES if is_due(detection) else TOPIC_RUNS, topic_of(detection.id)}
    return detection.status


def plan_reminder(detection: DetectionRow, now: datetime, answer_within: timedelta) -> None:
    """Set the time by which the answer is due; a delay is announced when nine tenths of it have passed."""
    detection.answer_by_at = now + answer_within
    detection.delay_due_at = now + answer_within * 0.9


def first_runs(
    detection: DetectionRow, names: Sequence[str], run_ids: Sequence[str], catalogue: Catalogue, now: datetime
) -> list[RunRow]:
    """Return a run for each detector named, in the detection's latest round, none of them begun."""
    runs = []
    for position, (name, run_id) in enumerate(zip(names, run_ids, strict=True)):
        vendor = catalogue.vendor_of(detection.mode, name) or ""
        configured = catalogue.configured(detection.mode, vendor)
        if configured is None:
            raise ValueError(f"{name} is not offered; every name is looked up before")
        state = _first_state(detection, position)
        runs.append(
            RunRow(
                id=run_id,
                detection_id=detection.id,
                round=detection.round,
                position=position,
                account_id=detection.account_id,
                mode=detection.mode,
                vendor=vendor,
                detector=name,
                tier=tier_of(name),
                state=state.value,
                created_at=now,
                deadline_at=now + timedelta(seconds=configured.policy.deadline),
                due_at=now if state is RunState.QUEUED else None,
            )
        )
    return runs


def _first_state(detection: DetectionRow, position: int) -> RunState:
    """Return the first state of a run: behind the download, behind the cascade, or in the queue."""
    if detection.rule == Rule.CASCADE.value and position > 0:
        return RunState.RESERVED
    return RunState.SOURCING if is_due(detection) else RunState.QUEUED


def _check_state(detection: DetectionRow) -> None:
    if not DetectionStatus(detection.status).ended:
        raise CallerError("not_ended", "The detection has not ended yet. Wait for its first result.", status=409)
    if detection.erased_at is not None:
        raise CallerError("erased", "The detection was erased.", status=409)


def _check_offered(names: Sequence[str], mode: str, catalogue: Catalogue) -> None:
    gone = [name for name in names if catalogue.vendor_of(mode, name) is None]
    if gone:
        raise CallerError("detector_not_offered", f"No longer available: {', '.join(gone)}.", status=409)


def _keep_audio(bench: Workbench, detection: DetectionRow) -> MediaRow | None:
    """Keep the bytes while the new round may need them, or have them fetched if there never were any."""
    media = bench.media_of(detection)
    if media is None:
        move_source(detection, SourceInput.ASKED_AGAIN)
        detection.source_tries, detection.due_at = 0, bench.now
        return None
    if media.erased_at is not None:
        raise CallerError("media_erased", "The audio was erased. Submit it again as a new detection.", status=409)
    bench.media_kept.append(media.id)
    return media
