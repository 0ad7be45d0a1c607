"""Reading deliveries and their attempts, as their owner sees them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from service.events.models import Event
from service.kit.clock import rfc3339, rfc3339_or_none
from service.kit.db.columns import table_of
from service.kit.ids import is_id
from service.kit.paging import Page, windowed, within
from service.webhooks.models import Attempt, Delivery, Endpoint
from service.webhooks.sending.phases import PHASES
from service.webhooks.states import DeliveryState

STATUSES = {"pending" if state is DeliveryState.DUE else state.value: state.value for state in DeliveryState}
"""The words customers read, and the states behind them."""

_STATUS_OF = {state: status for status, state in STATUSES.items()}


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """The filter of a list of deliveries. `None` lets all pass; `event_types` are types of events."""

    endpoint_id: str | None = None
    state: str | None = None
    event_id: str | None = None
    event_types: Sequence[str] | None = None


def find_delivery(session: Session, account_id: str, mode: str, delivery_id: str) -> Delivery | None:
    """Return the account's delivery of this id in this mode; `None` for another account's."""
    delivery = session.get(Delivery, delivery_id) if is_id(delivery_id, "dlv") else None
    if delivery is None or (delivery.account_id, delivery.mode) != (account_id, mode):
        return None
    return delivery


def list_deliveries(session: Session, account_id: str, mode: str, wanted: DeliveryFilter, page: Page) -> list[Delivery]:
    """Return the page's deliveries and one more, if there are more; newest first."""
    statement = select(Delivery).where(Delivery.account_id == account_id, Delivery.mode == mode)
    for column, value in (
        (Delivery.endpoint_id, wanted.endpoint_id),
        (Delivery.state, wanted.state),
        (Delivery.event_id, wanted.event_id),
    ):
        if value is not None:
            statement = statement.where(col(column) == value)
    if wanted.event_id is not None:  # found by its endpoints: they are few, and an index has both
        ours = select(Endpoint.id).where(Endpoint.account_id == account_id, Endpoint.mode == mode)
        statement = statement.where(col(Delivery.endpoint_id).in_(ours))
    if wanted.event_types is not None:
        statement = statement.join(Event, col(Event.id) == Delivery.event_id)
        statement = statement.where(col(Event.type).in_(wanted.event_types))
    statement = statement.where(*within(table_of(Delivery).c.created_at, table_of(Delivery).c.id, page))
    newest_first = (col(Delivery.created_at).desc(), col(Delivery.id).desc())
    return list(session.exec(statement.order_by(*newest_first).limit(page.limit + 1)))


def page_of(session: Session, account_id: str, mode: str, wanted: DeliveryFilter, page: Page) -> Page:
    """Return the page, ended where it would read too many rows: states and types have no index."""
    if wanted.event_id is not None or (wanted.state is None and wanted.event_types is None):
        return page
    ours = [col(Delivery.account_id) == account_id, col(Delivery.mode) == mode]
    if wanted.endpoint_id is not None:
        ours.append(col(Delivery.endpoint_id) == wanted.endpoint_id)
    return windowed(session, table_of(Delivery), page, *ours)


def deliveries_shown(session: Session, deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    """Return the deliveries with their attempts, as JSON, in the order given."""
    types = _types(session, {delivery.event_id for delivery in deliveries})
    attempts = _attempts(session, [delivery.id for delivery in deliveries])
    return [_shown(delivery, types, attempts.get(delivery.id, [])) for delivery in deliveries]


def _types(session: Session, event_ids: Iterable[str]) -> dict[str, str]:
    rows = session.exec(select(Event.id, Event.type).where(col(Event.id).in_(event_ids)))
    return {event_id: kind for event_id, kind in rows}  # noqa: C416 - typed as rows, not as pairs


def _attempts(session: Session, delivery_ids: Sequence[str]) -> dict[str, list[Attempt]]:
    wanted = select(Attempt).where(col(Attempt.delivery_id).in_(delivery_ids))
    found: dict[str, list[Attempt]] = {}
    for attempt in session.exec(wanted.order_by(col(Attempt.delivery_id), col(Attempt.n))):
        found.setdefault(attempt.delivery_id, []).append(attempt)
    return found


def _shown(delivery: Delivery, types: Mapping[str, str], attempts: Iterable[Attempt]) -> dict[str, Any]:
    # While it is leased `due_at` is the lease's end: nothing that a customer could wait for.
    waits = delivery.state == DeliveryState.DUE and delivery.lease_token is None and delivery.due_at is not None
    return {
        "id": delivery.id,
        "endpoint_id": delivery.endpoint_id,
        "event_id": delivery.event_id,
        "event_type": types.get(delivery.event_id),
        "detection_id": delivery.detection_id,
        "status": _STATUS_OF[delivery.state],
        "lane": delivery.lane,
        "next_attempt_at": rfc3339_or_none(delivery.due_at) if waits else None,
        "attempts": [attempt_shown(attempt) for attempt in attempts],
    }


def attempt_shown(attempt: Attempt) -> dict[str, Any]:
    """Return the attempt as its owner sees it. The endpoint's answer is text here, whatever the bytes were."""
    phases = json.loads(attempt.phases_json)
    return {
        "id": attempt.id,
        "n": attempt.n,
        "started_at": rfc3339(attempt.started_at),
        "status_code": attempt.status_code,
        "error_class": attempt.error_class,
        "phases_ms": {phase: phases.get(phase) for phase in PHASES},
        "response_excerpt": _text(attempt.response_excerpt),
        "explanation": attempt.explanation,
    }


def _text(excerpt: bytes | None) -> str | None:
    """Decode UTF-8. Invalid bytes, and U+0000, which many stores refuse, become U+FFFD."""
    return None if excerpt is None else excerpt.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
