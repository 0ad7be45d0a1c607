"""One step: facts come in as values, are decided on by pure code, and are saved by one hand, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlmodel import Session

from service.kit.db.database import notify_on_commit
from service.quotas.gate_store import GateUpdate, note_leaving, record_updates
from service.runs import inputs
from service.runs.decide import decide
from service.runs.decide.rules.submission import LEFT
from service.runs.decide.workbench import Decision
from service.runs.inputs import Begun, DetectionInput, Input, Leaving
from service.runs.load.load import load
from service.runs.load.load_related import complete_facts
from service.runs.load.snapshot import FactsNeededError, Snapshot
from service.runs.policy import DetectionPolicy
from service.runs.save import Saved, save
from service.runs.state.models import LEDGER
from service.runs.topics import TOPIC_RUNS

_COMPOSING = (
    inputs.AnsweredAtOnce, inputs.NotTaken, inputs.GivenUp, inputs.DeadlinePassed, inputs.LeaderEnded,
    inputs.Cancelled, inputs.DelayDue, inputs.ReadAgain, inputs.SourceFailed, inputs.CallbackReceived,
)  # fmt: skip
"""Inputs that usually end something: what a result is composed of is loaded at once."""


@dataclass(frozen=True, slots=True)
class Work:
    """An input, and what the vendor's answer tells its gate."""

    happened: Input
    feedback: GateUpdate | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What the caller of an input is told: its outcome, or the error that its rule raised."""

    outcome: Any = None
    error: Exception | None = None

    def result(self) -> Any:
        """Return the outcome. Raise the error."""
        if self.error is not None:
            raise self.error
        return self.outcome


_LATEST_CHARGE = select(func.max(LEDGER.c.id)).where(LEDGER.c.run_id == bindparam("run_id"))


class Missed:
    """The input was not decided on: another transaction has its rows. It comes again."""


def step(
    session: Session, work: Sequence[Work], policy: DetectionPolicy, now: datetime, *, wait: bool = True
) -> list[Done | Missed]:
    """Load, decide and save a batch of inputs; return what each came to. `wait` for rows that others have."""
    happened = [each.happened for each in work]
    facts = any(isinstance(each, _COMPOSING) or _ends(each) for each in happened)
    before = load(session, happened, policy, now, wait=wait, facts=facts)
    try:
        done, decisions, _ = decide_all(before, happened, policy, now)
    except FactsNeededError:
        before = complete_facts(session, before, policy)
        done, decisions, _ = decide_all(before, happened, policy, now)
    saved = save(session, before, decisions, policy, now)
    _tell_gates(session, work, done, policy, now)
    return [
        _with_charge(session, each, result, before, saved, now) for each, result in zip(happened, done, strict=True)
    ]


def decide_all(
    before: Snapshot, happened: Sequence[Input], policy: DetectionPolicy, now: datetime
) -> tuple[list[Done | Missed], list[Decision], Snapshot]:
    """Decide one input after the other, each on what the one before left. One that raises harms no other."""
    snapshot, decisions = before, []
    done: list[Done | Missed] = []
    for each in happened:
        if not is_loaded(snapshot, each):
            done.append(Missed())
            continue
        try:
            decision = decide(snapshot, each, policy, now)
        except FactsNeededError:
            raise
        except Exception as error:  # noqa: BLE001 - it is this input's own, and its caller's to handle
            done.append(Done(error=error))
        else:
            decisions.append(decision)
            snapshot = snapshot.after(decision)
            done.append(Done(decision.outcome))
    return done, decisions, snapshot


def step_one(session: Session, happened: Input, policy: DetectionPolicy, now: datetime) -> Any:
    """Load, decide and save one input in its caller's transaction; return its outcome. Raise what its rule raises."""
    while True:
        (done,) = step(session, [Work(happened)], policy, now)
        if isinstance(done, Done):
            session.expire_all()  # what the caller has read before is as it was
            return done.result()


def is_loaded(snapshot: Snapshot, happened: Input) -> bool:
    """Return True if what this input touches is in the snapshot."""
    if isinstance(happened, DetectionInput):
        return happened.detection_id in snapshot.detections
    # A run that was replaced between the first look and the lock has a successor that was not locked.
    run_id: str | None = happened.run_id
    while run_id is not None and run_id in snapshot.runs:
        run_id = snapshot.runs[run_id].successor_run_id
    return run_id is None


def _ends(happened: Input) -> bool:
    return isinstance(happened, inputs.Polled) and happened.answer is not None


def _tell_gates(
    session: Session, work: Sequence[Work], done: Sequence[Done | Missed], policy: DetectionPolicy, now: datetime
) -> None:
    """Last of all, because gates are locked after all other rows."""
    told = [
        each.feedback for each, result in zip(work, done, strict=True) if each.feedback and isinstance(result, Done)
    ]
    if told and record_updates(session, told, now):
        notify_on_commit(session, TOPIC_RUNS)  # a run is queued there, and a place may have become free
    for each, result in zip(work, done, strict=True):
        happened = each.happened
        if isinstance(happened, Leaving) and isinstance(result, Done) and result.outcome == LEFT:
            _note_leaving(session, happened, policy, now)


def _note_leaving(session: Session, happened: Leaving, policy: DetectionPolicy, now: datetime) -> None:
    if happened.claimed_at is None or happened.gate is None:
        return
    configured = policy.catalogue.configured(*happened.gate)
    if configured is not None:
        note_leaving(session, happened.gate, configured.policy.limits, happened.claimed_at, now)


def _with_charge(
    session: Session, happened: Input, result: Done | Missed, before: Snapshot, saved: Saved, now: datetime
) -> Done | Missed:
    """Tell a submission that may leave which row of the ledger settles it."""
    if not (isinstance(happened, Leaving) and isinstance(result, Done) and result.outcome == LEFT):
        return result
    run_id = happened.run_id
    while run_id in before.successors:
        run_id = before.successors[run_id]
    if run_id in saved.charges:
        return Done(Begun(saved.charges[run_id], now))
    # The same input again: the commit of the first was not heard of.
    charge_id = session.connection().execute(_LATEST_CHARGE, {"run_id": run_id}).scalar_one()
    return Done(Begun(charge_id, before.runs[run_id].submit_started_at or now))
