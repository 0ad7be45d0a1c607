"""What a download of the audio brought: runs that can be submitted, another try, or the end without a verdict."""

from collections.abc import Sequence
from datetime import timedelta

from service.detectors.enums import ReasonCode
from service.runs.accepted_audio import hopeless
from service.runs.decide.coalescing import join_runs
from service.runs.decide.conclusion import conclude, skip_run
from service.runs.decide.moves import is_due, is_ended, move_source
from service.runs.decide.workbench import Workbench
from service.runs.inputs import SourceFailed, SourceReady, SourceReleased
from service.runs.state.lifecycle import RunState, RunTransition, SourceInput, advance
from service.runs.state.rows import DetectionRow, MediaRow, RunRow
from service.runs.topics import TOPIC_RUNS, TOPIC_SOURCES
from service.verdicts.verdict import DetectionStatus
from service.verdicts.votes import OutcomeReason

_TRIES = 3
_RETRY = timedelta(seconds=10)

Skipped = tuple[RunRow, ReasonCode, str | None]
"""A run that is not asked, why, and in which words."""


def source_ready(bench: Workbench, happened: SourceReady) -> str:
    """Queue the runs that waited for the audio, or end them with answers that are stored.

    Where none of the detectors can take it, the detection has failed as if there were no audio.
    """
    detection = bench.detection(happened.detection_id)
    if detection.lease_token != happened.lease_token or not is_due(detection):
        return "lease_lost"
    media = bench.snapshot.media[happened.media_id]
    if media.erased_at is not None:  # just now, by its owner or its age: the bytes are fetched again
        detection.due_at, detection.lease_token = bench.now, None
        return "media_erased"
    runs = bench.runs_of(detection)
    if (against := _hopeless(bench, detection, media, runs)) is not None:
        _fail(bench, detection, against)
        return "not_taken"
    _settle_source(bench, detection, SourceInput.FETCHED)
    detection.media_id = media.id
    if DetectionStatus(detection.status).ended:  # its runs ran out of time meanwhile: nothing needs the bytes
        bench.media_released[media.id] = bench.now + bench.policy.media_retention
        return "too_late"
    bench.media_kept.append(media.id)
    for run in runs:
        if run.state == RunState.SOURCING.value:
            run.state = advance(RunState.SOURCING, RunTransition.SOURCE_READY).value
            run.due_at = bench.now
    if ended := join_runs(bench, detection, media, runs):
        conclude(bench, detection, ended)
    bench.topics.add(TOPIC_RUNS)
    return "ready"


def source_failed(bench: Workbench, happened: SourceFailed) -> str:
    """Plan the next try, or end the detection: no audio, no verdict."""
    detection = bench.detection(happened.detection_id)
    if detection.lease_token != happened.lease_token or not is_due(detection):
        return "lease_lost"
    if DetectionStatus(detection.status).ended:  # its runs ran out of time meanwhile: that was the last word
        _settle_source(bench, detection, SourceInput.GIVEN_UP)
        return "failed"
    if happened.retryable and detection.source_tries < _TRIES:
        detection.due_at = bench.now + _RETRY * detection.source_tries
        detection.lease_token = None
        return "again"
    reason = ReasonCode(happened.reason.value)
    open_runs = [run for run in bench.runs_of(detection) if not is_ended(run)]
    _fail(bench, detection, [(run, reason, None) for run in open_runs])
    return "failed"


def source_released(bench: Workbench, happened: SourceReleased) -> str:
    """Make the download due again and without a lease; it was no try."""
    detection = bench.detection(happened.detection_id)
    if detection.lease_token != happened.lease_token or not is_due(detection):
        return "lease_lost"
    detection.due_at, detection.lease_token = happened.due_at, None
    detection.source_tries -= 1
    bench.topics.add(TOPIC_SOURCES)
    return "released"


def _hopeless(
    bench: Workbench, detection: DetectionRow, media: MediaRow, runs: Sequence[RunRow]
) -> list[Skipped] | None:
    """Return the runs with why each cannot take this audio; `None` if one can, or has ended already."""
    catalogue = bench.policy.catalogue
    if any(is_ended(run) or catalogue.vendor_of(run.mode, run.detector) is None for run in runs):
        return None
    against = hopeless([run.detector for run in runs], media, detection.mode, catalogue)
    if against is None:
        return None
    return [(run, each.reason, each.text) for run, each in zip(runs, against, strict=True)]


def _fail(bench: Workbench, detection: DetectionRow, skipped: Sequence[Skipped]) -> None:
    """End the detection for want of audio: its runs end unasked."""
    _settle_source(bench, detection, SourceInput.GIVEN_UP)
    reasons = {reason for _, reason, _ in skipped}
    reason = reasons.pop() if len(reasons) == 1 else ReasonCode.UNSUPPORTED_FORMAT
    detection.outcome_reason = OutcomeReason(reason.value).value
    for run, why, text in skipped:
        skip_run(bench, run, why, text)
    conclude(bench, detection, [run for run, _, _ in skipped])


def _settle_source(bench: Workbench, detection: DetectionRow, happening: SourceInput) -> None:
    move_source(detection, happening)
    detection.source_ended_at = bench.now
    detection.due_at = None
    detection.lease_token = None
