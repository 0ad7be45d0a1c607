"""Claimed deliveries with all that an attempt needs, as tuples: the bytes to sign, and the endpoint.

Loaded in a fixed number of statements for any number of deliveries: what is the same for an endpoint or for an event is
loaded once for all of its deliveries.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, or_, select
from sqlmodel import Session

from service.events.models import Event
from service.kit.db.bulk import among
from service.kit.db.columns import table_of
from service.webhooks.models import Delivery, Endpoint, EndpointSecret, in_states
from service.webhooks.states import EndpointState


class Target(NamedTuple):
    """An endpoint that takes deliveries. Secrets and headers are still sealed."""

    endpoint_id: str
    url: str
    rate_limit_per_second: int | None
    sealed_headers: bytes | None
    sealed_secrets: tuple[tuple[str, bytes], ...]  # (secret's id, sealed), the newest first


class Leased(NamedTuple):
    """A delivery that is leased to this process, and its event."""

    delivery_id: str
    lease_token: str
    attempts: int
    attempts_before: int  # made before it was last sent again: the schedule counts from there
    account_id: str
    mode: str
    endpoint_id: str
    detection_id: str | None
    event_id: str
    event_position: int
    event_type: str
    body: bytes


class ClaimedDelivery(NamedTuple):
    """A leased delivery with its event and its endpoint: ready to be attempted."""

    delivery_id: str
    lease_token: str
    attempts: int
    attempts_before: int
    account_id: str
    mode: str
    endpoint_id: str
    detection_id: str | None
    event_id: str
    event_position: int
    event_type: str
    body: bytes
    target: Target


def load_targets(session: Session, endpoint_ids: Iterable[str], now: datetime) -> dict[str, Target]:
    """Return those of these endpoints that take deliveries, by id, with the secrets that are valid now."""
    found = session.connection().execute(_TARGETS, {"endpoints": list(endpoint_ids), "now": now})
    return _targets(found)


def load_events(session: Session, event_ids: Iterable[str]) -> dict[str, tuple[str, bytes]]:
    """Return type and body of each of these events, by id."""
    found = session.connection().execute(_EVENTS, {"events": list(event_ids)})
    return {event_id: (kind, body) for event_id, kind, body in found}


def load_claimed(session: Session, leased: Sequence[Leased], now: datetime) -> list[ClaimedDelivery]:
    """Return those that are still leased under their tokens, with their endpoints; not those of stopped endpoints."""
    found = session.connection().execute(_LEASED, {"ids": [each.delivery_id for each in leased], "now": now}).all()
    tokens = {row[0]: row[1] for row in found}
    ours = [each for each in leased if tokens.get(each.delivery_id) == each.lease_token]
    return with_targets(ours, _targets(row[2:] for row in found))


def with_targets(leased: Iterable[Leased], targets: Mapping[str, Target]) -> list[ClaimedDelivery]:
    """Return these deliveries with their targets, in the order of their events. Those without one are left out."""
    ready = [ClaimedDelivery(*each, targets[each.endpoint_id]) for each in leased if each.endpoint_id in targets]
    return sorted(ready, key=lambda claim: claim.event_position)


def _targets(rows: Iterable[Any]) -> dict[str, Target]:
    """Return the targets of rows that come once for each secret, or once without any."""
    endpoints: dict[str, Any] = {}
    secrets: dict[str, dict[str, bytes]] = {}
    for row in rows:
        endpoint_id, secret_id, sealed = row[0], row[-2], row[-1]
        endpoints[endpoint_id] = row[:-2]
        if secret_id is not None:
            secrets.setdefault(endpoint_id, {})[secret_id] = sealed
    return {
        endpoint_id: Target._make((*columns, tuple(secrets.get(endpoint_id, {}).items())))
        for endpoint_id, columns in endpoints.items()
    }


def _statements() -> tuple[Any, Any, Any]:
    """Build the statements, once: SQLAlchemy takes longer to build one than to run it."""
    delivery, event = table_of(Delivery), table_of(Event)
    endpoint, secret = table_of(Endpoint), table_of(EndpointSecret)
    columns = (endpoint.c.id, endpoint.c.url, endpoint.c.rate_limit_per_second, endpoint.c.sealed_headers)
    valid = and_(
        secret.c.endpoint_id == endpoint.c.id,
        secret.c.valid_from <= bindparam("now"),
        or_(secret.c.valid_until.is_(None), secret.c.valid_until > bindparam("now")),
    )
    takes = and_(in_states(endpoint.c.status, [EndpointState.ENABLED]), endpoint.c.deleted_at.is_(None))
    newest_first = (endpoint.c.id, secret.c.valid_from.desc())
    targets = (
        select(*columns, secret.c.id, secret.c.sealed)
        .select_from(endpoint.outerjoin(secret, valid))
        .where(among(endpoint.c.id, "endpoints"), takes)
        .order_by(*newest_first)
    )
    leased = (
        select(delivery.c.id, delivery.c.lease_token, *columns, secret.c.id, secret.c.sealed)
        .select_from(delivery.join(endpoint, endpoint.c.id == delivery.c.endpoint_id).outerjoin(secret, valid))
        .where(among(delivery.c.id, "ids"), takes)
        .order_by(*newest_first)
    )
    events = select(event.c.id, event.c.type, event.c.body).where(among(event.c.id, "events"))
    return targets, leased, events


_TARGETS, _LEASED, _EVENTS = _statements()
