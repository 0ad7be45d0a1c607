"""Writing a fact down, in the transaction of what caused it, with the very bytes that will be signed.

Recorders (the fan-out is one) run in the same transaction: a fact without its deliveries cannot exist.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, text
from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from service.events.models import Event
from service.events.types import Draft, EventType
from service.kit.clock import rfc3339
from service.kit.db.bulk import InsertMany
from service.kit.db.columns import table_of
from service.kit.db.database import notify_on_commit
from service.kit.ids import new_id

TOPIC = "events"


def topic_of_feed(account_id: str, mode: str) -> str:
    """Return the topic that wakes the readers of this account's events."""
    return f"{TOPIC}:{account_id}:{mode}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fact written: what recorders need of it. `position` is its place in the feed, `body` is what is signed."""

    position: int
    id: str
    account_id: str
    mode: str
    type: EventType
    detection_id: str | None
    body: bytes
    not_to: str | None = None
    only_to: str | None = None


Recorder = Callable[[Session, Sequence[Recorded], datetime], None]


class Outbox:
    """The place where rooms write facts. `recorders` are called in the same transaction."""

    def __init__(self, recorders: Sequence[Recorder] = ()) -> None:
        self._recorders = list(recorders)

    def record(self, session: Session, drafts: Sequence[Draft], now: datetime) -> list[Recorded]:
        """Write the drafts as events, in this order, and pass them to every recorder.

        Raises `IntegrityError` at a second final event of one revision: the transaction must fail then.
        """
        if not drafts:
            return []
        recorded = _insert(session, drafts, now)
        notify_on_commit(session, TOPIC, *{topic_of_feed(draft.account_id, draft.mode) for draft in drafts})
        for recorder in self._recorders:
            recorder(session, recorded, now)
        return recorded


def event_body(event_type: str, data: Mapping[str, Any], at: datetime) -> bytes:
    """Return the JSON that is stored, signed and sent: `{"type", "timestamp", "data"}` (Standard Webhooks 1.0)."""
    body = {"type": event_type, "timestamp": rfc3339(at), "data": data}
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _insert(session: Session, drafts: Sequence[Draft], now: datetime) -> list[Recorded]:
    """Write all of them in two statements, however many there are."""
    positions, transaction_id = _reserve(session, len(drafts))
    recorded = [_recorded(draft, position, now) for draft, position in zip(drafts, positions, strict=True)]
    rows = [
        (
            fact.position,
            fact.id,
            draft.account_id,
            draft.mode,
            draft.type.value,
            draft.detection_id,
            draft.run_id,
            draft.revision,
            draft.revision if draft.final else None,
            fact.body,
            now,
            transaction_id,
        )
        for draft, fact in zip(drafts, recorded, strict=True)
    ]
    _INSERT.run(session.connection(), rows)
    return recorded


def _recorded(draft: Draft, position: int, now: datetime) -> Recorded:
    body = event_body(draft.type.value, draft.data, now)
    fields = (draft.account_id, draft.mode, draft.type, draft.detection_id, body, draft.not_to, draft.only_to)
    return Recorded(position, new_id("evt"), *fields)


def _reserve(session: Session, count: int) -> tuple[Sequence[int], int]:
    """Return so many free positions, in order, and PostgreSQL's number of this transaction.

    They are reserved before the rows are written: what RETURNING gives back of many rows has no order.
    """
    connection = session.connection()
    if connection.dialect.name == "postgresql":
        drawn = connection.execute(_DRAW, {"count": count}).all()
        return sorted(position for position, _ in drawn), drawn[0][1]
    newest: int = connection.execute(_NEWEST).scalar_one() or 0  # SQLite has one writer, and this transaction is it
    return range(newest + 1, newest + 1 + count), 0


# Built once: SQLAlchemy takes longer to build a statement than to run it.
_INSERT = InsertMany(
    table_of(Event),
    "position",
    "id",
    "account_id",
    "mode",
    "type",
    "detection_id",
    "run_id",
    "revision",
    "final_revision",
    "body",
    "created_at",
    "transaction_id",
)
_NEWEST = core_select(func.max(table_of(Event).c.position))
_DRAW = text(
    "SELECT nextval(pg_get_serial_sequence('event', 'position')), pg_current_xact_id()::text::bigint"
    " FROM generate_series(1, :count)"
)


def erase_events_of(session: Session, detection_id: str, now: datetime) -> None:
    """Replace the `data` of the detection's events by what was erased, and when. Id, type, time and position stay."""
    for event in session.exec(select(Event).where(col(Event.detection_id) == detection_id)):
        data = {"id": detection_id, "revision": event.revision, "erased_at": rfc3339(now)}
        event.body = event_body(event.type, data, event.created_at)
