"""The steps of a submission: what is about to leave, what the vendor took, what it answered, what cannot be known."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from service.billing.prices import why_not
from service.detectors.enums import Authenticity, ReasonCode, Via
from service.detectors.port import Accepted, Refused
from service.detectors.reading import Reading
from service.kit.backoff import growing
from service.runs.decide.answers import note_answer, note_attempt, observe
from service.runs.decide.late_answers import keep_late_answer, keep_late_job, still_waiting
from service.runs.decide.moves import defer, held, held_unsent, move
from service.runs.decide.rules.endings import fail_run
from service.runs.decide.workbench import Workbench
from service.runs.inputs import (
    AnsweredAtOnce,
    Deferred,
    Leaving,
    OutcomeUnknown,
    OverBudget,
    PartialAnswer,
    Released,
    SubmissionAttempt,
    SubmissionOutcome,
    Uploaded,
    VendorAccepted,
    VendorAnswer,
)
from service.runs.reporting.facts import PARTIAL
from service.runs.state.lifecycle import RunState, RunTransition, advance
from service.runs.state.rows import LedgerRow, RunRow
from service.runs.topics import TOPIC_RUNS, topic_of
from service.verdicts.verdict import DetectionStatus

LEFT = "left"
"""The outcome of a submission that may leave now."""
_IN_FLIGHT = "answer"
_HAS_LEFT = "The submission has left; the vendor has not answered it yet."
_JOB_OF_ANOTHER = "The vendor named a job that another run already has."
_FIRST_RETRY, _RETRY_FACTOR, _LONGEST_RETRY = 5.0, 2.0, 300.0
_MOST_REFUSALS = 5  # as many as Pex's sample client tries
_WAITS = (ReasonCode.RATE_LIMITED, ReasonCode.QUOTA_EXCEEDED, ReasonCode.AUTH_FAILED, ReasonCode.CIRCUIT_OPEN)
_FAILING, _GATEWAY_TIMEOUT = 500, 504


def uploaded(bench: Workbench, happened: Uploaded) -> bool:
    """Keep the reference of the first step: it is never made again. False if the run is no longer the caller's."""
    run = held(bench, happened.run_id, happened.lease_token)
    if run is None:
        return False
    run.prepared_ref = happened.prepared.ref
    _keep_refs(run, happened.prepared.other)
    return True


def leaving(bench: Workbench, happened: Leaving) -> str:
    """Put on record that a submission is about to leave, and that it may be charged.

    Return `LEFT`, or the word for why it does not leave: `lease_lost`, or `over_budget`, and then the run has failed.
    """
    run = held_unsent(bench, happened.run_id, happened.lease_token)
    if run is None:
        return "lease_lost"
    if run.state == RunState.QUEUED.value and run.submit_started_at is not None:
        return LEFT  # it is on record already: this is the same input again
    if (why := _over_budget(bench, run)) is not None:
        _refuse_payment(bench, run, why)
        return "over_budget"
    detection = bench.detection(run.detection_id)
    if run.state == RunState.UNKNOWN.value:
        run.state = advance(RunState.UNKNOWN, RunTransition.REPEATED).value
        run.resubmitted = True
    run.submit_started_at = bench.now
    run.submit_tries += 1
    run.due_at = min(happened.lease_until, run.deadline_at) if run.deadline_at > bench.now else happened.lease_until
    run.waiting_for, run.reason_text, run.last_refusal = _IN_FLIGHT, _HAS_LEFT, None
    if detection.status == DetectionStatus.QUEUED.value:
        detection.status = DetectionStatus.RUNNING.value
    bench.topics.add(topic_of(detection.id))
    _open_charge(bench, run)
    return LEFT


def over_budget(bench: Workbench, happened: OverBudget) -> str:
    """Fail the run before anything left, if its account still may not pay for it."""
    run = held_unsent(bench, happened.run_id, happened.lease_token)
    if run is None:
        return "lease_lost"
    if (why := _over_budget(bench, run)) is None:
        run.due_at, run.lease_token = bench.now, None  # the budget was raised this moment
    else:
        _refuse_payment(bench, run, why)
    return "over_budget"


def vendor_accepted(bench: Workbench, happened: VendorAccepted) -> str:
    """Record the job id, plan the first poll, and match callbacks that came early.

    A job that is named after the lease was lost is adopted by a run that waits for this very submission.
    """
    accepted, attempt = happened.accepted, happened.attempt
    bench.settle(happened.charge_id, taken=True)
    run = held(bench, happened.run_id, happened.lease_token) or still_waiting(bench, happened.run_id, attempt)
    if run is None:
        known = keep_late_job(bench, happened.run_id, accepted.job_id, attempt)
        return "accepted" if known else "lease_lost"
    if _is_taken(bench, run, accepted.job_id):
        refused = Refused(ReasonCode.SCHEMA_MISMATCH, _JOB_OF_ANOTHER, retryable=False)
        refusal = SubmissionAttempt(
            SubmissionOutcome.REFUSED, attempt.left_at, attempt.step, attempt.raw, attempt.beside
        )
        note_attempt(bench, run, refusal, refused)
        fail_run(bench, run, refused.reason_code, refused.reason_text)
        return "refused"
    note_attempt(bench, run, attempt)
    adopt_job(bench, run, accepted, settled=happened.charge_id is not None)
    return "accepted"


def adopt_job(bench: Workbench, run: RunRow, accepted: Accepted, *, settled: bool = False) -> None:
    """Let the run wait for this job of the vendor's. `settled`: its charge is on record as taken."""
    configured = bench.policy.catalogue.configured(run.mode, run.vendor)
    usual = bench.snapshot.latencies.get((run.mode, run.detector))
    wait = configured.policy.first_wait(accepted.estimate_seconds, usual) if configured is not None else 60.0
    run.vendor_job_id = accepted.job_id
    _note_taken(run, bench.now)
    run.reason_text = run.waiting_for = run.last_refusal = None
    _keep_refs(run, accepted.other)
    if not settled:
        bench.settle_latest([run.id, *([run.submitted_as_run_id] if run.submitted_as_run_id else [])])
    move(run, RunTransition.ACCEPTED, bench.now + timedelta(seconds=wait))
    bench.names_known.append(run.id)


def answered_at_once(bench: Workbench, happened: AnsweredAtOnce) -> str:
    """Apply an answer to the submission: a verdict, a refusal of the track, or a final failure.

    An answer that comes after the lease was lost counts for a run that waits for this very submission, and is kept
    by any other.
    """
    answer, attempt = happened.answer, happened.attempt
    bench.settle(happened.charge_id, taken=happened.taken)
    run = held(bench, happened.run_id, happened.lease_token) or still_waiting(bench, happened.run_id, attempt)
    outcome = "answered" if isinstance(answer.parsed, Reading) else "refused"
    if run is None:
        return outcome if keep_late_answer(bench, happened.run_id, answer, attempt) else "lease_lost"
    note_attempt(bench, run, attempt, answer.parsed)
    observe(bench, run, answer)
    return outcome


def deferred(bench: Workbench, happened: Deferred) -> str:
    """Let a request that was not taken leave again later, unless the vendor has refused it often enough."""
    refused, attempt = happened.refused, happened.attempt
    bench.settle(happened.charge_id, taken=happened.taken)
    run = held(bench, happened.run_id, happened.lease_token)
    if run is None:
        return "lease_lost"
    if run.submit_started_at is None:
        run.submit_tries += 1  # it came not even to the submission; that too is a try, so the waits grow
    if _is_refusal(attempt, refused):
        run.refusals += 1
        if run.refusals >= _MOST_REFUSALS and not run.resubmitted and run.state == RunState.QUEUED.value:
            note_attempt(bench, run, attempt, refused)
            _take_refusal(bench, run, attempt, refused)
            return "refused"
    if run.resubmitted and run.state == RunState.QUEUED.value:
        # The first submission is still of unknown outcome, and its repetition did not happen.
        run.state = advance(RunState.QUEUED, RunTransition.OUTCOME_UNKNOWN).value
        run.resubmitted = False
    elif run.state == RunState.QUEUED.value:
        run.submit_started_at = None
    wait = growing(max(0, run.submit_tries - 1), first=_FIRST_RETRY, factor=_RETRY_FACTOR, longest=_LONGEST_RETRY)
    defer(run, refused, wait, bench.now)
    note_attempt(bench, run, attempt, refused, next_at=_leaves_again_at(run))
    if run.state == RunState.UNKNOWN.value:
        bench.names_known.append(run.id)
    return "deferred"


def _take_refusal(bench: Workbench, run: RunRow, attempt: SubmissionAttempt, refused: Refused) -> None:
    """End the run by what the vendor answered last: nothing better will come of asking again."""
    if attempt.raw is not None:
        parsed = replace(refused, retryable=False)
        observe(bench, run, VendorAnswer(Via.SYNC, attempt.raw, parsed, Authenticity.TLS_FETCH))


def _is_refusal(attempt: SubmissionAttempt, refused: Refused) -> bool:
    """Return True if a whole answer refused this request. That a vendor fails, or wants us to wait, is its gate's."""
    if attempt.raw is None or refused.reason_code in _WAITS:
        return False
    return attempt.raw.status < _FAILING or attempt.raw.status == _GATEWAY_TIMEOUT


def outcome_unknown(bench: Workbench, happened: OutcomeUnknown) -> str:
    """Keep a run of which it is unknown if the vendor took it. It comes up again after `resubmit_after`, once.

    An answer that cannot be read is one of unknown outcome too; the second such answer ends the run.
    """
    run = held(bench, happened.run_id, happened.lease_token)
    if run is None:
        return "lease_lost"
    unreadable, refused = happened.attempt, happened.refused
    if unreadable is not None and refused is not None and run.resubmitted:
        note_attempt(bench, run, unreadable, refused)
        _take_refusal(bench, run, unreadable, refused)
        return "refused"
    configured = bench.policy.catalogue.configured(run.mode, run.vendor)
    left_at = run.submit_started_at or run.created_at
    _note_taken(run, left_at)
    again_at = (
        left_at + timedelta(seconds=configured.policy.resubmit_after) if configured is not None else run.deadline_at
    )
    move(run, RunTransition.OUTCOME_UNKNOWN, run.deadline_at if run.resubmitted else again_at)
    run.waiting_for = "unknown_outcome"
    run.reason_text = happened.why
    attempt = unreadable or SubmissionAttempt(SubmissionOutcome.UNKNOWN, run.submit_started_at)
    note_attempt(bench, run, attempt, refused, text=happened.why, next_at=_leaves_again_at(run))
    bench.names_known.append(run.id)
    return "outcome_unknown"


def partial_answer(bench: Workbench, happened: PartialAnswer) -> None:
    """Keep a part of the answer, which is still coming, for those who follow the detection. It moves nothing."""
    run = held(bench, happened.run_id, happened.lease_token)
    if run is not None:
        note_answer(bench, run, happened.answer, effect=PARTIAL)
        bench.topics.add(topic_of(run.detection_id))


def released(bench: Workbench, happened: Released) -> bool:
    """Make the run due now and free: its submission had not begun. Return False if the caller's lease is over."""
    run = held(bench, happened.run_id, happened.lease_token)
    if run is None:
        return False
    run.due_at, run.lease_token = bench.now, None
    bench.topics.add(TOPIC_RUNS)
    return True


def _is_taken(bench: Workbench, run: RunRow, job_id: str) -> bool:
    """Return True if another run already has this job of the vendor's."""
    return bench.snapshot.taken_jobs.get((run.mode, run.vendor, job_id), run.id) != run.id


def _over_budget(bench: Workbench, run: RunRow) -> str | None:
    prices = bench.policy.prices
    budgets = bench.snapshot.budgets.get((run.account_id, run.mode), {})
    return why_not(prices.price_of(run.detector, bench.now), budgets, unknown_passes=prices.unknown_passes)


def _refuse_payment(bench: Workbench, run: RunRow, why: str) -> None:
    if run.state == RunState.UNKNOWN.value:
        # The first submission may have been taken: its callback is waited for, and nothing is paid again.
        move(run, RunTransition.DEFERRED, run.deadline_at)
        return
    fail_run(bench, run, ReasonCode.BUDGET_EXCEEDED, why)


def _open_charge(bench: Workbench, run: RunRow) -> None:
    price = bench.policy.prices.price_of(run.detector, bench.now)
    bench.open_charge(
        LedgerRow(
            id=None,
            account_id=run.account_id,
            mode=run.mode,
            detection_id=run.detection_id,
            run_id=run.id,
            detector=run.detector,
            at=bench.now,
            amount_micros=price.amount_micros,
            currency=price.currency,
            basis=price.basis.value,
            kind="possible_duplicate" if run.resubmitted else "charge",
        )
    )


def _note_taken(run: RunRow, now: datetime) -> None:
    """Note that the vendor has, or may have, what left last; the first time counts, also if it was repeated since."""
    run.submitted_at = run.submitted_at or run.submit_started_at or now


def _leaves_again_at(run: RunRow) -> datetime | None:
    """When the submission is tried again; `None` where the deadline comes first."""
    return run.due_at if run.due_at is not None and run.due_at < run.deadline_at else None


def _keep_refs(run: RunRow, other: Mapping[str, str]) -> None:
    run.refs_json = json.dumps({**json.loads(run.refs_json), **other}, ensure_ascii=False)
