"""One transaction of a deliverer: what was tried is recorded, and what is due is claimed with it.

Under a backlog the two come together, so that a claim costs no commit of its own.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from service.events.outbox import Outbox
from service.kit.concurrency.shares import Shares
from service.webhooks.claim import claim_deliveries
from service.webhooks.parcels import Parcel
from service.webhooks.record import Tried, record_attempts


class Wanted(NamedTuple):
    """A claim: at most `limit` deliveries, leased until `lease_until`, in the shares that are free."""

    now: datetime
    lease_until: datetime
    limit: int
    shares: Shares


class Claimed(NamedTuple):
    """What was claimed, and the accounts that had more due than their share."""

    parcels: Sequence[Parcel]
    refused: frozenset[str]


Step = Tried | Wanted
Done = bool | Claimed


def turns(outbox: Outbox) -> Callable[[Session, Sequence[Step]], Sequence[Done]]:
    """A flush for `GroupCommit`: whether each attempt was still ours to record, and what each claim brought."""
    record = record_attempts(outbox)

    def flush(session: Session, batch: Sequence[Step]) -> Sequence[Done]:
        tries = [step for step in batch if isinstance(step, Tried)]
        recorded = iter(record(session, tries) if tries else ())
        # Claims come last: they pass over rows that are locked, so nothing of ours waits for another here.
        return [next(recorded) if isinstance(step, Tried) else _claimed(session, step) for step in batch]

    return flush


def _claimed(session: Session, wanted: Wanted) -> Claimed:
    shares = wanted.shares.copy()  # a transaction that is repeated begins with the same
    parcels = claim_deliveries(
        session, now=wanted.now, lease_until=wanted.lease_until, limit=wanted.limit, shares=shares
    )
    return Claimed(parcels, frozenset(shares.refused))
