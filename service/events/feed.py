"""Reading events in the order they became certain, and never skipping one.

On PostgreSQL a later position can be committed before an earlier one. So the feed goes by transaction first, then by
position, and shows only events of transactions older than every one that still runs in this database: what is committed
later stands after them. On SQLite there is one writer, and the position is the order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text, tuple_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from service.events.models import Event
from service.events.types import EventType, takes
from service.kit.db.columns import table_of
from service.kit.ids import is_id
from service.kit.paging import WINDOW


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the feed: right after the event of this transaction and position."""

    transaction_id: int = 0
    position: int = 0


BEGINNING = Mark()


@dataclass(frozen=True, slots=True)
class _Edge:
    """The end of the feed for now, from one read."""

    horizon: int
    """The oldest transaction that may still write here."""
    unborn: int
    """No transaction of this number or above had ended: no event names it, unless it is from another server."""


# Numbers are given out by the server, for all its databases. Of those that were under way when this statement began,
# only the ones that are seen in another database this moment are no matter to us; one that has ended since is not seen
# at all, and counts as ours until the next look: so a later look may show less than an earlier one. Everybody may see
# these columns, of all roles.
_EDGE = text(
    """
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS unborn, coalesce(
        (
            SELECT min(id::text::bigint) FROM pg_snapshot_xip(pg_current_snapshot()) AS id
            WHERE NOT EXISTS (
                SELECT FROM pg_stat_get_activity(NULL) AS other
                WHERE other.backend_xid = id::xid
                    AND other.datid <> (SELECT oid FROM pg_database WHERE datname = current_database())
            ) AND NOT EXISTS (
                SELECT FROM pg_prepared_xacts AS other
                WHERE other.transaction = id::xid AND other.database <> current_database()
            )
        ),
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint
    ) AS horizon
    """
)


def read_feed(
    session: Session,
    account_id: str,
    mode: str,
    after: Mark,
    *,
    pattern: str = "*",
    limit: int,
) -> list[Event]:
    """Return up to `limit` events after the mark, oldest first, of the types the filter takes."""
    rows = _shown(account_id, mode, _edge(session), after, pattern=pattern)
    return list(session.exec(rows.limit(limit)))


def read_page(
    session: Session, account_id: str, mode: str, after: Mark, *, pattern: str, limit: int
) -> tuple[list[Event], bool, Mark]:
    """Return up to `limit` events, whether there may be more, and the position to read on from.

    With a filter no more than so many events are looked at: the page may hold fewer, and go on after them all the same.
    """
    edge = _edge(session)  # one for both looks: the second must not end before the place that the first has found
    ahead = _shown(account_id, mode, edge, after).offset(WINDOW - 1).limit(1)
    last = session.exec(ahead).first() if pattern != "*" else None
    until = mark_of(last) if last is not None else None
    wanted = _shown(account_id, mode, edge, after, pattern=pattern, until=until)
    rows = list(session.exec(wanted.limit(limit + 1)))
    if len(rows) <= limit and until is not None:
        return rows, True, until
    return rows[:limit], len(rows) > limit, next_mark(rows[:limit], after)


def newest_mark(session: Session, account_id: str, mode: str) -> Mark:
    """Return the position after every event that is certain by now: only new ones come after it."""
    table = table_of(Event)
    wanted = select(Event).where(Event.account_id == account_id, Event.mode == mode)
    horizon = horizon_of(session)
    if horizon is not None:
        wanted = wanted.where(table.c.transaction_id < horizon)
    newest = (table.c.transaction_id.desc(), table.c.position.desc())
    found = session.exec(wanted.order_by(*newest).limit(1)).first()
    return mark_of(found) if found is not None else BEGINNING


def find_event(session: Session, account_id: str, mode: str, event_id: str) -> Event | None:
    """Return the account's event of this id in this mode; `None` where it does not exist or another account owns it."""
    if not is_id(event_id, "evt"):
        return None
    wanted = select(Event).where(Event.account_id == account_id, Event.mode == mode, col(Event.id) == event_id)
    return session.exec(wanted).first()


def mark_of(event: Event) -> Mark:
    """Return the position right after this event."""
    return Mark(event.transaction_id, event.position or 0)


def next_mark(rows: Sequence[Event], after: Mark) -> Mark:
    """Return the position to read on from."""
    return mark_of(rows[-1]) if rows else after


def event_object(event: Event) -> dict[str, Any]:
    """Return `{id, type, timestamp, data}`, from the very bytes that webhooks carry."""
    return {"id": event.id, **json.loads(event.body)}


def horizon_of(session: Session) -> int | None:
    """Return the oldest transaction that may still write here; `None` where a position is enough.

    What is read in the same transaction, or after, misses no event of an older one.
    """
    edge = _edge(session)
    return edge.horizon if edge is not None else None


def _edge(session: Session) -> _Edge | None:
    if session.connection().dialect.name != "postgresql":
        return None
    found = session.connection().execute(_EDGE).one()
    return _Edge(int(found.horizon), int(found.unborn))


def _shown(
    account_id: str, mode: str, edge: _Edge | None, after: Mark, *, pattern: str = "*", until: Mark | None = None
) -> SelectOfScalar[Event]:
    """Select the events after the mark, oldest first, of the types the filter takes, up to `until` with it."""
    table = table_of(Event)
    place = (table.c.transaction_id, table.c.position)
    after = _in_this_life(after, edge)
    wanted = (
        select(Event)
        .where(Event.account_id == account_id, Event.mode == mode)
        .where(tuple_(*place) > (after.transaction_id, after.position))
        .order_by(*place)
    )
    if edge is not None:
        wanted = wanted.where(table.c.transaction_id < edge.horizon)
    if until is not None:
        wanted = wanted.where(tuple_(*place) <= (until.transaction_id, until.position))
    if pattern != "*":
        wanted = wanted.where(table.c.type.in_([kind.value for kind in EventType if takes(pattern, kind)]))
    return wanted


def _in_this_life(mark: Mark, edge: _Edge | None) -> Mark:
    """Return the mark, or its position alone where its transaction cannot exist: it is from before a restore.

    Not the horizon is asked: a reader may know of an event that is not shown yet, or not shown for the moment.
    """
    if edge is None or mark.transaction_id < edge.unborn:
        return mark
    return Mark(0, mark.position)
