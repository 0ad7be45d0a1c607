"""What the last runs of a detector have shown: how long it takes, and how many of its callbacks never came.

Only counts and quantiles leave this file, over all accounts of a mode: never one run, and no account's own figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from service.detectors.enums import Via
from service.detectors.latency import Latency, latency_of
from service.kit.clock import milliseconds_between
from service.runs.state.lifecycle import RunState
from service.runs.state.models import RUN_ANSWERED, Run

SPAN = timedelta(days=7)
MOST = 500
_FRESH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Answered:
    """What is looked at of a run that its vendor has answered."""

    state: str
    via: str
    resubmitted: bool
    submit_started_at: datetime | None
    answered_at: datetime
    confirmation_requested_at: datetime | None


@dataclass(frozen=True, slots=True)
class Measured:
    """One detector in one mode, lately.

    `latency` is what customers waited for. `called_back` leaves out what was found by polls: there the wait says how
    often we look, and a plan made of that would only ever look later. Of the runs that succeeded,
    `callback_loss_pct` had none by then that claimed an end; it says something of vendors that call back.
    """

    latency: Latency
    called_back: Latency
    callback_loss_pct: float | None


def measure(session: Session, mode: str, detector: str, now: datetime) -> Measured:
    """Return the last week's answered runs, at most 500. Reused and followed answers are not the vendor's work."""
    columns = (
        Run.state, Run.via, Run.resubmitted, Run.submit_started_at, Run.answered_at, Run.confirmation_requested_at,
    )  # fmt: skip
    ours = (Run.mode == mode, Run.detector == detector, text(RUN_ANSWERED), col(Run.answered_at) > now - SPAN)
    wanted = select(*(col(column) for column in columns)).where(*ours).order_by(col(Run.answered_at).desc()).limit(MOST)
    rows: Sequence[Any] = session.exec(wanted).all()
    return summed([Answered(*row) for row in rows])


def summed(answered: Sequence[Answered]) -> Measured:
    """Return what these runs add up to. Where two submissions may have been answered, the wait is unknown. Pure."""
    waits = [
        (milliseconds_between(run.submit_started_at, run.answered_at), run.via == Via.CALLBACK.value)
        for run in answered
        if run.submit_started_at is not None and not run.resubmitted
    ]
    succeeded = [run for run in answered if run.state == RunState.SUCCEEDED.value]
    lost = sum(not _was_called_back(run) for run in succeeded)
    return Measured(
        latency=latency_of([wait for wait, _ in waits]),
        called_back=latency_of([wait for wait, called in waits if called]),
        callback_loss_pct=round(100 * lost / len(succeeded), 1) if succeeded else None,
    )


def _was_called_back(run: Answered) -> bool:
    return run.via == Via.CALLBACK.value or run.confirmation_requested_at is not None


class Measurements:
    """What this process knows of each detector, asked for anew at most once a minute."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[datetime, Measured]] = {}

    def __call__(self, session: Session, mode: str, detector: str, now: datetime) -> Measured:
        """Return the detector's figures, at most a minute old."""
        at, measured = self._known.get((mode, detector), (None, None))
        if at is None or measured is None or not timedelta(0) <= now - at < _FRESH:
            measured = measure(session, mode, detector, now)
            self._known[mode, detector] = (now, measured)
        return measured
