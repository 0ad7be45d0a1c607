"""Rows this room's tests start from: endpoints, facts, claimed parcels, finished attempts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from service.events.outbox import Outbox, Recorded
from service.events.types import Draft, EventType
from service.kit.db.database import Database
from service.kit.security.sealing import Sealer
from service.webhooks.endpoints.registry import NewEndpoint, create_endpoint
from service.webhooks.fanout import LocalDeliverer, fan_out
from service.webhooks.models import Attempt, Delivery, Endpoint
from service.webhooks.queue.claim import claim_deliveries
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.queue.record import FinishedAttempt

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LEASE = timedelta(seconds=40)
SEALER = Sealer(["secret " * 6])
ACCOUNT = "acc_1"
COMPLETED = EventType.DETECTION_COMPLETED


def endpoint(
    session: Session,
    *,
    account_id: str = ACCOUNT,
    mode: str = "live",
    url: str = "https://customer.example/in",
    events: Sequence[str] = ("*",),
    status: str = "enabled",
    headers: Mapping[str, str] | None = None,
    rate: int | None = None,
) -> tuple[str, str]:
    """The id and the secret of a new endpoint."""
    asked = NewEndpoint(account_id, mode, url, events, headers=headers or {}, rate_limit_per_second=rate)
    made, secret = create_endpoint(session, asked, SEALER, NOW)
    made.status = status
    return made.id, secret


def put_endpoint(database: Database, **asked: Any) -> tuple[str, str]:
    """The same, committed."""
    with database.writing() as session:
        return endpoint(session, **asked)


def draft(detection_id: str | None = "det_1", kind: EventType = COMPLETED, **more: Any) -> Draft:
    """A fact of the account's."""
    fields: dict[str, Any] = {"account_id": ACCOUNT, "mode": "live", "data": {"id": detection_id}} | more
    return Draft(type=kind, detection_id=detection_id, **fields)


def outbox(local_deliverer: LocalDeliverer | None = None) -> Outbox:
    """An outbox that fans out."""
    return Outbox([fan_out(lambda: local_deliverer)])


def tell(
    session: Session, *drafts: Draft, now: datetime = NOW, local_deliverer: LocalDeliverer | None = None
) -> list[Recorded]:
    """The facts are written, and fanned out."""
    return outbox(local_deliverer).record(session, drafts, now)


def put(database: Database, *drafts: Draft, now: datetime = NOW) -> list[Recorded]:
    """The same, committed."""
    with database.writing() as session:
        return tell(session, *drafts, now=now)


def claimed(database: Database, *, now: datetime = NOW, limit: int = 100) -> list[ClaimedDelivery]:
    """What a worker gets to carry now."""
    with database.writing() as session:
        return claim_deliveries(session, now=now, lease_until=now + LEASE, limit=limit)


def finished(
    claim: ClaimedDelivery, status: int | None = 200, *, now: datetime = NOW, again: bool = True
) -> FinishedAttempt:
    """A finished attempt; `again` says whether another is planned after a failure, a second later."""
    failed = status is None or not 200 <= status < 300
    return FinishedAttempt(
        claim=claim,
        started_at=now,
        status_code=status,
        error_class=("http_5xx" if status else "timeout") if failed else None,
        phases_ms={"total": 5},
        excerpt=b"\x00<answer>",
        explanation="A sentence.",
        next_at=now + timedelta(seconds=1) if failed and again else None,
        ended_at=now,
    )


def deliveries(database: Database) -> list[Delivery]:
    """All of them, in the order of their events."""
    with database.reading() as session:
        return list(session.exec(select(Delivery).order_by(col(Delivery.event_position), col(Delivery.id))))


def states(database: Database) -> list[str]:
    """Where each delivery stands, in the order of their events."""
    return [delivery.state for delivery in deliveries(database)]


def attempts(database: Database) -> list[Attempt]:
    """All of them, in order."""
    with database.reading() as session:
        return list(session.exec(select(Attempt).order_by(col(Attempt.delivery_id), col(Attempt.n))))


def set_endpoint(database: Database, endpoint_id: str, **values: Any) -> None:
    """The endpoint is changed behind everybody's back."""
    with database.writing() as session:
        found = session.get_one(Endpoint, endpoint_id)
        for name, value in values.items():
            setattr(found, name, value)
