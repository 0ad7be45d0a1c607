"""Writing down how far a submission came. Each verb is one transaction, fenced by the lease token."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlmodel import Session, select

from service.detections.conclude import conclude, end_run
from service.detections.hold import defer, hold_run, hold_unsent, move
from service.detections.note_try import Outcome, Try, note_try
from service.detections.observe import PARTIAL, Sighting, observe, write_observation
from service.detectors.catalogue import VendorPolicy
from service.detectors.port import Accepted, Prepared, Refused
from service.detectors.words import ReasonCode
from service.kit.backoff import growing
from service.kit.database import wakes
from service.runs.lifecycle import RunInput, RunState, advance
from service.runs.models import Detection, Run
from service.runs.policy import TOPIC_POLLS, DetectionPolicy, topic_of
from service.spending.ledger import settle_latest
from service.verdicts.verdict import DetectionStatus

IN_FLIGHT = "answer"
"""What a run waits for while its submission is at the vendor and nothing has come back."""
_LEFT = "The submission has left; the vendor has not answered it yet."
_FIRST_RETRY, _RETRY_FACTOR, _LONGEST_RETRY = 5.0, 2.0, 300.0


def record_prepared(session: Session, run_id: str, token: str, prepared: Prepared) -> bool:
    """The reference of the first step is kept: it is never taken again. False if the run is no longer ours."""
    held = hold_run(session, run_id, token)
    if held is None:
        return False
    _, run = held
    run.prepared_ref = prepared.ref
    _keep_refs(run, prepared.other)
    return True


def begin_submit(session: Session, run_id: str, token: str, now: datetime, lease_until: datetime) -> bool:
    """It is on record, and told, that a submission is about to leave. Committed before it does; false if not ours."""
    held = hold_unsent(session, run_id, token)
    if held is None:
        return False
    detection, run = held
    if run.state == RunState.UNKNOWN.value:
        run.state = advance(RunState.UNKNOWN, RunInput.REPEATED).value
        run.resubmitted = True
    run.submit_started_at = now
    run.submit_tries += 1
    run.due_at = lease_until
    run.waiting_for, run.reason_text, run.last_refusal = IN_FLIGHT, _LEFT, None
    if detection.status == DetectionStatus.QUEUED.value:
        detection.status = DetectionStatus.RUNNING.value
    wakes(session, topic_of(detection.id))
    return True


def record_accepted(
    session: Session,
    run_id: str,
    token: str,
    accepted: Accepted,
    tried: Try,
    vendor: VendorPolicy,
    policy: DetectionPolicy,
    now: datetime,
) -> None:
    """The vendor has it: the job id is known, the first poll is due, callbacks that came early are matched."""
    held = hold_run(session, run_id, token)
    if held is None:
        return
    detection, run = held
    if job_id_taken(session, run, accepted.job_id):
        refused = Refused(
            ReasonCode.SCHEMA_MISMATCH, "The vendor named a job that another run already has.", retryable=False
        )
        note_try(session, run, replace(tried, outcome=Outcome.REFUSED), now, refused)
        _fail(session, detection, run, refused.reason_code, refused.reason_text, policy, now)
        return
    note_try(session, run, tried, now)
    adopt_job(session, run, accepted, vendor, policy, now)


def adopt_job(
    session: Session, run: Run, accepted: Accepted, vendor: VendorPolicy, policy: DetectionPolicy, now: datetime
) -> None:
    """The run waits for this job of the vendor's. The caller holds the detection locked."""
    usually = policy.measured(session, run.mode, run.detector, now).called_back
    run.vendor_job_id = accepted.job_id
    _note_taken(run, now)
    run.reason_text = None
    run.waiting_for = None
    run.last_refusal = None
    _keep_refs(run, accepted.other)
    settle_latest(session, [run.id, run.submitted_as_run_id or run.id])
    move(run, RunInput.ACCEPTED, now + timedelta(seconds=vendor.first_wait(accepted.estimate_seconds, usually)))
    _tell(session, run, policy)
    wakes(session, TOPIC_POLLS)


def record_answer(
    session: Session,
    run_id: str,
    token: str,
    sighting: Sighting,
    tried: Try | None,
    policy: DetectionPolicy,
    now: datetime,
) -> None:
    """The submission was answered at once: with a verdict, a refusal of the track, or for good.

    `tried` is `None` where the answer was known without asking.
    """
    held = hold_run(session, run_id, token)
    if held is None:
        return
    if tried is not None:
        note_try(session, held[1], tried, now, sighting.said)
    observe(session, run_id, sighting, policy, now)


def record_partial(session: Session, run_id: str, token: str, sighting: Sighting) -> None:
    """A part of the answer, which is still coming, is on record; who follows the detection looks. It moves nothing."""
    held = hold_run(session, run_id, token)
    if held is not None:
        detection, run = held  # another run, where that one took the work over meanwhile
        write_observation(session, run.id, sighting, effect=PARTIAL)
        wakes(session, topic_of(detection.id))


def record_deferred(
    session: Session, run_id: str, token: str, refused: Refused, tried: Try, policy: DetectionPolicy, now: datetime
) -> None:
    """Nothing was taken; the same request leaves again later."""
    held = hold_run(session, run_id, token)
    if held is None:
        return
    _, run = held
    if run.submit_started_at is None:
        run.submit_tries += 1  # it came not even to the submission; that too is a try, so the waits grow
    if run.resubmitted and run.state == RunState.QUEUED.value:
        # The first submission is still of unknown outcome, and its repetition did not happen.
        run.state = advance(RunState.QUEUED, RunInput.LOST_SIGHT).value
        run.resubmitted = False
    elif run.state == RunState.QUEUED.value:
        run.submit_started_at = None
    wait = growing(max(0, run.submit_tries - 1), first=_FIRST_RETRY, factor=_RETRY_FACTOR, longest=_LONGEST_RETRY)
    defer(run, refused, wait, now)
    note_try(session, run, tried, now, refused, next_at=_leaves_again_at(run))
    if run.state == RunState.UNKNOWN.value:
        _tell(session, run, policy)


def record_lost_sight(
    session: Session, run_id: str, token: str, why: str, vendor: VendorPolicy, policy: DetectionPolicy, now: datetime
) -> None:
    """Whether the vendor took it is unknown. It is looked at again after `resubmit_after`, once; then never."""
    held = hold_run(session, run_id, token)
    if held is None:
        return
    _, run = held
    left_at = run.submit_started_at or run.created_at
    _note_taken(run, left_at)
    due_at = run.deadline_at if run.resubmitted else left_at + timedelta(seconds=vendor.resubmit_after)
    move(run, RunInput.LOST_SIGHT, due_at)
    run.waiting_for = "unknown_outcome"
    run.reason_text = why
    note_try(session, run, Try(Outcome.UNKNOWN, run.submit_started_at), now, text=why, next_at=_leaves_again_at(run))
    _tell(session, run, policy)


def _note_taken(run: Run, now: datetime) -> None:
    """The vendor has, or may have, what left last; the first time counts, also if that was repeated since."""
    run.submitted_at = run.submitted_at or run.submit_started_at or now


def _leaves_again_at(run: Run) -> datetime | None:
    """When the submission is tried again; `None` where the deadline comes first."""
    return run.due_at if run.due_at is not None and run.due_at < run.deadline_at else None


def give_up(session: Session, run_id: str, token: str, policy: DetectionPolicy, now: datetime) -> None:
    """A run that never reached its vendor has ended at its deadline."""
    held = hold_run(session, run_id, token)
    if held is not None:
        detection, run = held
        expire_run(session, detection, run, policy, now)


def expire_run(session: Session, detection: Detection, run: Run, policy: DetectionPolicy, now: datetime) -> None:
    """The run has ended because its time is up, with the reason that is true. Never a verdict."""
    left = run.submit_started_at is not None
    never_taken = run.state == RunState.QUEUED.value and not left and run.last_refusal is not None
    if never_taken or run.last_refusal == ReasonCode.SCHEMA_MISMATCH.value:
        reason = ReasonCode(run.last_refusal or ReasonCode.VENDOR_ERROR)
        _fail(session, detection, run, reason, run.reason_text, policy, now)
        return
    unverified = run.confirmation_requested_at is not None
    reason = ReasonCode.UNVERIFIED_CALLBACK if unverified else ReasonCode.NO_CALLBACK_NO_RESULT
    run.reason_code = reason.value
    run.reason_text = _why_no_answer(run)
    run.retryable = True
    end_run(session, run, RunInput.DEADLINE, now)
    conclude(session, detection, [run], policy, now)
    _tell(session, run, policy)  # a callback parked meanwhile may still bring a late answer


def _why_no_answer(run: Run) -> str:
    if run.confirmation_requested_at is not None:
        return "A callback claimed an end that the vendor did not confirm in time."
    if run.submit_started_at is not None and run.vendor_job_id is None:
        return "No answer came to the submission, nor a callback: whether the vendor took it, and charges, is unknown."
    return "Neither a callback nor a poll brought a result in time."


def _fail(
    session: Session,
    detection: Detection,
    run: Run,
    reason: ReasonCode,
    text: str | None,
    policy: DetectionPolicy,
    now: datetime,
) -> None:
    run.reason_code, run.reason_text, run.retryable = reason.value, text, False
    end_run(session, run, RunInput.FAILED, now)
    conclude(session, detection, [run], policy, now)


def job_id_taken(session: Session, run: Run, job_id: str) -> bool:
    """Whether another run already has this job of the vendor's."""
    twin = select(Run.id).where(Run.mode == run.mode, Run.vendor == run.vendor, Run.vendor_job_id == job_id)
    return session.exec(twin.where(Run.id != run.id)).first() is not None


def _tell(session: Session, run: Run, policy: DetectionPolicy) -> None:
    """Callbacks that came too early, naming this run or its job, are matched now."""
    session.flush()
    for told in policy.on_job_known:
        told(session, run)


def _keep_refs(run: Run, other: Mapping[str, str]) -> None:
    run.refs_json = json.dumps({**json.loads(run.refs_json), **other}, ensure_ascii=False)
