"""What comes after its bringer's lease was lost: it is kept, once. Nothing is, where the content was erased."""

import hashlib

from service.detectors.port import Raw
from service.detectors.reading import Reading
from service.runs.decide.answers import note_answer, note_attempt, observe, transition_by
from service.runs.decide.moves import accepts_late_answer, is_ended, resolved
from service.runs.decide.workbench import Workbench
from service.runs.inputs import SubmissionAttempt, SubmissionStep, VendorAnswer
from service.runs.state.lifecycle import RunState
from service.runs.state.rows import RunRow


def still_waiting(bench: Workbench, run_id: str, attempt: SubmissionAttempt) -> RunRow | None:
    """Return the run if it has no job yet and what left last is what this answer is to."""
    run = bench.run(resolved(bench, run_id))
    waits = not is_ended(run) and run.state in (RunState.QUEUED.value, RunState.UNKNOWN.value)
    ours = run.submit_started_at is not None and run.submit_started_at == attempt.left_at
    return run if waits and ours and run.vendor_job_id is None and attempt.step is SubmissionStep.SUBMIT else None


def keep_late_job(bench: Workbench, run_id: str, job_id: str, attempt: SubmissionAttempt) -> bool:
    """Keep that the vendor named a job too late. True if that is on record already."""
    run = bench.run(resolved(bench, run_id))
    if _is_on_record(bench, run, attempt):
        return True
    if not _is_erased(bench, run):
        note_attempt(bench, run, attempt, text=f"The vendor named job {job_id} too late.", effect="late")
    return False


def keep_late_answer(bench: Workbench, run_id: str, answer: VendorAnswer, attempt: SubmissionAttempt) -> bool:
    """Keep an answer at once that came too late; where that counts, it counts. True if it is on record already."""
    run = bench.run(resolved(bench, run_id))
    if _is_on_record(bench, run, attempt):
        return True
    if _is_erased(bench, run):
        return False
    note_attempt(bench, run, attempt, answer.parsed, effect="late")
    if isinstance(answer.parsed, Reading) and accepts_late_answer(bench.detection(run.detection_id), run):
        observe(bench, run, answer)
    elif isinstance(answer.parsed, Reading):
        note_answer(bench, run, answer, effect="late")
    return False


def keep_late_look(bench: Workbench, run_id: str, answer: VendorAnswer) -> None:
    """Keep an end that a poll brought too late. It moves nothing: the run's holder asks its vendor again."""
    run = bench.run(resolved(bench, run_id))
    if transition_by(answer) is None or _is_erased(bench, run):
        return
    known = {(row.via, row.at, row.body_sha256) for row in bench.seen_of(run.id)}
    if (answer.via.value, answer.raw.received_at, _digest(answer.raw)) not in known:
        note_answer(bench, run, answer, effect="late")


def _is_on_record(bench: Workbench, run: RunRow, attempt: SubmissionAttempt) -> bool:
    """Return True if this very answer was kept before: its input has come again."""
    if attempt.raw is None:
        return False
    tries = (row for row in bench.seen_of(run.id) if row.outcome is not None)
    return any((row.left_at, row.body_sha256) == (attempt.left_at, _digest(attempt.raw)) for row in tries)


def _is_erased(bench: Workbench, run: RunRow) -> bool:
    """Return True if no word of a vendor's may be kept of this run any more."""
    return bench.detection(run.detection_id).erased_at is not None


def _digest(raw: Raw) -> str:
    return hashlib.sha256(raw.body).hexdigest()
