"""What the rows of a deployment say is left to be done. The columns' names stand here and in `hammer_rules` alone."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from service.billing.models import Entry
from service.callbacks.models import CALLBACK_WAITING, Callback
from service.events.models import Event
from service.media.models import Media
from service.runs.state.models import (
    FOLLOWERS_DUE,
    RUN_DISPATCHABLE,
    RUN_POLLABLE,
    SOURCE_WAITING,
    Certificate,
    Detection,
    Observation,
    Revision,
    Run,
)
from service.webhooks.models import DELIVERY_WAITING, Attempt, Delivery

# Longer than a run may wait; then callbacks that nobody's run knows are put aside, and a belt ends what stands.
_AT_LAST = timedelta(seconds=310)
KEPT_PARKED = timedelta(seconds=300)
"""So long a callback of a job that no run knows is kept: the longest deadline."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is open, by table and state; how much of it is due now or leased; and when something is due next."""

    open: Counter[str]
    due: Counter[str]
    leased: Counter[str]
    next_at: datetime | None


def look(session: Session, now: datetime) -> Look:
    """Return what is left to be done at this moment."""
    found = Look(Counter(), Counter(), Counter(), None)
    times: list[datetime] = []
    for name, due_at, token, at_last in _open_rows(session):
        found.open[name] += 1
        if token is not None:
            found.leased[name] += 1
        if due_at is not None and due_at <= now:
            found.due[name] += 1
        times += [at for at in (due_at, at_last) if at is not None and at > now]
    return Look(found.open, found.due, found.leased, min(times, default=None))


def _open_runs(session: Session) -> Iterator[tuple[str, datetime | None, str | None, datetime | None]]:
    for waiting in (RUN_DISPATCHABLE, RUN_POLLABLE):
        for run in session.exec(select(Run).where(text(waiting))):
            yield f"run {run.state}", run.due_at, run.lease_token, None
    for run in session.exec(select(Run).where(col(Run.ended_at).is_(None), col(Run.due_at).is_(None))):
        yield f"run {run.state}", None, run.lease_token, run.deadline_at + _AT_LAST
    for leader in session.exec(select(Run).where(text(FOLLOWERS_DUE))):
        yield "followers due", leader.followers_due_at, None, None


def _open_rows(session: Session) -> Iterator[tuple[str, datetime | None, str | None, datetime | None]]:
    """Yield every row that is not at its end: its name, when it is due, whose it is, when it ends at the latest."""
    for source in session.exec(select(Detection).where(text(SOURCE_WAITING))):
        yield "source due", source.due_at, source.lease_token, None
    for detection in session.exec(select(Detection).where(col(Detection.completed_at).is_(None))):
        yield f"detection {detection.status}", None, None, detection.deadline_at + _AT_LAST
    yield from _open_runs(session)
    for callback in session.exec(select(Callback).where(text(CALLBACK_WAITING))):
        yield "callback due", callback.due_at, callback.lease_token, None
    for parked in session.exec(select(Callback).where(Callback.state == "parked")):
        yield "callback parked", None, None, parked.received_at + _AT_LAST
    for delivery in session.exec(select(Delivery).where(text(DELIVERY_WAITING))):
        yield "delivery due", delivery.due_at, delivery.lease_token, None
    unfinished = col(Delivery.state).in_(("blocked", "held"))
    for delivery in session.exec(select(Delivery).where(unfinished)):
        yield f"delivery {delivery.state}", None, delivery.lease_token, None


def all_of(session: Session, model: Any) -> list[Any]:
    """Return every row of this table."""
    return list(session.exec(select(model)).all())


class Rows:
    """All rows that the rules look at, read at one moment."""

    def __init__(self, session: Session) -> None:
        self.detections: list[Detection] = all_of(session, Detection)
        self.runs: list[Run] = all_of(session, Run)
        self.revisions: list[Revision] = all_of(session, Revision)
        self.observations: list[Observation] = all_of(session, Observation)
        self.certificates: list[Certificate] = all_of(session, Certificate)
        self.callbacks: list[Callback] = all_of(session, Callback)
        self.events: list[Event] = all_of(session, Event)
        self.deliveries: list[Delivery] = all_of(session, Delivery)
        self.attempts: list[Attempt] = all_of(session, Attempt)
        self.media: list[Media] = all_of(session, Media)
        self.ledger: list[Entry] = all_of(session, Entry)
        successors = {run.id: run.successor_run_id for run in self.runs}
        self.chains = {run.id: _last(run.id, successors) for run in self.runs}
        """By run, which one went on with its work in the end: itself, mostly."""

        self._by_id = {detection.id: detection for detection in self.detections}
        self._detection_ids = {run.id: run.detection_id for run in self.runs}

    def detection(self, run: Run) -> Detection:
        """Return the detection that the run is a part of."""
        return self._by_id[run.detection_id]

    def erased_at(self, run_id: str | None) -> datetime | None:
        """Return when the run's detection was erased, if it was."""
        detection_id = self._detection_ids.get(run_id or "")
        return None if detection_id is None else self._by_id[detection_id].erased_at


def _last(run_id: str, successors: dict[str, str | None]) -> str:
    while (successor := successors[run_id]) is not None:
        run_id = successor
    return run_id
