"""Claiming due rows: one statement for both databases, a lease on each row, a token to fence late writers.

`due_at` doubles as the lease's end. A worker that dies simply lets it pass, and the row is due again. Whoever
records must show the token: a slow or clock-skewed worker cannot overwrite what a later one did.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Table, TextClause, select, text, update
from sqlmodel import Session


def claim(
    session: Session,
    table: Table,
    waiting: str,
    *columns: str,
    now: datetime,
    lease_until: datetime,
    limit: int,
) -> Sequence[RowMapping]:
    """At most `limit` rows that were due, each leased to us until `lease_until` under a fresh token.

    `waiting` is literal SQL equal to the predicate of a partial index on `due_at`; literal, because with a bound
    parameter PostgreSQL's generic plan cannot use that index. `columns` are returned besides the key and token.
    """
    key = table.c.id
    due: list[ColumnElement[bool] | TextClause] = [text(waiting), table.c.due_at <= now]
    chosen = select(key).where(*due).order_by(table.c.due_at).limit(limit).with_for_update(skip_locked=True)
    statement = (
        update(table)
        .where(key.in_(chosen.scalar_subquery()))
        .values(due_at=lease_until, lease_token=secrets.token_hex(8))
        .returning(key, table.c.lease_token, *(table.c[name] for name in columns))
    )
    return session.connection().execute(statement).mappings().all()


def holds(table: Table, row_id: str, lease_token: str) -> Any:
    """The condition that a row is still ours."""
    return (table.c.id == row_id) & (table.c.lease_token == lease_token)
