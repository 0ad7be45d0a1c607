"""Facts of submissions: each try to hand a run to its vendor, and how long it was there. From rows to facts, pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from service.detectors.enums import Via
from service.kit.clock import rfc3339, rfc3339_or_none
from service.runs.inputs import SubmissionOutcome, SubmissionStep
from service.runs.state.lifecycle import RunState
from service.runs.state.models import Observation, Run
from service.timeline.fact import Fact
from service.timeline.waits import Span

_TAKEN = (SubmissionOutcome.ACCEPTED.value, SubmissionOutcome.ANSWERED.value, SubmissionOutcome.UNKNOWN.value)
_STAYS = (SubmissionOutcome.ACCEPTED.value, SubmissionOutcome.UNKNOWN.value)
_IN_FLIGHT = "in_flight"


def submitted(run: Run, tries: Sequence[Observation]) -> Iterable[Fact]:
    """Yield each try, at the moment it left; the last one also while it is in flight, as a fact beside its outcome."""
    doubtful = False  # an earlier submission may have been taken
    for number, row in enumerate(tries, 1):
        submits = row.via == SubmissionStep.SUBMIT.value
        data = {
            "try": number,
            "step": row.via,
            "outcome": row.outcome,
            "http_status": row.http_status,
            "reason_code": row.refusal,
            "reason_text": row.reason_text,
            "retry_after_seconds": row.retry_after_seconds,
            "next_attempt_at": rfc3339_or_none(row.next_at),
            "prepared_ref": run.prepared_ref if submits else None,
            "job_id": run.vendor_job_id if row.outcome == SubmissionOutcome.ACCEPTED.value else None,
            "recorded_at": rfc3339(row.at),
            "possible_duplicate_charge": doubtful and row.outcome in _TAKEN,
        }
        yield Fact(row.left_at or row.at, "run.submitted", f"{run.id}/submitted/{row.n}", run.id, data)
        doubtful |= submits and row.outcome == SubmissionOutcome.UNKNOWN.value
    if _is_unrecorded(run, tries):
        yield _unrecorded(run, len(tries) + 1)


def at_vendor(run: Run, tries: Sequence[Observation]) -> Iterable[Span]:
    """Yield when the vendor had work of this run: each request until its answer, and the work until it ended.

    What was accepted, or may have been, is there until the run's answer or end. What was not sent never was. The work
    for a run that this one followed was for this one too.
    """
    # An answer that was taken over may have come to us before this run was asked for.
    until = run.ended_at if run.via == Via.REUSE.value else run.answered_at or run.ended_at
    if run.followed_at is not None:
        yield run.followed_at, until
    for row in tries:
        if row.left_at is not None and row.outcome != SubmissionOutcome.NOT_SENT.value:
            stays = row.via == SubmissionStep.SUBMIT.value and row.outcome in _STAYS
            yield row.left_at, until if stays else row.at
    if run.submit_started_at is not None and _is_unrecorded(run, tries):
        yield run.submit_started_at, until


def _is_unrecorded(run: Run, tries: Sequence[Observation]) -> bool:
    """Return True if the latest submission has no row: it is in flight, or the run ended while it was."""
    known = {row.left_at for row in tries if row.via == SubmissionStep.SUBMIT.value}
    return run.submit_started_at is not None and run.submit_started_at not in known


def _unrecorded(run: Run, number: int) -> Fact:
    """Return what is known of a submission in flight, or of one whose answer came after the run's end."""
    outcome = _IN_FLIGHT
    if run.state != RunState.QUEUED.value:
        outcome = SubmissionOutcome.UNKNOWN.value if run.vendor_job_id is None else SubmissionOutcome.ACCEPTED.value
    data: dict[str, Any] = {
        "try": number,
        "step": SubmissionStep.SUBMIT.value,
        "outcome": outcome,
        "http_status": None,
        "reason_code": None,
        "reason_text": None,
        "retry_after_seconds": None,
        "next_attempt_at": None,
        "prepared_ref": run.prepared_ref,
        "job_id": run.vendor_job_id,
        "recorded_at": None,
        "possible_duplicate_charge": run.resubmitted,
    }
    # Its end is a fact of its own: a reader of the stream gets both.
    key = f"{run.id}/submitted/{outcome}/{number}" if outcome == _IN_FLIGHT else f"{run.id}/submitted/untold"
    return Fact(run.submit_started_at or run.created_at, "run.submitted", key, run.id, data)
