"""What can happen to runs, each as a step from one `Life` to the next. Claims are made where they can be."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from service.detectors.enums import ReasonCode, Via
from service.detectors.port import Accepted, Refused
from service.runs.decide.rules.submission import LEFT
from service.runs.inputs import (
    AnsweredAtOnce,
    AskedAgain,
    CallbackReceived,
    Cancelled,
    DeadlinePassed,
    Deferred,
    LeaderEnded,
    Leaving,
    OutcomeUnknown,
    Polled,
    SubmissionAttempt,
    SubmissionOutcome,
    VendorAccepted,
)
from service.runs.state.lifecycle import RunState
from service.verdicts.verdict import DetectionStatus
from tests.detections.scripted import job, raw, said
from tests.runs.values import Life, answer

Happening = Callable[[Life, datetime], Life]

_LEASE = timedelta(seconds=95)
_DISPATCHED = (RunState.QUEUED, RunState.UNKNOWN)
_POLLED = (RunState.WAITING, RunState.TIMED_OUT)


def leaves(run_id: str, token: str) -> Happening:
    """A worker claims the run, if it can be claimed, and a submission is about to leave."""

    def happen(life: Life, now: datetime) -> Life:
        return _claimed(life, run_id, token, now, _DISPATCHED).put(Leaving(run_id, token, now + _LEASE), now)

    return happen


def accepted(run_id: str, token: str, job_id: str) -> Happening:
    """The vendor answers that submission with a job."""

    def happen(life: Life, now: datetime) -> Life:
        left_at, charge_id = _left(life, run_id, token, now)
        attempt = SubmissionAttempt(SubmissionOutcome.ACCEPTED, left_at, raw=job(job_id))
        return life.put(VendorAccepted(run_id, token, Accepted(job_id), attempt, charge_id), now)

    return happen


def answered_at_once(run_id: str, token: str, word: str) -> Happening:
    """The vendor answers that submission with its verdict."""

    def happen(life: Life, now: datetime) -> Life:
        left_at, charge_id = _left(life, run_id, token, now)
        heard = answer(word, Via.SYNC)
        attempt = SubmissionAttempt(SubmissionOutcome.ANSWERED, left_at, raw=heard.raw)
        return life.put(AnsweredAtOnce(run_id, token, heard, attempt, charge_id, taken=True), now)

    return happen


def lost_sight(run_id: str, token: str) -> Happening:
    """No answer comes to that submission, and its worker says so."""
    return lambda life, now: life.put(OutcomeUnknown(run_id, token, "no answer came"), now)


def deferred(run_id: str, token: str) -> Happening:
    """The vendor answers that submission with: later."""

    def happen(life: Life, now: datetime) -> Life:
        left_at, charge_id = _left(life, run_id, token, now)
        refused = Refused(ReasonCode.RATE_LIMITED, "slow down", retryable=True)
        attempt = SubmissionAttempt(SubmissionOutcome.DEFERRED, left_at, raw=raw({}, 429))
        return life.put(Deferred(run_id, token, refused, attempt, charge_id), now)

    return happen


def called_back(run_id: str, job_id: str, word: str) -> Happening:
    """A callback claims an end."""

    def happen(life: Life, now: datetime) -> Life:
        callback_id = f"cbk_{run_id}_{word}"
        heard = answer(word, Via.CALLBACK, said(word, callback=run_id), callback_id=callback_id)
        return life.put(CallbackReceived(run_id, callback_id, now, job_id, heard, counts=(1, 0)), now)

    return happen


def poll_begins(run_id: str, token: str) -> Happening:
    """A worker claims the run, if it can be claimed, and asks its vendor."""
    return lambda life, now: _claimed(life, run_id, token, now, _POLLED, polls=life.runs[run_id].polls + 1)


def poll_answered(run_id: str, token: str, word: str) -> Happening:
    """Its vendor answers the worker that asked with that token."""

    def happen(life: Life, now: datetime) -> Life:
        asked_at = life.runs[run_id].polled_at or now
        heard = answer(word, Via.POLL, said(word, polled=run_id))
        return life.put(Polled(run_id, token, asked_at, confirms=False, answer=heard), now)

    return happen


def polled(run_id: str, token: str, word: str) -> Happening:
    """A worker claims the run, if it can be claimed, asks its vendor and is answered."""
    begins, ends = poll_begins(run_id, token), poll_answered(run_id, token, word)
    return lambda life, now: ends(begins(life, now), now)


def deadline(run_id: str) -> Happening:
    """The run's time is up."""
    return lambda life, now: life.put(DeadlinePassed(run_id), now)


def cancelled(detection_id: str = "det_1") -> Happening:
    """The customer calls the detection off."""
    return lambda life, now: life.put(Cancelled(detection_id), now)


def asked_again(*run_ids: str) -> Happening:
    """The customer asks every detector again."""
    return lambda life, now: life.put(AskedAgain("det_1", run_ids), now)


def erased(detection_id: str = "det_1") -> Happening:
    """The detection's content is erased, if it has ended."""

    def happen(life: Life, now: datetime) -> Life:
        ended = DetectionStatus(life.detections[detection_id].status).ended
        return life.erased(detection_id, now) if ended else life

    return happen


def followers_told() -> Happening:
    """All who follow a run that has ended are told of it."""

    def happen(life: Life, now: datetime) -> Life:
        due = [run.id for run in life.runs.values() if run.followers_due_at is not None]
        for leader_id in due:
            life = life.altered(leader_id, followers_due_at=None)
            for run in life.runs.values():
                if run.follows_run_id == leader_id and (run.ended_at is None or run.state == "timed_out"):
                    life = life.put(LeaderEnded(run.id, leader_id), now)
        return life

    return happen


def _claimed(life: Life, run_id: str, token: str, now: datetime, states: Sequence[RunState], **values: int) -> Life:
    run = life.runs[run_id]
    if run.state not in states or run.due_at is None or run.lease_token is not None or run.follows_run_id is not None:
        return life
    asking = {"polled_at": now} if "polls" in values else {}
    return life.altered(run_id, lease_token=token, due_at=now + _LEASE, **asking, **values)


def _left(life: Life, run_id: str, token: str, now: datetime) -> tuple[datetime, int | None]:
    """When the submission of that token left, and by which row of the ledger it is settled."""
    for each in life.outcomes:
        if isinstance(each.happened, Leaving) and (each.happened.lease_token, each.outcome) == (token, LEFT):
            charge = next((row.id for row in life.ledger if row.run_id == run_id and row.at == each.at), None)
            return each.at, charge
    return now, None  # an answer to what nobody knows to have left
