"""Endpoints as their owner manages them: create, list, change, enable, disable, ping, delete."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, func, select, update

from service.events.outbox import Outbox
from service.events.types import Draft, EventType
from service.kit.clock import rfc3339
from service.kit.db.columns import table_of
from service.kit.db.database import advisory_lock
from service.kit.errors import CallerError
from service.kit.ids import is_id, new_id
from service.kit.paging import Page, paged
from service.kit.security.sealing import Sealer
from service.webhooks.endpoints.health import reset_failures, switch_off
from service.webhooks.endpoints.rotate import add_secret
from service.webhooks.models import Delivery, Endpoint, in_states
from service.webhooks.queue.bulk_moves import hold_deliveries
from service.webhooks.queue.requeue import Choice, check_enabled, release_held
from service.webhooks.sending.signing import HEADERS_PURPOSE, open_headers
from service.webhooks.states import ENDPOINT, UNFINISHED, DeliveryState, DisabledReason, EndpointInput, EndpointState

MOST = 50


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """A valid request for an endpoint, with a URL that the guard lets through."""

    account_id: str
    mode: str
    url: str
    events: Sequence[str]
    description: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    rate_limit_per_second: int | None = None
    disabled: bool = False


def create_endpoint(session: Session, new: NewEndpoint, sealer: Sealer, now: datetime) -> tuple[Endpoint, str]:
    """Create an endpoint. Return it, and its signing secret in clear: shown now, sealed at rest.

    Raise `CallerError` 409 if the account has as many as it may: each of them multiplies every event.
    """
    advisory_lock(session, f"endpoints/{new.account_id}/{new.mode}")
    ours = select(func.count()).select_from(Endpoint).where(Endpoint.account_id == new.account_id)
    if session.exec(ours.where(Endpoint.mode == new.mode, col(Endpoint.deleted_at).is_(None))).one() >= MOST:
        raise CallerError(
            "too_many_endpoints",
            f"The account has {MOST} webhook endpoints in this mode, which is the maximum. Delete one first.",
            status=409,
        )
    endpoint = Endpoint(
        id=new_id("we"),
        account_id=new.account_id,
        mode=new.mode,
        url=new.url,
        events_json=json.dumps(list(new.events)),
        description=new.description,
        rate_limit_per_second=new.rate_limit_per_second,
        status=(EndpointState.DISABLED if new.disabled else EndpointState.ENABLED).value,
        disabled_reason=DisabledReason.BY_OWNER.value if new.disabled else None,
        created_at=now,
    )
    if new.headers:
        endpoint.sealed_headers = sealer.seal(HEADERS_PURPOSE, endpoint.id, json.dumps(dict(new.headers)).encode())
    session.add(endpoint)
    session.flush()
    return endpoint, add_secret(session, endpoint.id, sealer, now)


def find_endpoint(session: Session, account_id: str, mode: str, endpoint_id: str) -> Endpoint | None:
    """Return the account's endpoint of this id in this mode, unless it was deleted."""
    endpoint = session.get(Endpoint, endpoint_id) if is_id(endpoint_id, "we") else None
    if endpoint is None or endpoint.deleted_at or (endpoint.account_id, endpoint.mode) != (account_id, mode):
        return None
    return endpoint


def list_endpoints(session: Session, account_id: str, mode: str, page: Page) -> list[Endpoint]:
    """Return the page's endpoints and one more, if there are more; newest first."""
    statement = select(Endpoint).where(
        Endpoint.account_id == account_id, Endpoint.mode == mode, col(Endpoint.deleted_at).is_(None)
    )
    return list(session.exec(paged(statement, table_of(Endpoint), page)))


def delete_endpoint(session: Session, endpoint: Endpoint, now: datetime) -> None:
    """Delete the endpoint, and skip what was not delivered to it."""
    # FOR UPDATE: fan-outs under way commit first, so that the statement below sees what they made.
    session.refresh(endpoint, with_for_update=True)
    endpoint.deleted_at = now
    endpoint.status = ENDPOINT.advance(EndpointState(endpoint.status), EndpointInput.DELETED).value
    endpoint.sealed_headers = None
    unsent = (col(Delivery.endpoint_id) == endpoint.id, in_states(table_of(Delivery).c.state, UNFINISHED))
    # In the recorder's order, so that the two cannot wait for one another.
    in_order = select(Delivery.id).where(*unsent).order_by(col(Delivery.event_position), col(Delivery.id))
    session.exec(in_order.with_for_update()).all()
    skipped = {"state": DeliveryState.SKIPPED.value, "due_at": None, "lease_token": None, "ended_at": now}
    session.exec(update(Delivery).where(*unsent).values(**skipped))


def shown(endpoint: Endpoint, sealer: Sealer) -> dict[str, Any]:
    """Return the endpoint as its owner sees it. Header values are masked."""
    headers = open_headers(sealer, endpoint.id, endpoint.sealed_headers)
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": json.loads(endpoint.events_json),
        "description": endpoint.description,
        "headers": dict.fromkeys(headers, "********"),
        "rate_limit_per_second": endpoint.rate_limit_per_second,
        "status": endpoint.status,
        "disabled_reason": endpoint.disabled_reason,
        "created_at": rfc3339(endpoint.created_at),
    }


def endpoint_to_change(session: Session, account_id: str, mode: str, endpoint_id: str) -> Endpoint | None:
    """Lock and return the account's endpoint of this id in this mode, unless it was deleted."""
    if not is_id(endpoint_id, "we"):
        return None
    # FOR NO KEY UPDATE: fan-outs need not wait, and a deletion does.
    wanted = (
        select(Endpoint)
        .where(Endpoint.id == endpoint_id, Endpoint.account_id == account_id, Endpoint.mode == mode)
        .where(col(Endpoint.deleted_at).is_(None))
        .with_for_update(key_share=True)
    )
    return session.exec(wanted).one_or_none()


def change(endpoint: Endpoint, changes: Mapping[str, Any], sealer: Sealer) -> None:
    """Set the members named in `changes`: url, events, description, headers, rate_limit_per_second.

    Another URL resets the endpoint's failures. `None` clears a member.
    """
    if "url" in changes and changes["url"] != endpoint.url:
        endpoint.url = changes["url"]
        reset_failures(endpoint)
    if "events" in changes:
        endpoint.events_json = json.dumps(list(changes["events"]))
    if "headers" in changes:
        headers = changes["headers"]
        sealed = sealer.seal(HEADERS_PURPOSE, endpoint.id, json.dumps(dict(headers)).encode()) if headers else None
        endpoint.sealed_headers = sealed
    for name in ("description", "rate_limit_per_second"):
        if name in changes:
            setattr(endpoint, name, changes[name])


def disable(session: Session, endpoint: Endpoint, outbox: Outbox, now: datetime) -> None:
    """Disable the endpoint and hold a first slice of what waits for it. An earlier reason is kept."""
    if endpoint.status != EndpointState.DISABLED:
        switch_off(session, outbox, endpoint, EndpointInput.DISABLED, now)
    hold_deliveries(session, endpoint.id, now)


def enable(session: Session, endpoint: Endpoint, choice: Choice, now: datetime) -> None:
    """Enable the endpoint and release a first slice of what was held, as chosen; a worker does the rest.

    If it is enabled already, the choice applies to what is still held.
    """
    if endpoint.status != EndpointState.ENABLED:
        reset_failures(endpoint)
    endpoint.status = ENDPOINT.advance(EndpointState(endpoint.status), EndpointInput.ENABLED).value
    endpoint.disabled_reason = None
    endpoint.enabled_at, endpoint.release_choice = now, choice
    session.flush()
    release_held(session, endpoint.id, now)


def ping(session: Session, endpoint: Endpoint, outbox: Outbox, now: datetime) -> dict[str, str]:
    """Send a `webhook_endpoint.ping` event to this endpoint alone, whatever its filters.

    Return the ids of the event and of its delivery. Raise `CallerError` 409 if the endpoint is disabled.
    """
    check_enabled(endpoint)
    data = {"endpoint_id": endpoint.id}
    draft = Draft(endpoint.account_id, endpoint.mode, EventType.ENDPOINT_PING, data, only_to=endpoint.id)
    (event,) = outbox.record(session, [draft], now)
    made = select(Delivery.id).where(Delivery.event_id == event.id, Delivery.endpoint_id == endpoint.id)
    return {"event_id": event.id, "delivery_id": session.exec(made).one()}
