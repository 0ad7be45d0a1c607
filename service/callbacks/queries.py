"""Stored callbacks counted, where they wait; and erased: the vendor's words go, how each was judged stays."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, text, union_all
from sqlmodel import Session, col, update

from service.callbacks.models import CALLBACK_WAITING, Callback
from service.kit.db.columns import table_of
from service.kit.db.queues import MOST, Backlog, backlog_of, backlog_of_rows
from service.runs.state.lifecycle import CallbackState

_ASIDE = (CallbackState.PARKED, CallbackState.QUARANTINED, CallbackState.STUCK)


def callbacks_waiting(session: Session, vendors: Iterable[str], now: datetime) -> list[Backlog]:
    """Callbacks that are due and not thought about, parked for a run to come, rejected, or given up as stuck.

    Of the rejected only live ones count: twins forge some on purpose, and an operator has nothing to do about them.
    """
    callback, known = table_of(Callback), sorted(vendors)
    due = backlog_of(session, "callbacks_due", callback.c.due_at, text(CALLBACK_WAITING), callback.c.due_at <= now)
    return [due, *(_put_aside(session, known, state) for state in _ASIDE)]


def _put_aside(session: Session, vendors: list[str], state: CallbackState) -> Backlog:
    """One look a vendor, because the index begins with it."""
    received = table_of(Callback).c
    wanted = [received.state == state.value, *([received.mode == "live"] if state is CallbackState.QUARANTINED else [])]
    looks = [
        select(
            select(received.received_at.label("since"))
            .where(received.vendor == vendor, *wanted)
            .order_by(received.received_at)
            .limit(MOST)
            .subquery()
        )
        for vendor in vendors
    ]
    if not looks:
        return Backlog(f"callbacks_{state.value}", 0, None)
    return backlog_of_rows(session, f"callbacks_{state.value}", select(union_all(*looks).subquery().c.since))


ERASED: Mapping[str, Any] = {"body": b"", "headers_json": "{}", "note": None}
"""A callback without a word of the vendor's. Its body's hash stays, so that a repeat is known."""


def erase_callbacks_of(session: Session, run_ids: Sequence[str]) -> None:
    """Erase every callback that spoke of these runs. The caller holds their detection locked."""
    session.exec(update(Callback).where(col(Callback.run_id).in_(run_ids)).values(**ERASED))
