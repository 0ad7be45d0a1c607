"""The whole story of one detection, gathered from the rooms below in one read, and what the customer waited for.

Reads only. The time from request to answer is split into three parts without overlap, which is pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy.orm import defer
from sqlalchemy.sql.base import ExecutableOption
from sqlmodel import Session, col, select

from service.detections.queries import has_ended
from service.events.models import Event
from service.runs.load.load_facts import runs_of
from service.runs.state.lifecycle import SourceState
from service.runs.state.models import Detection, Observation, Revision, Run
from service.timeline.callbacks import called_back
from service.timeline.delivery_facts import decided, delivered, is_on_its_way, recorded, taken_at
from service.timeline.fact import Fact, Span, in_order
from service.timeline.runs import at_vendor, observed, run_facts, submitted
from service.webhooks.models import Attempt, Delivery, Endpoint

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Course:
    """The moments that matter.

    `at_vendors`: from submission to answer, a span a run. `told_at`: the first final event was recorded. `taken_at`:
    the last endpoint has it, or will never have it; `None` while a delivery is under way.
    """

    created_at: datetime
    at_vendors: Sequence[Span] = ()
    told_at: datetime | None = None
    taken_at: datetime | None = None


def waits(course: Course, now: datetime) -> dict[str, int]:
    """Return `vendor_ms`, `relay_ms`, `customer_ms`: together the wait from creation until it was taken, or until now.

    The vendors' part is what at least one of them took; the customer's is from the final event on; ours is the rest.
    """
    begin = course.created_at
    end = max(begin, now if course.told_at is None or course.taken_at is None else course.taken_at)
    told = end if course.told_at is None else min(max(course.told_at, begin), end)
    vendor = _covered(course.at_vendors, begin, told) // _MILLISECOND
    customer = (end - told) // _MILLISECOND
    return {
        "vendor_ms": vendor,
        "relay_ms": (end - begin) // _MILLISECOND - vendor - customer,
        "customer_ms": customer,
    }


def _covered(spans: Iterable[Span], begin: datetime, end: datetime) -> timedelta:
    """Return how much of the time from `begin` to `end` lies in at least one span."""
    total, reached = timedelta(), begin
    for start, stop in sorted((start, stop or end) for start, stop in spans):
        start, stop = max(start, reached), min(stop, end)  # noqa: PLW2901 - the part that is new
        if stop > start:
            total += stop - start
            reached = stop
    return total


_PATIENCE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Every fact in order, and the three waits. `is_over`: nothing more is to be expected soon."""

    facts: list[Fact]
    waits: dict[str, int]
    is_over: bool
    status: str

    def shown(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"data": [fact.shown() for fact in self.facts], "waits": self.waits}


class Rows(NamedTuple):
    """What is on record of one run, in order: its submissions, and what was observed of it."""

    tries: list[Observation]
    observations: list[Observation]


def assemble(session: Session, detection: Detection, now: datetime) -> Timeline:
    """Return the timeline so far."""
    runs = runs_of(session, detection.id, every_round=True)
    rows_of = _rows(session, runs)
    # Bodies and results stay where they are: no fact shows them.
    of_events = select(Event).where(Event.detection_id == detection.id)
    events = session.exec(of_events.options(_left(Event.body))).all()
    deliveries = session.exec(select(Delivery).where(Delivery.detection_id == detection.id)).all()
    of_revisions = select(Revision).where(Revision.detection_id == detection.id)
    revisions = session.exec(of_revisions.options(_left(Revision.result))).all()
    facts = [
        *_of_detection(detection),
        *(fact for run in runs for fact in _of_run(run, rows_of[run.id], detection.rule)),
        *called_back(session, runs, detection.created_at, _confirmations_due(rows_of.values())),
        *decided(revisions),
        *recorded(events),
        *delivered(
            deliveries,
            _attempts(session, deliveries),
            {event.id: event.type for event in events},
            _urls(session, deliveries),
        ),
    ]
    detectors = {run.id: run.detector for run in runs}
    spans = [span for run in runs for span in at_vendor(run, rows_of[run.id].tries)]
    return Timeline(
        facts=in_order(fact.of(detectors[fact.run_id]) if fact.run_id in detectors else fact for fact in facts),
        waits=waits(_course(detection, spans, events, deliveries), now),
        is_over=_is_over(detection, deliveries, now),
        status=detection.status,
    )


def _of_detection(detection: Detection) -> Iterable[Fact]:
    asked = {"rule": detection.rule, "external_id": detection.external_id}
    yield Fact(detection.created_at, "detection.created", detection.id, None, asked)
    if detection.source_ended_at is not None and detection.source_state == SourceState.READY:
        data = {"tries": detection.source_tries, "media_id": detection.media_id}
        yield Fact(detection.source_ended_at, "source.fetched", "source", None, data)
    if detection.source_ended_at is not None and detection.source_state == SourceState.FAILED:
        host = urlsplit(detection.source_url or "").hostname
        failed = {"tries": detection.source_tries, "reason": detection.outcome_reason, "host": host}
        yield Fact(detection.source_ended_at, "source.failed", "source", None, failed)
    if detection.rechecked_at is not None:
        yield Fact(detection.rechecked_at, "detection.rechecked", f"round/{detection.round}")
    if detection.erased_at is not None:
        yield Fact(detection.erased_at, "detection.erased", detection.id)


def _of_run(run: Run, rows: Rows, rule: str) -> Iterable[Fact]:
    yield from run_facts(run, rule)
    yield from submitted(run, rows.tries)
    yield from observed(run.id, rows.observations)


def _rows(session: Session, runs: Sequence[Run]) -> dict[str, Rows]:
    found = {run.id: Rows([], []) for run in runs}
    wanted = select(Observation).where(col(Observation.run_id).in_(found)).order_by(col(Observation.n))
    for row in session.exec(wanted):
        of_run = found[row.run_id]
        (of_run.observations if row.outcome is None else of_run.tries).append(row)
    return found


def _confirmations_due(rows: Iterable[Rows]) -> dict[str, datetime]:
    """Return when each callback that claims an end was to be confirmed, as planned when it came."""
    observations = (observation for of_run in rows for observation in of_run.observations)
    return {one.callback_id: one.next_at for one in observations if one.callback_id and one.next_at}


def _urls(session: Session, deliveries: Sequence[Delivery]) -> dict[str, str]:
    wanted = select(Endpoint.id, Endpoint.url).where(col(Endpoint.id).in_({one.endpoint_id for one in deliveries}))
    return dict(session.exec(wanted).all())


def _attempts(session: Session, deliveries: Sequence[Delivery]) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = defaultdict(list)
    ids = [one.id for one in deliveries]
    wanted = select(Attempt).where(col(Attempt.delivery_id).in_(ids)).order_by(col(Attempt.n))
    for attempt in session.exec(wanted.options(_left(Attempt.response_excerpt))):
        found[attempt.delivery_id].append(attempt)
    return found


def _course(
    detection: Detection, spans: Sequence[Span], events: Sequence[Event], deliveries: Sequence[Delivery]
) -> Course:
    """Return the course of the wait for the first answer; a later revision does not count as a wait."""
    finals = sorted((event for event in events if event.final_revision), key=lambda one: one.final_revision or 0)
    if not finals:
        return Course(detection.created_at, spans)
    final_event_at = finals[0].created_at
    taken = taken_at(final_event_at, [one for one in deliveries if one.event_id == finals[0].id])
    return Course(detection.created_at, spans, final_event_at, taken)


def _is_over(detection: Detection, deliveries: Sequence[Delivery], now: datetime) -> bool:
    """Return True if it has ended, and no delivery is on its way or it ended long ago: tries can go on for days."""
    if not has_ended(detection):
        return False
    patience_is_up = detection.completed_at is not None and now >= detection.completed_at + _PATIENCE
    return patience_is_up or not any(is_on_its_way(one) for one in deliveries)


def _left(column: Any) -> ExecutableOption:
    """Leave the column unread; using it raises an error."""
    return defer(column, raiseload=True)
