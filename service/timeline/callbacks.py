"""Facts of callbacks: what came unasked and was taken in, and what was refused although it named a job of ours."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, or_, select
from sqlmodel import Session

from service.callbacks.models import Callback
from service.kit.clock import rfc3339
from service.kit.db.columns import table_of
from service.runs.state.lifecycle import CallbackState
from service.runs.state.models import Run
from service.timeline.fact import Fact

_TABLE = table_of(Callback)
# Without the body, which can be large.
_COLUMNS = tuple(
    _TABLE.c[name]
    for name in (
        "id", "vendor", "subject", "job_id", "run_id", "received_at", "authenticity", "state", "note",
        "times_received", "overflow_count",
    )
)  # fmt: skip


def called_back(session: Session, runs: Sequence[Run], since: datetime, due: Mapping[str, datetime]) -> Iterable[Fact]:
    """Return the callbacks that named these runs. Of rejected ones only those from `since` on are read.

    `due` says when those that claim an end were to be confirmed, by their ids.
    """
    by_run = {run.id: run for run in runs}
    by_job = {(run.vendor, run.vendor_job_id): run for run in runs if run.vendor_job_id}
    for row in _rows(session, _taken(runs)):
        run = by_run.get(row.run_id) or by_run.get(row.subject) or by_job.get((row.vendor, row.subject))
        if run is not None:
            confirm_due_at = {"confirm_due_at": rfc3339(due[row.id])} if row.id in due else {}
            yield _fact(row, run, "callback.received", **confirm_due_at)
    for row in _rows(session, _rejected(runs, since)):
        run = by_run.get(row.run_id) or by_job.get((row.vendor, row.job_id))
        if run is not None:
            yield _fact(row, run, "callback.rejected")


def _taken(runs: Sequence[Run]) -> ColumnElement[bool]:
    """Select them by the run they were matched to; or, not matched yet, by the run or the job they name."""
    subjects = [run.id for run in runs] + _jobs(runs)
    named = and_(
        _TABLE.c.mode.in_({run.mode for run in runs}),
        _TABLE.c.vendor.in_({run.vendor for run in runs}),
        _TABLE.c.subject.in_(subjects),
    )
    return and_(
        _TABLE.c.state != CallbackState.QUARANTINED.value, or_(_TABLE.c.run_id.in_([run.id for run in runs]), named)
    )


def _rejected(runs: Sequence[Run], since: datetime) -> ColumnElement[bool]:
    """Select the rejected ones. Few of them are kept, and the index on vendor, state and time finds them."""
    return and_(
        _TABLE.c.vendor.in_({run.vendor for run in runs}),
        _TABLE.c.state == CallbackState.QUARANTINED.value,
        _TABLE.c.received_at >= since,
        or_(_TABLE.c.job_id.in_(_jobs(runs)), _TABLE.c.run_id.in_([run.id for run in runs])),
    )


def _jobs(runs: Sequence[Run]) -> list[str]:
    return [run.vendor_job_id for run in runs if run.vendor_job_id]


def _rows(session: Session, condition: ColumnElement[bool]) -> Sequence[Row[Any]]:
    return session.connection().execute(select(*_COLUMNS).where(condition)).all()


def _fact(row: Row[Any], run: Run, kind: str, **more: str) -> Fact:
    told = {
        "callback_id": row.id,
        "job_id": row.job_id if row.job_id == run.vendor_job_id else None,  # another run's is not for this reader
        "authenticity": row.authenticity,
        "state": row.state,
        "seen": row.times_received + row.overflow_count,
        "note": row.note,
        **more,
    }
    return Fact(row.received_at, kind, row.id, run.id, told)
