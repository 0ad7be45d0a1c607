"""What is written and not shown in the feed yet. Looked at by metrics and by `relay doctor`."""

from sqlalchemy import func, select, text
from sqlmodel import Session

from service.events.feed import horizon_of
from service.events.models import Event
from service.kit.db.columns import table_of
from service.kit.db.queues import MOST, Backlog

STATE = "events_not_shown"

# By account and mode, as the feed's index begins.
_BEYOND = text(
    """
    SELECT count(*) FROM (
        SELECT FROM account, (VALUES ('live'), ('test')) AS each(mode), LATERAL (
            SELECT FROM event
            WHERE account_id = account.id AND event.mode = each.mode
                AND transaction_id >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
        ) AS one LIMIT :most
    ) AS beyond
    """
)


def events_waiting(session: Session) -> list[Backlog]:
    """Count the events that an older transaction of this database, still running, keeps from the feed."""
    horizon = horizon_of(session)
    if horizon is None:
        return [Backlog(STATE, 0, None)]
    event = table_of(Event)
    # The newest by position are looked at: no index begins with the transaction, and what is held back is new.
    newest = select(event.c.transaction_id, event.c.created_at).order_by(event.c.position.desc()).limit(MOST).subquery()
    held = select(func.count(), func.min(newest.c.created_at)).where(newest.c.transaction_id >= horizon)
    count, oldest_at = session.connection().execute(held).one()
    return [Backlog(STATE, count, oldest_at)]


def beyond_the_server(session: Session) -> int:
    """Count the events, up to `MOST`, that name a transaction which this server has not begun: they are never shown.

    They were restored from another server, whose numbers were higher.
    """
    if session.connection().dialect.name != "postgresql":
        return 0
    return int(session.connection().execute(_BEYOND, {"most": MOST}).scalar_one())
