"""One transaction of a deliverer: attempts are recorded, and due deliveries are claimed with them.

Under a backlog the two come together, so that a claim costs no commit of its own.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from service.events.outbox import Outbox
from service.kit.concurrency.shares import Shares
from service.webhooks.queue.claim import claim_deliveries
from service.webhooks.queue.claimed import ClaimedDelivery
from service.webhooks.queue.record import FinishedAttempt, record_attempts


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
