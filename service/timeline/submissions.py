"""Facts of submissions: each try to hand a run to its vendor, and how long it was there. From rows to facts, pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from service.detections.lifecycle import RunState
from service.detections.models import Observation, Run
from service.detections.note_try import Errand, Outcome
from service.kit.clock import rfc3339
from service.timeline.fact import Fact
from service.timeline.waits import Span

_TAKEN = (Outcome.ACCEPTED.value, Outcome.ANSWERED.value, Outcome.UNKNOWN.value)
_STAYS = (Outcome.ACCEPTED.value, Outcome.UNKNOWN.value)


def submitted(run: Run, tries: Sequence[Observation]) -> Iterable[Fact]:
    """Each try, at the moment it left. What is in flight is not told: it may yet turn out not to have left."""
    doubtful = False  # an earlier submission may have been taken
    for number, row in enumerate(tries, 1):
        submits = row.via == Errand.SUBMIT.value
        told = {
            "detector": run.detector,
            "try": number,
            "step": row.via,
            "outcome": row.outcome,
            "http_status": row.http_status,
            "reason_code": row.refusal,
            "reason_text": row.reason_text,
            "prepared_ref": run.prepared_ref if submits else None,
            "job_id": run.vendor_job_id if row.outcome == Outcome.ACCEPTED.value else None,
            "recorded_at": rfc3339(row.at),
            "possible_duplicate_charge": doubtful and row.outcome in _TAKEN,
        }
        yield Fact(row.left_at or row.at, "run.submitted", f"{run.id}/submitted/{row.n}", run.id, told)
        doubtful |= submits and row.outcome == Outcome.UNKNOWN.value
    if _left_untold(run, tries) and run.state != RunState.QUEUED.value:
        yield _untold(run, len(tries) + 1)


def at_vendor(run: Run, tries: Sequence[Observation]) -> Iterable[Span]:
    """When the vendor had something of this run's: each request until its answer, and the work until it ended.

    What was accepted, or may have been, is there until the run's answer or end. What was not sent never was.
    """
    until = run.answered_at or run.ended_at
    for row in tries:
        if row.left_at is not None and row.outcome != Outcome.NOT_SENT.value:
            stays = row.via == Errand.SUBMIT.value and row.outcome in _STAYS
            yield row.left_at, until if stays else row.at
    if run.submit_started_at is not None and _left_untold(run, tries):
        yield run.submit_started_at, until


def _left_untold(run: Run, tries: Sequence[Observation]) -> bool:
    """Whether the latest submission has no row: it is in flight, or the run ended while it was."""
    known = {row.left_at for row in tries if row.via == Errand.SUBMIT.value}
    return run.submit_started_at is not None and run.submit_started_at not in known


def _untold(run: Run, number: int) -> Fact:
    """What is known of a submission whose answer nobody waited for any more."""
    outcome = Outcome.UNKNOWN if run.submitted_at is None else Outcome.ACCEPTED
    told: dict[str, Any] = {
        "detector": run.detector,
        "try": number,
        "step": Errand.SUBMIT.value,
        "outcome": outcome.value,
        "http_status": None,
        "reason_code": None,
        "reason_text": None,
        "prepared_ref": run.prepared_ref,
        "job_id": run.vendor_job_id,
        "recorded_at": None,
        "possible_duplicate_charge": run.resubmitted,
    }
    return Fact(run.submit_started_at or run.created_at, "run.submitted", f"{run.id}/submitted/untold", run.id, told)
