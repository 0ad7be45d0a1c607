"""Writing a fact down, in the transaction of what caused it, with the very bytes that will be signed.

Recorders (the fan-out is one) run in the same transaction: a fact without its deliveries cannot exist.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, cast, func, insert
from sqlmodel import Session

from service.events.models import Event
from service.events.types import EventType
from service.kit.clock import rfc3339
from service.kit.columns import table_of
from service.kit.database import wakes
from service.kit.ids import new_id

TOPIC = "events"


def topic_of_feed(account_id: str, mode: str) -> str:
    """The wake of whoever follows this account's events."""
    return f"{TOPIC}:{account_id}:{mode}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A fact about to be written. `final` marks the one last word on a revision.

    `not_to` is an endpoint that is not told: the fact is about it, and meant for the account's others. `only_to` is
    the one endpoint that is told, whatever its filters.
    """

    account_id: str
    mode: str
    type: EventType
    data: Mapping[str, Any]
    detection_id: str | None = None
    run_id: str | None = None
    revision: int | None = None
    final: bool = False
    not_to: str | None = None
    only_to: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A fact written: what recorders need of it. `position` is its place in the feed."""

    position: int
    id: str
    account_id: str
    mode: str
    type: EventType
    detection_id: str | None
    not_to: str | None = None
    only_to: str | None = None


Recorder = Callable[[Session, Sequence[Recorded], datetime], None]


class Outbox:
    """Where rooms write facts. `recorders` are told in the same transaction."""

    def __init__(self, recorders: Sequence[Recorder] = ()) -> None:
        self._recorders = list(recorders)

    def record(self, session: Session, drafts: Sequence[Draft], now: datetime) -> list[Recorded]:
        """The drafts are events, in this order, and every recorder has seen them.

        Raises `IntegrityError` at a second final event of one revision: the transaction must fail then.
        """
        recorded = [_insert(session, draft, now) for draft in drafts]
        if recorded:
            wakes(session, TOPIC, *{topic_of_feed(draft.account_id, draft.mode) for draft in drafts})
            for recorder in self._recorders:
                recorder(session, recorded, now)
        return recorded


def event_body(event_type: str, data: Mapping[str, Any], at: datetime) -> bytes:
    """The JSON that is stored, signed and sent: `{"type", "timestamp", "data"}` (Standard Webhooks 1.0)."""
    body = {"type": event_type, "timestamp": rfc3339(at), "data": data}
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _insert(session: Session, draft: Draft, now: datetime) -> Recorded:
    event_id = new_id("evt")
    values = {
        "id": event_id,
        "account_id": draft.account_id,
        "mode": draft.mode,
        "type": draft.type.value,
        "detection_id": draft.detection_id,
        "run_id": draft.run_id,
        "revision": draft.revision,
        "final_revision": draft.revision if draft.final else None,
        "body": event_body(draft.type.value, draft.data, now),
        "created_at": now,
        "transaction_id": _transaction_id(session),
    }
    table = table_of(Event)
    position: int = session.connection().execute(insert(table).values(values).returning(table.c.position)).scalar_one()
    return Recorded(
        position, event_id, draft.account_id, draft.mode, draft.type, draft.detection_id, draft.not_to, draft.only_to
    )


def _transaction_id(session: Session) -> ColumnElement[int] | int:
    if session.connection().dialect.name != "postgresql":
        return 0
    return cast(cast(func.pg_current_xact_id(), Text), BigInteger)
