"""Claiming deliveries, fresh before retries, with all an attempt needs: the signed bytes, the URL, the secrets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, or_, select, update

from service.events.models import Event
from service.kit.claims import claim
from service.kit.columns import table_of
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
    event_type: str
    body: bytes
    sealed_headers: bytes | None
    sealed_secrets: tuple[tuple[str, bytes], ...]  # (secret's id, sealed), the newest first


def claim_deliveries(session: Session, *, now: datetime, lease_until: datetime, limit: int) -> list[Parcel]:
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
            )
            tokens |= {row["id"]: row["lease_token"] for row in rows}
    return load_parcels(session, tokens, now) if tokens else []


def load_parcels(session: Session, tokens: dict[str, str], now: datetime) -> list[Parcel]:
    """The parcels of deliveries leased under `tokens` (id → lease token). What may not go out now is put aside."""
    found = session.exec(
        select(Delivery, Event, Endpoint)
        .join(Event, col(Event.id) == Delivery.event_id)
        .join(Endpoint, col(Endpoint.id) == Delivery.endpoint_id)
        .where(col(Delivery.id).in_(tokens))
        .order_by(col(Delivery.event_position))
    ).all()
    secrets = _secrets(session, {endpoint.id for _, _, endpoint in found}, now)
    parcels = []
    for delivery, event, endpoint in found:
        if endpoint.status == "enabled" and endpoint.deleted_at is None:
            parcels.append(_parcel(delivery, event, endpoint, secrets.get(endpoint.id, ()), tokens[delivery.id]))
        else:
            _put_aside(delivery, endpoint, now)
    return parcels


def hand_back(session: Session, parcels: Iterable[Parcel], due_at: datetime) -> None:
    """These deliveries are due again at `due_at`, and nobody's; no attempt was made."""
    by_token: dict[str, list[str]] = {}
    for parcel in parcels:
        by_token.setdefault(parcel.lease_token, []).append(parcel.delivery_id)
    for token, ids in by_token.items():
        session.exec(
            update(Delivery)
            .where(col(Delivery.id).in_(ids), col(Delivery.lease_token) == token)
            .values(due_at=due_at, lease_token=None)
        )


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
        event_type=event.type,
        body=event.body,
        sealed_headers=endpoint.sealed_headers,
        sealed_secrets=tuple(secrets),
    )


def _put_aside(delivery: Delivery, endpoint: Endpoint, now: datetime) -> None:
    gone = endpoint.deleted_at is not None
    delivery.state = "skipped" if gone else "held"
    delivery.ended_at = now if gone else None
    delivery.due_at = None
    delivery.lease_token = None
