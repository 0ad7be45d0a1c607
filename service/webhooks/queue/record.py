"""The record of attempts, many in one transaction, and what follows for the deliveries and their endpoints.

In a transaction of a deliverer attempts are recorded, and due deliveries are claimed with them. Under a backlog the two
come together, so that a claim costs no commit of its own.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlmodel import Session

from service.events.outbox import Outbox
from service.kit.concurrency.shares import Shares
from service.kit.db.bulk import InsertMany, UpdateMany, among
from service.kit.db.columns import table_of
from service.kit.ids import new_id
from service.webhooks.endpoints.health import apply_outcomes, in_order, lock_endpoints, switch_off
from service.webhooks.fanout import UNORDERED_AFTER_TRIES
from service.webhooks.models import DELIVERY_WAITING, Attempt, Delivery, Endpoint
from service.webhooks.queue.bulk_moves import unblock
from service.webhooks.queue.claim import claim_deliveries
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.states import DELIVERY, ENDED, DeliveryInput, DeliveryState, EndpointInput, EndpointState

GONE = 410
_TABLE = table_of(Delivery)


class FinishedAttempt(NamedTuple):
    """One finished attempt. `next_at` is `None` where no further try is planned.

    `counted` is false if a failure was a fault of ours: it says nothing about the endpoint.
    """

    claim: ClaimedDelivery
    started_at: datetime
    status_code: int | None
    error_class: str | None
    phases_ms: Mapping[str, int | None]
    excerpt: bytes
    explanation: str
    next_at: datetime | None
    ended_at: datetime
    counted: bool = True

    @property
    def happening(self) -> DeliveryInput:
        """Return what it is to its delivery."""
        if self.error_class is None:
            return DeliveryInput.TAKEN
        if self.status_code == GONE:
            return DeliveryInput.GONE  # the endpoint asked to be left alone: held for the day it comes back
        return DeliveryInput.FAILED if self.next_at else DeliveryInput.USED_UP

    @property
    def state(self) -> DeliveryState:
        """Return the delivery's state after it."""
        return DELIVERY.advance(DeliveryState.DUE, self.happening)


def record_attempts(outbox: Outbox) -> Callable[[Session, Sequence[FinishedAttempt]], Sequence[bool]]:
    """Return a flush for `GroupCommit`: each answer is True if the lease still held and the attempt was recorded."""

    def flush(session: Session, batch: Sequence[FinishedAttempt]) -> Sequence[bool]:
        endpoints = _lock(session, batch)
        ours = _still_ours(session, batch)
        kept = [finished for finished in batch if finished.claim.delivery_id in ours]
        if kept:
            now = max(finished.ended_at for finished in kept)
            _ADD.run(session.connection(), [_attempt_row(finished) for finished in kept])
            _MOVE.run(session.connection(), [_delivery_row(finished) for finished in kept])
            unblock(session, _let_pass(kept), now)
            _settle(session, kept, endpoints, outbox)
        return [finished.claim.delivery_id in ours for finished in batch]

    return flush


def _lock(session: Session, batch: Sequence[FinishedAttempt]) -> dict[str, Endpoint]:
    """Lock and return the endpoints that this batch may change."""
    counted = [finished for finished in batch if finished.counted]
    failed = {finished.claim.endpoint_id for finished in counted if finished.error_class is not None}
    return lock_endpoints(session, failed, {finished.claim.endpoint_id for finished in counted} - failed)


def _still_ours(session: Session, batch: Sequence[FinishedAttempt]) -> set[str]:
    """Lock the deliveries still leased to us and return their ids. In one order, so batches cannot deadlock."""
    tokens = {finished.claim.delivery_id: finished.claim.lease_token for finished in batch}
    rows = session.connection().execute(_TOKENS, {"ids": list(tokens)})
    return {delivery_id for delivery_id, token in rows if tokens[delivery_id] == token}


def _attempt_row(finished: FinishedAttempt) -> tuple[Any, ...]:
    return (
        new_id("att"),
        finished.claim.delivery_id,
        finished.claim.endpoint_id,
        finished.claim.attempts + 1,
        finished.started_at,
        finished.status_code,
        finished.error_class,
        json.dumps(finished.phases_ms),
        finished.excerpt or None,
        finished.explanation,
    )


def _delivery_row(finished: FinishedAttempt) -> tuple[Any, ...]:
    state = finished.state
    return (
        state.value,
        "fresh" if state is DeliveryState.SUCCEEDED and not finished.claim.attempts else "retry",
        finished.next_at if state is DeliveryState.DUE else None,
        finished.claim.attempts + 1,
        finished.ended_at if state in ENDED else None,
        finished.claim.delivery_id,
    )


def _let_pass(kept: Sequence[FinishedAttempt]) -> set[str]:
    """Return the detections of which newer events may follow what is now done, or has failed often enough."""
    return {
        finished.claim.detection_id for finished in kept if finished.claim.detection_id and _lets_newer_pass(finished)
    }


def _lets_newer_pass(finished: FinishedAttempt) -> bool:
    return finished.state in ENDED or finished.claim.attempts + 1 >= UNORDERED_AFTER_TRIES


def _settle(
    session: Session, kept: Sequence[FinishedAttempt], endpoints: Mapping[str, Endpoint], outbox: Outbox
) -> None:
    """Apply these attempts to their endpoints. Those that answered 410 are disabled."""
    for endpoint_id, endpoint in endpoints.items():
        tries = [finished for finished in kept if finished.counted and finished.claim.endpoint_id == endpoint_id]
        apply_outcomes(
            session, outbox, endpoint, in_order((finished.ended_at, finished.error_class is None) for finished in tries)
        )
        gone_at = [finished.ended_at for finished in tries if _is_gone(finished, endpoint)]
        if gone_at:
            switch_off(session, outbox, endpoint, EndpointInput.GONE, max(gone_at))


def _is_gone(finished: FinishedAttempt, endpoint: Endpoint) -> bool:
    """Return True if the endpoint answered 410, and was not enabled again since the attempt began."""
    sent_since = endpoint.enabled_at is None or finished.started_at >= endpoint.enabled_at
    return finished.status_code == GONE and sent_since and endpoint.status == EndpointState.ENABLED


# Built once: SQLAlchemy takes longer to build a statement than to run it.


_ADD = InsertMany(
    table_of(Attempt),
    "id",
    "delivery_id",
    "endpoint_id",
    "n",
    "started_at",
    "status_code",
    "error_class",
    "phases_json",
    "response_excerpt",
    "explanation",
)
_MOVE = UpdateMany(_TABLE, "state", "lane", "due_at", "attempts", "ended_at", "id", fixed=["lease_token = NULL"])
_TOKENS = (
    select(_TABLE.c.id, _TABLE.c.lease_token)
    .where(among(_TABLE.c.id, "ids"), text(DELIVERY_WAITING))
    .order_by(_TABLE.c.event_position, _TABLE.c.id)
    .with_for_update()
)


class ClaimRequest(NamedTuple):
    """A claim: at most `limit` deliveries, leased until `lease_until`, in the shares that are free."""

    now: datetime
    lease_until: datetime
    limit: int
    shares: Shares


class ClaimResult(NamedTuple):
    """The deliveries that were claimed, and the accounts that had more due than their share."""

    claims: Sequence[ClaimedDelivery]
    refused: frozenset[str]


Step = FinishedAttempt | ClaimRequest
Done = bool | ClaimResult


def turns(outbox: Outbox) -> Callable[[Session, Sequence[Step]], Sequence[Done]]:
    """Return a flush for `GroupCommit`: True for each attempt that was recorded, the result of each claim."""
    record = record_attempts(outbox)

    def flush(session: Session, batch: Sequence[Step]) -> Sequence[Done]:
        tries = [step for step in batch if isinstance(step, FinishedAttempt)]
        recorded = iter(record(session, tries) if tries else ())
        # Claims come last: they pass over rows that are locked, so nothing of ours waits for another here.
        return [next(recorded) if isinstance(step, FinishedAttempt) else _claimed(session, step) for step in batch]

    return flush


def _claimed(session: Session, request: ClaimRequest) -> ClaimResult:
    shares = request.shares.copy()  # a transaction that is repeated begins with the same
    claims = claim_deliveries(
        session, now=request.now, lease_until=request.lease_until, limit=request.limit, shares=shares
    )
    return ClaimResult(claims, frozenset(shares.refused))
