"""Claiming deliveries, fresh before retries, with all an attempt needs: the signed bytes, the URL, the secrets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, update
from sqlmodel import Session, col, or_, select

from service.events.models import Event
from service.kit.claims import claim
from service.kit.columns import table_of
from service.kit.shares import Shares
from service.webhooks.models import DELIVERY_WAITING, Delivery, Endpoint, EndpointSecret


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery, ready to be attempted. Secrets and headers are still sealed."""

    delivery_id: str
    lease_token: str
    attempts: int
    account_id: str
    mode: str
    endpoint_id: str
    url: str
    rate_limit_per_second: int | None
    detection_id: str | None
    event_id: str
    event_position: int
    event_type: str
    body: bytes
    sealed_headers: bytes | None
    sealed_secrets: tuple[tuple[str, bytes], ...]  # (secret's id, sealed), the newest first
    attempts_before: int = 0  # made before it was last sent again: the schedule counts from there


def claim_deliveries(
    session: Session, *, now: datetime, lease_until: datetime, limit: int, shares: Shares | None = None
) -> list[Parcel]:
    """At most `limit` due deliveries, leased to us. Retries get what fresh ones leave."""
    tokens: dict[str, str] = {}
    for lane in ("fresh", "retry"):
        waiting = f"{DELIVERY_WAITING} AND lane = '{lane}'"
        if limit > len(tokens):
            rows = claim(
                session,
                table_of(Delivery),
                waiting,
                now=now,
                lease_until=lease_until,
                limit=limit - len(tokens),
                shares=shares,
            )
            tokens |= {row["id"]: row["lease_token"] for row in rows}
    if not tokens:
        return []
    parcels = load_parcels(session, tokens, now)
    standing = tokens.keys() - {parcel.delivery_id for parcel in parcels}
    put_aside(session, {delivery_id: tokens[delivery_id] for delivery_id in standing}, now)
    return parcels


def load_parcels(session: Session, tokens: dict[str, str], now: datetime) -> list[Parcel]:
    """The parcels of deliveries that are leased under `tokens` (id → lease token), but for standing endpoints'."""
    found = session.exec(
        select(Delivery, Event, Endpoint)
        .join(Event, col(Event.id) == Delivery.event_id)
        .join(Endpoint, col(Endpoint.id) == Delivery.endpoint_id)
        .where(col(Delivery.id).in_(tokens))
        .order_by(col(Delivery.event_position))
    ).all()
    secrets = _secrets(session, {endpoint.id for _, _, endpoint in found}, now)
    return [
        _parcel(delivery, event, endpoint, secrets.get(endpoint.id, ()), tokens[delivery.id])
        for delivery, event, endpoint in found
        if delivery.lease_token == tokens[delivery.id] and endpoint.status == "enabled" and endpoint.deleted_at is None
    ]


def put_aside(session: Session, tokens: dict[str, str], now: datetime) -> None:
    """These leased deliveries (id → lease token) are held, or skipped where the endpoint is gone."""
    found = session.exec(
        select(Delivery, Endpoint.deleted_at)
        .join(Endpoint, col(Endpoint.id) == Delivery.endpoint_id)
        .where(col(Delivery.id).in_(tokens))
        .order_by(col(Delivery.event_position), col(Delivery.id))
        .with_for_update(of=Delivery)
        .execution_options(populate_existing=True)
    )
    for delivery, deleted_at in found.all():
        if delivery.lease_token == tokens[delivery.id]:
            delivery.state = "held" if deleted_at is None else "skipped"
            delivery.ended_at = deleted_at and now
            delivery.due_at = delivery.lease_token = None


def hand_back(session: Session, parcels: Iterable[tuple[Parcel, datetime]]) -> None:
    """These deliveries are nobody's, and due again at the time beside each; no attempt was made."""
    rows = [
        {"row_id": parcel.delivery_id, "row_token": parcel.lease_token, "new_due": due_at}
        for parcel, due_at in sorted(parcels, key=lambda pair: (pair[0].event_position, pair[0].delivery_id))
    ]
    if rows:
        session.connection().execute(_HAND_BACK, rows)


def _hand_back_statement() -> Any:
    delivery = table_of(Delivery)
    ours = (delivery.c.id == bindparam("row_id")) & (delivery.c.lease_token == bindparam("row_token"))
    return update(delivery).where(ours).values(due_at=bindparam("new_due"), lease_token=None)


_HAND_BACK = _hand_back_statement()


def _secrets(session: Session, endpoint_ids: set[str], now: datetime) -> dict[str, tuple[tuple[str, bytes], ...]]:
    rows = session.exec(
        select(EndpointSecret)
        .where(col(EndpointSecret.endpoint_id).in_(endpoint_ids), EndpointSecret.valid_from <= now)
        .where(or_(col(EndpointSecret.valid_until).is_(None), col(EndpointSecret.valid_until) > now))
        .order_by(col(EndpointSecret.valid_from).desc())
    )
    found: dict[str, tuple[tuple[str, bytes], ...]] = {}
    for row in rows:
        found[row.endpoint_id] = (*found.get(row.endpoint_id, ()), (row.id, row.sealed))
    return found


def _parcel(
    delivery: Delivery, event: Event, endpoint: Endpoint, secrets: Sequence[tuple[str, bytes]], token: str
) -> Parcel:
    return Parcel(
        delivery_id=delivery.id,
        lease_token=token,
        attempts=delivery.attempts,
        account_id=delivery.account_id,
        mode=delivery.mode,
        endpoint_id=endpoint.id,
        url=endpoint.url,
        rate_limit_per_second=endpoint.rate_limit_per_second,
        detection_id=delivery.detection_id,
        event_id=event.id,
        event_position=delivery.event_position,
        event_type=event.type,
        body=event.body,
        sealed_headers=endpoint.sealed_headers,
        sealed_secrets=tuple(secrets),
        attempts_before=delivery.attempts_before,
    )
