"""Deliveries due again: what was held, in slices; one that its owner wants again; all that failed since.

The rows, and those of the same detections, are locked in the recorder's order before anything is decided. Within one
detection the older goes first, as in the fan-out.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import bindparam, select, text, update
from sqlmodel import Session, and_, col, or_

from service.kit.db.columns import table_of
from service.kit.db.database import notify_on_commit
from service.kit.errors import CallerError
from service.webhooks.fanout import TOPIC, UNORDERED_AFTER_TRIES
from service.webhooks.models import DELIVERY_HELD, DELIVERY_WAITING, Delivery, Endpoint, in_states
from service.webhooks.queue.bulk_moves import SLICE, unblock
from service.webhooks.states import DELIVERY, ENDED, UNFINISHED, DeliveryInput, DeliveryState, EndpointState

Choice = Literal["all", "newest", "none"]
"""What is sent of what was held: all of it, the newest of each detection, or nothing."""


@dataclass(frozen=True, slots=True)
class QueuedDelivery:
    """A delivery that is to be requeued, or an unfinished one of the same detection at the same endpoint."""

    id: str
    detection_id: str | None
    state: DeliveryState
    attempts: int
    created_at: datetime


def plan_requeue(
    rows: Sequence[QueuedDelivery], chosen: Collection[str], choice: Choice, before: datetime
) -> dict[str, DeliveryState]:
    """Return the new state of each row that moves: due, blocked or skipped. `rows` are in the order of their events.

    Only what was created up to `before` can be skipped; what an older one no longer blocks becomes due.
    """
    queues: dict[str, list[QueuedDelivery]] = {}
    for row in rows:
        queues.setdefault(row.detection_id or row.id, []).append(row)
    moves: dict[str, DeliveryState] = {}
    for queue in queues.values():
        moves |= _plan_one(queue, chosen, _passed_over(queue, chosen, choice, before))
    return moves


def _plan_one(
    queue: Sequence[QueuedDelivery], chosen: Collection[str], passed_over: Collection[str]
) -> dict[str, DeliveryState]:
    moves: dict[str, DeliveryState] = {}
    busy = False
    for row in queue:
        if row.id in passed_over:
            moves[row.id] = DELIVERY.advance(row.state, DeliveryInput.PASSED_OVER)
            continue
        if row.id in chosen:
            happening = DeliveryInput.REQUEUED_BEHIND if busy else DeliveryInput.REQUEUED
            moves[row.id] = DELIVERY.advance(row.state, happening)
        elif row.state == DeliveryState.BLOCKED and not busy:
            moves[row.id] = DELIVERY.advance(row.state, DeliveryInput.UNBLOCKED)
        busy = busy or row.attempts < UNORDERED_AFTER_TRIES
    return moves


def _passed_over(
    queue: Sequence[QueuedDelivery], chosen: Collection[str], choice: Choice, before: datetime
) -> set[str]:
    if choice == "all":
        return set()
    waited = [
        row for row in queue if (row.id in chosen or row.state == DeliveryState.BLOCKED) and row.created_at <= before
    ]
    return {row.id for row in waited if choice == "none" or row is not queue[-1]}


_LOST = (DeliveryState.EXHAUSTED, DeliveryState.SKIPPED)


def release_held(session: Session, endpoint_id: str, now: datetime) -> bool:
    """Requeue or skip a slice of what an enabled endpoint had held, as the owner chose. Return True if more is held.

    The oldest go first. They go among the retries, so that fresh events need not wait behind a backlog.
    """
    endpoint = session.get_one(Endpoint, endpoint_id, with_for_update={"key_share": True}, populate_existing=True)
    if endpoint.status != EndpointState.ENABLED:
        return False
    delivery = table_of(Delivery)
    held = session.connection().execute(
        select(delivery.c.id, delivery.c.detection_id)
        .where(delivery.c.endpoint_id == endpoint_id, text(DELIVERY_HELD))
        .order_by(delivery.c.event_position)
        .limit(SLICE)
    )
    chosen = {row.id: row.detection_id for row in held}
    choice = cast("Choice", endpoint.release_choice or "all")
    requeue(session, endpoint_id, chosen, _is_held, now, choice=choice, before=endpoint.enabled_at or now)
    return len(chosen) == SLICE


def endpoints_to_release(session: Session) -> list[str]:
    """Return enabled endpoints that still have deliveries held: slices left over, and what a race left behind."""
    delivery = table_of(Delivery)
    one = select(delivery.c.id).where(delivery.c.endpoint_id == col(Endpoint.id), text(DELIVERY_HELD)).limit(1)
    # A scalar, not EXISTS: one look into the small index for each endpoint, however much the others have held.
    found = select(col(Endpoint.id)).where(
        col(Endpoint.status) == EndpointState.ENABLED.value, one.scalar_subquery().is_not(None)
    )
    return list(session.connection().execute(found).scalars())


def resend(session: Session, delivery: Delivery, now: datetime) -> None:
    """Requeue one delivery: same event, same bytes, the next attempt numbers, a new schedule.

    Raise `CallerError` 409 if it is on its way anyway, or its endpoint takes nothing.
    """
    check_enabled(session.get_one(Endpoint, delivery.endpoint_id))
    chosen = {delivery.id: delivery.detection_id}
    if not requeue(session, delivery.endpoint_id, chosen, _has_ended, now).total():
        detail = "This delivery is already pending: it waits for an attempt, or an attempt is in progress."
        raise CallerError("delivery_under_way", detail, status=409)
    session.refresh(delivery)


def recover(session: Session, endpoint: Endpoint, since: datetime, until: datetime, now: datetime) -> tuple[int, bool]:
    """Requeue the endpoint's failed deliveries from `since` up to `until`; return how many, and True if there are more.

    Those that were exhausted or skipped, and those that failed and wait for a later try. At most a slice, the oldest
    first. Raise `CallerError` 409 if the endpoint takes nothing.
    """
    check_enabled(endpoint)
    delivery = table_of(Delivery)
    failed = session.connection().execute(
        select(delivery.c.id, delivery.c.detection_id)
        .where(delivery.c.endpoint_id == endpoint.id, delivery.c.created_at >= since, delivery.c.created_at < until)
        .where(or_(in_states(delivery.c.state, _LOST), _waits_for_a_retry(now)))
        .order_by(delivery.c.created_at, delivery.c.id)
        .limit(SLICE)
    )
    chosen = {row.id: row.detection_id for row in failed}
    moved = requeue(session, endpoint.id, chosen, lambda row: _was_lost(row, now), now)
    return moved.total(), len(chosen) == SLICE


def check_enabled(endpoint: Endpoint) -> None:
    """Raise `CallerError` 409 if the endpoint takes no deliveries."""
    if endpoint.status != EndpointState.ENABLED or endpoint.deleted_at is not None:
        raise CallerError("endpoint_disabled", "The endpoint is disabled: enable it first.", status=409)


def requeue(
    session: Session,
    endpoint_id: str,
    chosen: Mapping[str, str | None],
    may: Callable[[Any], bool],
    now: datetime,
    *,
    choice: Choice = "all",
    before: datetime | None = None,
) -> Counter[str]:
    """Requeue the chosen deliveries (id → detection); return how many went into which state.

    `may` decides again, now that the row is locked.
    """
    rows = _locked(session, endpoint_id, chosen) if chosen else []
    kept = {row.id for row in rows if row.id in chosen and may(row)}
    some = [row for row in rows if row.id in kept or row.state in UNFINISHED]
    moves = plan_requeue(_queued(some), kept, choice, before or now)
    if moves:
        _move(session, some, moves, now)
    return Counter(state for row_id, state in moves.items() if row_id in kept)


def _queued(rows: Sequence[Any]) -> list[QueuedDelivery]:
    return [
        QueuedDelivery(row.id, row.detection_id, DeliveryState(row.state), row.attempts, row.created_at) for row in rows
    ]


def _move(session: Session, rows: Sequence[Any], moves: Mapping[str, DeliveryState], now: datetime) -> None:
    """Write the new states, and unblock what waited for a skipped row."""
    session.connection().execute(_MOVE, [_moved(row, moves[row.id], now) for row in rows if row.id in moves])
    notify_on_commit(session, TOPIC)
    # What was written while we waited for the locks is behind these, and was not seen.
    unblock(session, {row.detection_id for row in rows if moves.get(row.id) is DeliveryState.SKIPPED} - {None}, now)


def _locked(session: Session, endpoint_id: str, chosen: Mapping[str, str | None]) -> Sequence[Any]:
    """Lock the chosen rows and the unfinished ones of their detections, in the recorder's order: no deadlock."""
    delivery = table_of(Delivery)
    detections = set(chosen.values()) - {None}
    siblings = and_(delivery.c.detection_id.in_(detections), in_states(delivery.c.state, UNFINISHED))
    wanted = (
        select(delivery)
        .where(delivery.c.endpoint_id == endpoint_id, or_(delivery.c.id.in_(chosen), siblings))
        .order_by(delivery.c.event_position, delivery.c.id)
        .with_for_update()
    )
    return session.connection().execute(wanted).all()


def _moved(row: Any, state: DeliveryState, now: datetime) -> dict[str, Any]:
    return {
        "row_id": row.id,
        "new_state": state.value,
        "new_due": now if state is DeliveryState.DUE else None,
        "new_end": now if state is DeliveryState.SKIPPED else None,
    }


def _move_statement() -> Any:
    delivery = table_of(Delivery)
    return (
        update(delivery)
        .where(delivery.c.id == bindparam("row_id"))
        .values(
            state=bindparam("new_state"),
            due_at=bindparam("new_due"),
            ended_at=bindparam("new_end"),
            lane="retry",
            lease_token=None,
            attempts_before=delivery.c.attempts,
        )
    )


_MOVE = _move_statement()


def _waits_for_a_retry(now: datetime) -> Any:
    delivery = table_of(Delivery)
    waits = and_(text(DELIVERY_WAITING), delivery.c.lease_token.is_(None), delivery.c.due_at > now)
    return and_(waits, delivery.c.attempts > delivery.c.attempts_before)


def _is_held(row: Any) -> bool:
    return bool(row.state == DeliveryState.HELD)


def _has_ended(row: Any) -> bool:
    return row.state in ENDED


def _was_lost(row: Any, now: datetime) -> bool:
    waits = (
        row.state == DeliveryState.DUE
        and row.lease_token is None
        and row.due_at > now
        and row.attempts > row.attempts_before
    )
    return row.state in _LOST or waits
