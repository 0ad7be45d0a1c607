"""Taking the content out of events: the one case in which a stored body changes. Nobody is sent the new one unasked."""

from datetime import datetime

from sqlmodel import Session, col, select

from service.events.models import Event
from service.events.outbox import event_body
from service.kit.clock import rfc3339


def erase_events_of(session: Session, detection_id: str, now: datetime) -> None:
    """Replace the `data` of the detection's events by what was erased, and when. Id, type, time and position stay."""
    for event in session.exec(select(Event).where(col(Event.detection_id) == detection_id)):
        data = {"id": detection_id, "revision": event.revision, "erased_at": rfc3339(now)}
        event.body = event_body(event.type, data, event.created_at)
