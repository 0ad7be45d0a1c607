"""Claiming due rows: one statement for both databases, a lease on each row, a token to fence late writers.

`due_at` doubles as the lease's end. A worker that dies simply lets it pass, and the row is due again. Whoever
records must show the token: a slow or clock-skewed worker cannot overwrite what a later one did.
"""

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, TextClause, select, text, update
from sqlmodel import Session

from service.kit.shares import Shares


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
    """At most `limit` rows that were due, each leased to us until `lease_until` under a fresh token.

    `waiting` is literal SQL equal to the predicate of a partial index on `due_at`; literal, because with a bound
    parameter PostgreSQL's generic plan cannot use that index. `columns` are returned besides the key and token.
    With `shares`, each account gets no more of them than its share, and the places are counted there.
    """
    key = table.c.id
    due: list[ColumnElement[bool] | TextClause] = [text(waiting), table.c.due_at <= now]
    if shares is None:
        chosen = select(key).where(*due).order_by(table.c.due_at).limit(limit).with_for_update(skip_locked=True)
        ours = key.in_(chosen.scalar_subquery())
    else:
        ours = key.in_(list(_shared(session, table, due, shares, limit)))
    statement = (
        update(table)
        .where(ours)
        .values(due_at=lease_until, lease_token=secrets.token_hex(8))
        .returning(key, table.c.lease_token, *(table.c[name] for name in columns))
    )
    return session.connection().execute(statement).mappings().all()


def _shared(
    session: Session, table: Table, due: Sequence[ColumnElement[bool] | TextClause], shares: Shares, limit: int
) -> Iterator[str]:
    """The rows that may be ours, locked. Each further look leaves out the accounts that have all they may have."""
    taken: list[str] = []
    while len(taken) < limit:
        looked_for = limit - len(taken)
        rows = session.connection().execute(
            select(table.c.id, table.c.account_id)
            .where(*due, table.c.id.not_in(taken), table.c.account_id.not_in(sorted(shares.refused)))
            .order_by(table.c.due_at)
            .limit(looked_for)
            .with_for_update(skip_locked=True)
        )
        found = rows.all()
        fitting = [row_id for row_id, account_id in found if shares.take(account_id)]
        taken += fitting
        yield from fitting
        if len(found) < looked_for or len(fitting) == len(found):
            return


def holds(table: Table, row_id: str, lease_token: str) -> Any:
    """The condition that a row is still ours."""
    return (table.c.id == row_id) & (table.c.lease_token == lease_token)
