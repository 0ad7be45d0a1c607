"""Claims of due deliveries, fresh before retries, with all that an attempt needs: body, URL, secrets."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, select, text, update
from sqlmodel import Session

from service.kit.concurrency.shares import Shares
from service.kit.db.bulk import among
from service.kit.db.claims import claim_these
from service.kit.db.columns import table_of
from service.kit.db.database import notify_on_commit
from service.webhooks.fanout import TOPIC
from service.webhooks.models import DELIVERY_WAITING, Delivery, Endpoint
from service.webhooks.queue.claimed import ClaimedDelivery, Leased, load_events, load_targets, with_targets
from service.webhooks.states import DELIVERY, DeliveryInput, DeliveryState

_TABLE = table_of(Delivery)
_COLUMNS = (  # as `Leased` has them, behind the id and the token
    "attempts",
    "attempts_before",
    "account_id",
    "mode",
    "endpoint_id",
    "detection_id",
    "event_id",
    "event_position",
)
LANES = {lane: f"{DELIVERY_WAITING} AND lane = '{lane}'" for lane in ("fresh", "retry")}
_MOST_ENDPOINTS = 200


def claim_deliveries(
    session: Session, *, now: datetime, lease_until: datetime, limit: int, shares: Shares | None = None
) -> list[ClaimedDelivery]:
    """Lease at most `limit` due deliveries; return those that can be attempted. Retries get what fresh ones leave."""
    rows: list[Row[Any]] = []
    for lane in LANES:
        left = limit - len(rows)
        if left:
            chosen = _shared(session, lane, now, left, shares)
            rows += claim_these(session, _TABLE, chosen, *_COLUMNS, lease_until=lease_until)
    return _loaded(session, rows, now) if rows else []


def _shared(session: Session, lane: str, now: datetime, limit: int, shares: Shares | None) -> list[str]:
    """Lock due rows of this lane, no more of an account than its share, and return their ids.

    Where the rows found are all of accounts that have their share, the others' are found by their endpoints: to read
    past a million rows to what lies behind them would take longer than to deliver what was found.
    """
    run = session.connection().execute
    taken: list[str] = []
    found = run(_DUE[lane], {"now": now, "most": limit}).all()
    while True:
        wanted = limit - len(taken)
        fitting = [row_id for row_id, account_id in found if shares is None or _takes(shares, account_id)]
        taken += fitting
        if shares is None or len(found) < wanted or len(fitting) == len(found):
            return taken
        others = run(_OTHERS[lane], {"now": now, "refused": sorted(shares.refused)}).scalars().all()
        if not others:
            return taken
        how = {"now": now, "most": wanted - len(fitting), "taken": taken, "endpoints": others}
        found = run(_DUE_AT[lane], how).all()


def _takes(shares: Shares, account_id: str) -> bool:
    """Return True if the account has one place more. One that was refused in this claim stays refused."""
    return account_id not in shares.refused and shares.take(account_id)


def _loaded(session: Session, rows: Sequence[Row[Any]], now: datetime) -> list[ClaimedDelivery]:
    """Load what the attempts at these rows need. Those of stopped endpoints are held, and not returned."""
    events = load_events(session, {row.event_id for row in rows})
    targets = load_targets(session, {row.endpoint_id for row in rows}, now)
    leased = [Leased._make((*row, *events[row.event_id])) for row in rows if row.event_id in events]
    claims = with_targets(leased, targets)
    if len(claims) < len(rows):
        ready = {claim.delivery_id for claim in claims}
        hold_claimed(session, {row.id: row.lease_token for row in rows if row.id not in ready}, now)
    return claims


def hold_claimed(session: Session, tokens: Mapping[str, str], now: datetime) -> None:
    """Hold these leased deliveries (id → lease token), or skip them if the endpoint was deleted."""
    found = session.connection().execute(_TO_HOLD, {"ids": list(tokens)}).all()
    rows = [
        {
            "row_id": delivery_id,
            "new_state": DELIVERY.advance(
                DeliveryState.DUE, DeliveryInput.DROPPED if deleted_at else DeliveryInput.STOPPED
            ).value,
            "new_end": deleted_at and now,
        }
        for delivery_id, token, deleted_at in found
        if token == tokens[delivery_id]
    ]
    if rows:
        session.connection().execute(_HOLD, rows)


def release_claims(session: Session, claims: Iterable[tuple[ClaimedDelivery, datetime]]) -> None:
    """Release these leases without an attempt; each delivery is due again at the time beside it."""
    rows = [
        {"row_id": claim.delivery_id, "row_token": claim.lease_token, "new_due": due_at}
        for claim, due_at in sorted(claims, key=lambda pair: (pair[0].event_position, pair[0].delivery_id))
    ]
    if rows:
        session.connection().execute(_RELEASE, rows)


def release_claim(session: Session, claim: ClaimedDelivery, now: datetime) -> None:
    """Release one delivery, due now, and wake the processes that deliver."""
    release_claims(session, [(claim, now)])
    notify_on_commit(session, TOPIC)


# Built once: SQLAlchemy takes longer to build a statement than to run it. States and lanes are literal, because with
# a bound parameter PostgreSQL's generic plan cannot use the index of what waits.


def _due(waiting: str, *where: Any) -> Any:
    return (
        select(_TABLE.c.id, _TABLE.c.account_id)
        .where(text(waiting), _TABLE.c.due_at <= bindparam("now"), *where)
        .order_by(_TABLE.c.due_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


def _others(lane: str) -> Any:
    """Select endpoints of accounts that were not refused, with something due.

    A scalar, not EXISTS: one look into the index for each.
    """
    endpoint = table_of(Endpoint)
    one = select(_TABLE.c.id).where(_TABLE.c.endpoint_id == endpoint.c.id, text(LANES[lane]))
    return (
        select(endpoint.c.id)
        .where(~among(endpoint.c.account_id, "refused"))
        .where(one.where(_TABLE.c.due_at <= bindparam("now")).limit(1).scalar_subquery().is_not(None))
        .limit(_MOST_ENDPOINTS)
    )


def _hold_statements() -> tuple[Any, Any]:
    endpoint = table_of(Endpoint)
    found = (
        select(_TABLE.c.id, _TABLE.c.lease_token, endpoint.c.deleted_at)
        .join(endpoint, endpoint.c.id == _TABLE.c.endpoint_id)
        .where(among(_TABLE.c.id, "ids"), text(DELIVERY_WAITING))
        .order_by(_TABLE.c.event_position, _TABLE.c.id)
        .with_for_update(of=_TABLE)
    )
    held = update(_TABLE).where(_TABLE.c.id == bindparam("row_id"))
    values: dict[str, Any] = {
        "state": bindparam("new_state"),
        "ended_at": bindparam("new_end"),
        "due_at": None,
        "lease_token": None,
    }
    return found, held.values(values)


_DUE = {lane: _due(waiting) for lane, waiting in LANES.items()}
# An expression instead of the lane: else SQLite goes through all that is due in the lane, as it comes in order there.
_DUE_AT = {
    lane: _due(
        f"{DELIVERY_WAITING} AND lane || '' = '{lane}'",
        among(_TABLE.c.endpoint_id, "endpoints"),
        ~among(_TABLE.c.id, "taken"),
    )
    for lane in LANES
}
_OTHERS = {lane: _others(lane) for lane in LANES}
_TO_HOLD, _HOLD = _hold_statements()
_RELEASE = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("row_id"), _TABLE.c.lease_token == bindparam("row_token"), text(DELIVERY_WAITING))
    .values(due_at=bindparam("new_due"), lease_token=None)
)
