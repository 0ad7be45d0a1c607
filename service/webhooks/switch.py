"""What an owner does with an endpoint: change it, disable it, enable it again, ping it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from service.events.draft import Draft
from service.events.outbox import Outbox
from service.events.types import EventType
from service.kit.ids import is_id
from service.kit.security.sealing import Sealer
from service.webhooks.hold import hold_deliveries
from service.webhooks.models import Delivery, Endpoint
from service.webhooks.placing import Choice
from service.webhooks.redeliver import check_enabled, release_held
from service.webhooks.signing import HEADERS_PURPOSE
from service.webhooks.states import ENDPOINT, EndpointInput, EndpointState
from service.webhooks.trouble import begin_anew, switch_off


def endpoint_to_change(session: Session, account_id: str, mode: str, endpoint_id: str) -> Endpoint | None:
    """The account's endpoint of this id in this mode, locked, unless it was deleted."""
    if not is_id(endpoint_id, "we"):
        return None
    # FOR NO KEY UPDATE: fan-outs need not wait, and whoever deletes it does.
    wanted = (
        select(Endpoint)
        .where(Endpoint.id == endpoint_id, Endpoint.account_id == account_id, Endpoint.mode == mode)
        .where(col(Endpoint.deleted_at).is_(None))
        .with_for_update(key_share=True)
    )
    return session.exec(wanted).one_or_none()


def change(endpoint: Endpoint, changes: Mapping[str, Any], sealer: Sealer) -> None:
    """The members named in `changes` are as given there: url, events, description, headers, rate_limit_per_second.

    At another URL the endpoint's failures begin anew. `None` clears.
    """
    if "url" in changes and changes["url"] != endpoint.url:
        endpoint.url = changes["url"]
        begin_anew(endpoint)
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
    """The endpoint takes nothing until it is enabled, and what waits for it is held. An earlier reason is kept."""
    if endpoint.status != EndpointState.DISABLED:
        switch_off(session, outbox, endpoint, EndpointInput.DISABLED, now)
    hold_deliveries(session, endpoint.id, now)


def enable(session: Session, endpoint: Endpoint, choice: Choice, now: datetime) -> None:
    """The endpoint is enabled, and a first slice of what was held is released as chosen; a worker does the rest.

    Where it is enabled already, the choice counts for what is still held.
    """
    if endpoint.status != EndpointState.ENABLED:
        begin_anew(endpoint)
    endpoint.status = ENDPOINT.advance(EndpointState(endpoint.status), EndpointInput.ENABLED).value
    endpoint.disabled_reason = None
    endpoint.enabled_at, endpoint.release_choice = now, choice
    session.flush()
    release_held(session, endpoint.id, now)


def ping(session: Session, endpoint: Endpoint, outbox: Outbox, now: datetime) -> dict[str, str]:
    """The ids of a `webhook_endpoint.ping` event and of its delivery, to this endpoint alone, whatever its filters.

    Raises `CallerError` 409 where the endpoint is disabled.
    """
    check_enabled(endpoint)
    data = {"endpoint_id": endpoint.id}
    draft = Draft(endpoint.account_id, endpoint.mode, EventType.ENDPOINT_PING, data, only_to=endpoint.id)
    (event,) = outbox.record(session, [draft], now)
    made = select(Delivery.id).where(Delivery.event_id == event.id, Delivery.endpoint_id == endpoint.id)
    return {"event_id": event.id, "delivery_id": session.exec(made).one()}
