"""The new states of deliveries that are requeued: released, sent again, or passed over. Pure: no database here.

Within one detection the older goes first, as in the fan-out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.webhooks.fanout import UNORDERED_AFTER_TRIES
from service.webhooks.states import DELIVERY, DeliveryInput, DeliveryState

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
