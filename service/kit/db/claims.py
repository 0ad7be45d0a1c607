"""The claim of due rows: one statement for both databases, a lease on each row, a token to fence late writers.

`due_at` doubles as the lease's end. A worker that dies simply lets it pass, and the row is due again. A worker that
records must show the token: a slow or clock-skewed one cannot overwrite what a later one did.
"""

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, Row, RowMapping, Table, TextClause, bindparam, select, text, update
from sqlmodel import Session

from service.kit.concurrency.shares import Shares
from service.kit.db.bulk import among


def claim(
    session: Session,
    table: Table,
    waiting: str,
    *columns: str,
    now: datetime,
    lease_until: datetime,
    limit: int,
    shares: Shares | None = None,
) -> Sequence[RowMapping]:
    """Claim up to `limit` rows that are due: each is leased to us until `lease_until` under a fresh token.

    `waiting` is literal SQL equal to the predicate of a partial index on `due_at`; literal, because with a bound
    parameter PostgreSQL's generic plan cannot use that index. `columns` are returned besides the key and token.
    With `shares`, each account gets no more of them than its share, and they are counted there.
    """
    if shares is not None:
        chosen = list(_shared(session, table, waiting, now, shares, limit))
        return _claimed(session, table, chosen, columns, lease_until).mappings().all() if chosen else []
    found = session.connection().execute(
        _claim_due(table, waiting, columns), {"now": now, "most": limit, **_lease(lease_until)}
    )
    return found.mappings().all()


def claim_these(
    session: Session, table: Table, row_ids: Sequence[str], *columns: str, lease_until: datetime
) -> Sequence[Row[Any]]:
    """Lease these rows, which the caller has found due and locked, as `claim` does."""
    return _claimed(session, table, row_ids, columns, lease_until).all() if row_ids else []


def _claimed(
    session: Session, table: Table, row_ids: Sequence[str], columns: tuple[str, ...], lease_until: datetime
) -> CursorResult[Any]:
    return session.connection().execute(_claim_ids(table, columns), {"ids": row_ids, **_lease(lease_until)})


def _lease(until: datetime) -> dict[str, Any]:
    return {"new_due": until, "new_token": secrets.token_hex(8)}


def _shared(session: Session, table: Table, waiting: str, now: datetime, shares: Shares, limit: int) -> Iterator[str]:
    """Find and lock the rows that may be ours. Each further try leaves out accounts that have all they may have."""
    taken: list[str] = []
    while len(taken) < limit:
        looked_for = limit - len(taken)
        how = {"now": now, "taken": taken, "refused": sorted(shares.refused), "most": looked_for}
        found = session.connection().execute(_look(table, waiting), how).all()
        fitting = [row_id for row_id, account_id in found if shares.take(account_id)]
        taken += fitting
        yield from fitting
        if len(found) < looked_for or len(fitting) == len(found):
            return


def _due(table: Table, waiting: str) -> list[ColumnElement[bool] | TextClause]:
    return [text(waiting), table.c.due_at <= bindparam("now")]


# Built once for each queue: SQLAlchemy takes longer to build a statement than to run it.


@cache
def _look(table: Table, waiting: str) -> Any:
    return (
        select(table.c.id, table.c.account_id)
        .where(*_due(table, waiting))
        .where(~among(table.c.id, "taken"))
        .where(~among(table.c.account_id, "refused"))
        .order_by(table.c.due_at)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True)
    )


@cache
def _claim_due(table: Table, waiting: str, columns: tuple[str, ...]) -> Any:
    due = select(table.c.id).where(*_due(table, waiting)).order_by(table.c.due_at).limit(bindparam("most"))
    return _leasing(table, table.c.id.in_(due.with_for_update(skip_locked=True).scalar_subquery()), columns)


@cache
def _claim_ids(table: Table, columns: tuple[str, ...]) -> Any:
    return _leasing(table, among(table.c.id, "ids"), columns)


def _leasing(table: Table, which: ColumnElement[bool], columns: tuple[str, ...]) -> Any:
    return (
        update(table)
        .where(which)
        .values(due_at=bindparam("new_due"), lease_token=bindparam("new_token"))
        .returning(table.c.id, table.c.lease_token, *(table.c[name] for name in columns))
    )
