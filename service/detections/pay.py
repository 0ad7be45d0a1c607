"""Money and gates around a submission: may it be paid for, that it may have been, and what an answer tells of both."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlmodel import Session

from service.detections.conclude import conclude
from service.detections.end import end_run
from service.detections.hold import hold_unsent, move
from service.detections.lock import lock_run
from service.detections.record import begin_submit
from service.detectors.catalogue import Line
from service.detectors.words import ReasonCode
from service.kit.database import wakes
from service.runs.lifecycle import RunInput, RunState
from service.runs.models import Detection, Run
from service.runs.policy import TOPIC_RUNS, DetectionPolicy
from service.spending.budgets import over_budget
from service.spending.hearing import Heard
from service.spending.ledger import Spender, open_charge, settle_charge
from service.spending.lock import note_heard, note_leaving

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What an answer, or its absence, means beside the run: for the vendor's gate, and for what the ledger says.

    `taken`: the vendor took that submission; `None`: nobody can know.
    """

    told: Heard
    charge_id: int | None = None
    taken: bool | None = None


def begin_paid_submit(
    session: Session,
    run_id: str,
    token: str,
    policy: DetectionPolicy,
    now: datetime,
    lease_until: datetime,
    claimed_at: datetime | None = None,
) -> int | str:
    """It is on record that a submission is about to leave, and that it may be charged: the charge's id.

    Or the word for why it does not leave: `lease_lost`, or `over_budget`, and then the run has failed. The gate was
    charged for the request at `claimed_at`, and counts it by now.
    """
    held = hold_unsent(session, run_id, token)
    if held is None:
        return "lease_lost"
    detection, run = held
    price = policy.prices.price_of(run.detector, now)
    why = _over(session, run, policy, now, lock=True)
    if why is not None:
        _refuse(session, detection, run, why, policy, now)
        return "over_budget"
    if not begin_submit(session, run_id, token, now, lease_until):
        return "lease_lost"
    spender = Spender(run.account_id, run.mode, run.detection_id, run.id, run.detector)
    charge_id = open_charge(session, spender, price, now, duplicate=run.resubmitted)
    line = policy.catalogue.line(run.mode, run.vendor)
    if line is not None and claimed_at is not None:
        note_leaving(session, (run.mode, run.vendor), line.policy.limits, claimed_at, now)
    return charge_id


def is_over_budget(session: Session, run: Run, policy: DetectionPolicy, now: datetime) -> bool:
    """Whether the run's account may not pay for it, as it looks now. Locks nothing."""
    return _over(session, run, policy, now) is not None


def fail_over_budget(session: Session, run_id: str, token: str, policy: DetectionPolicy, now: datetime) -> None:
    """The run has failed before anything left, if its account may not pay for it and it is still ours."""
    held = hold_unsent(session, run_id, token)
    if held is None:
        return
    detection, run = held
    why = _over(session, run, policy, now)
    if why is None:
        run.due_at, run.lease_token = now, None  # the budget was raised this moment
    else:
        _refuse(session, detection, run, why, policy, now)


def with_aftermath(
    session: Session,
    run: Run,
    line: Line,
    aftermath: Aftermath,
    now: datetime,
    verb: Callable[Concatenate[Session, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """What `verb` returned; in the same transaction the ledger and the vendor's gate know what the answer told."""
    if aftermath.charge_id is not None:
        lock_run(session, run.id)  # whoever touches the run's charges holds its detection
        settle_charge(session, aftermath.charge_id, taken=aftermath.taken)  # before a result is composed
    result = verb(session, *args, **kwargs)
    told = replace(aftermath.told, taken=True) if aftermath.taken else aftermath.told
    if note_heard(session, (run.mode, run.vendor), line.policy.limits, told, now):
        wakes(session, TOPIC_RUNS)  # somebody stands in line there, and a place may have become free
    return result


def _over(session: Session, run: Run, policy: DetectionPolicy, now: datetime, *, lock: bool = False) -> str | None:
    """Return why the run's account may not pay for it, or `None`."""
    prices = policy.prices
    price = prices.price_of(run.detector, now)
    passes = prices.unknown_passes
    return over_budget(session, run.account_id, run.mode, price, now, lock=lock, unknown_passes=passes)


def _refuse(session: Session, detection: Detection, run: Run, why: str, policy: DetectionPolicy, now: datetime) -> None:
    if run.state == RunState.UNKNOWN.value:
        # The first submission may have been taken: its callback is waited for, and nothing is paid again.
        move(run, RunInput.DEFERRED, run.deadline_at)
        return
    run.reason_code, run.reason_text, run.retryable = ReasonCode.BUDGET_EXCEEDED.value, why, False
    end_run(session, run, RunInput.FAILED, now)
    conclude(session, detection, [run], policy, now)
