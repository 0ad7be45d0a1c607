"""The deliveries that wait, and since when. Read by metrics and by `relay doctor`."""

from datetime import datetime

from sqlalchemy import TextClause, select, text, union_all
from sqlmodel import Session

from service.events.models import Event
from service.kit.db.backlog import MOST, Backlog, backlog_of, backlog_of_rows
from service.kit.db.columns import table_of
from service.webhooks.models import DELIVERY_BLOCKED, DELIVERY_HELD, DELIVERY_WAITING, Delivery


def deliveries_waiting(session: Session, now: datetime) -> list[Backlog]:
    """Count deliveries that are due, blocked or held, and final events that are not delivered; each with its oldest."""
    delivery = table_of(Delivery)
    due = [
        backlog_of(session, f"deliveries_{lane}", delivery.c.due_at, _due_in(lane), delivery.c.due_at <= now)
        for lane in ("fresh", "retry")
    ]
    return [
        *due,
        backlog_of(session, "deliveries_blocked", delivery.c.created_at, text(DELIVERY_BLOCKED)),
        backlog_of_rows(
            session, "deliveries_held", select(delivery.c.created_at.label("since")).where(text(DELIVERY_HELD))
        ),
        _undelivered(session),
    ]


def _undelivered(session: Session) -> Backlog:
    """Count final events on their way to an enabled endpoint, also between two attempts of the schedule."""
    delivery, event = table_of(Delivery), table_of(Event)
    ways = (_due_in("fresh"), _due_in("retry"), text(DELIVERY_BLOCKED))
    rows = [select(delivery.c.event_id).where(way).limit(MOST).subquery() for way in ways]
    under_way = union_all(*(select(each.c.event_id) for each in rows)).subquery()
    final = (
        select(event.c.created_at.label("since"))
        .where(event.c.id.in_(select(under_way.c.event_id)), event.c.final_revision.is_not(None))
        .order_by(event.c.created_at)
    )
    return backlog_of_rows(session, "final_events_undelivered", final)


def _due_in(lane: str) -> TextClause:
    """Return the condition as a literal, like the index's: PostgreSQL's generic plan cannot use it with parameters."""
    return text(f"{DELIVERY_WAITING} AND lane = '{lane}'")
