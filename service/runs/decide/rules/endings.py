"""Ends that no vendor's answer brought: a deadline, a budget, a refusal of ours, a cancellation. Never a verdict."""

from service.detectors.enums import ReasonCode
from service.kit.errors import CallerError
from service.runs.decide.conclusion import conclude, skip_run
from service.runs.decide.moves import drop_late_polls, end_run, held, is_due, is_ended, move_source
from service.runs.decide.workbench import Workbench
from service.runs.inputs import Cancelled, DeadlinePassed, GivenUp, NotTaken
from service.runs.state.lifecycle import RunState, RunTransition, SourceInput
from service.runs.state.rows import RunRow
from service.verdicts.verdict import DetectionStatus


def given_up(bench: Workbench, happened: GivenUp) -> str:
    """End a run that never reached its vendor: its deadline has come."""
    run = held(bench, happened.run_id, happened.lease_token)
    if run is None:
        return "lease_lost"
    expire_run(bench, run)
    return "given_up"


def deadline_passed(bench: Workbench, happened: DeadlinePassed) -> str:
    """End this very run, unless it ended meanwhile: the belt under every deadline."""
    run = bench.run(happened.run_id)
    if is_ended(run):
        return "ended"
    expire_run(bench, run)
    return "expired"


def not_taken(bench: Workbench, happened: NotTaken) -> str:
    """End a run whose audio its detector cannot take; nothing has left."""
    run = held(bench, happened.run_id, happened.lease_token)
    if run is None:
        return "lease_lost"
    fail_run(bench, run, happened.reason, happened.text)
    return "answered"


def cancelled(bench: Workbench, happened: Cancelled) -> str:
    """End the detection: no open run is submitted or polled again.

    What a vendor was already sent cannot be called back; it may be charged. Raise `CallerError` 409 after the end.
    """
    detection = bench.detection(happened.detection_id)
    if DetectionStatus(detection.status).ended:
        raise CallerError("already_ended", "The detection has ended; there is nothing to cancel.", status=409)
    if is_due(detection):
        move_source(detection, SourceInput.CANCELLED)
        detection.due_at = detection.lease_token = None
    runs = bench.runs_of(detection)
    drop_late_polls(runs)
    still_open = [run for run in runs if not is_ended(run)]
    for run in still_open:
        skip_run(bench, run, ReasonCode.CANCELLED)
    conclude(bench, detection, still_open)
    return "cancelled"


def fail_run(bench: Workbench, run: RunRow, reason: ReasonCode, text: str | None) -> None:
    """End the run for good, by our own decision."""
    run.reason_code, run.reason_text, run.retryable = reason.value, text, False
    end_run(bench, run, RunTransition.FAILED)
    conclude(bench, bench.detection(run.detection_id), [run])


def expire_run(bench: Workbench, run: RunRow) -> None:
    """End the run because its time is up, with the reason that is true."""
    left = run.submit_started_at is not None
    never_taken = run.state == RunState.QUEUED.value and not left and run.last_refusal is not None
    if never_taken or run.last_refusal == ReasonCode.SCHEMA_MISMATCH.value:
        fail_run(bench, run, ReasonCode(run.last_refusal or ReasonCode.VENDOR_ERROR), run.reason_text)
        return
    unverified = run.confirmation_requested_at is not None
    reason = ReasonCode.UNVERIFIED_CALLBACK if unverified else ReasonCode.NO_CALLBACK_NO_RESULT
    run.reason_code, run.reason_text, run.retryable = reason.value, _why_no_answer(run), True
    end_run(bench, run, RunTransition.DEADLINE)
    conclude(bench, bench.detection(run.detection_id), [run])
    bench.names_known.append(run.id)  # a callback parked meanwhile may still bring a late answer


def _why_no_answer(run: RunRow) -> str:
    if run.confirmation_requested_at is not None:
        return "A callback claimed an end that the vendor did not confirm in time."
    if run.submit_started_at is not None and run.vendor_job_id is None:
        return "No answer came to the submission, nor a callback: whether the vendor took it, and charges, is unknown."
    return "Neither a callback nor a poll brought a result in time."
