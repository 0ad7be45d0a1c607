"""What must be true of the rows once a hammered deployment has settled: each rule yields what breaks it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from sqlmodel import Session

from service.callbacks.models import Callback
from service.events.models import Event
from service.runs.lifecycle import RunState
from service.runs.models import Certificate, Detection, Observation, Revision, Run
from service.spending.models import Entry
from service.verdicts.verdict import DetectionStatus
from service.webhooks.models import Attempt, Delivery
from tests.journeys.hammer import Hammer
from tests.journeys.hammer_rows import all_of
from tests.journeys.hammer_target import TOLD

_FIRST = {
    "completed": "detection.completed",
    "completed_partial": "detection.completed",
    "failed": "detection.failed",
    "expired": "detection.failed",
    "cancelled": "detection.cancelled",
}
_ANSWERED = ("succeeded", "not_applicable", "failed", "timed_out")
_CALLBACK_ENDS = ("applied", "late", "conflict", "ignored")
_DELIVERY_ENDS = ("succeeded", "exhausted", "skipped")


class Rows:
    """All rows that the rules look at, read at one moment."""

    def __init__(self, session: Session) -> None:
        self.detections: list[Detection] = all_of(session, Detection)
        self.runs: list[Run] = all_of(session, Run)
        self.revisions: list[Revision] = all_of(session, Revision)
        self.observations: list[Observation] = all_of(session, Observation)
        self.certificates: list[Certificate] = all_of(session, Certificate)
        self.callbacks: list[Callback] = all_of(session, Callback)
        self.events: list[Event] = all_of(session, Event)
        self.deliveries: list[Delivery] = all_of(session, Delivery)
        self.attempts: list[Attempt] = all_of(session, Attempt)
        self.ledger: list[Entry] = all_of(session, Entry)
        heirs = {run.id: run.successor_run_id for run in self.runs}
        self.chains = {run.id: _last(run.id, heirs) for run in self.runs}
        """By run, which one went on with its work in the end: itself, mostly."""


def _last(run_id: str, heirs: dict[str, str | None]) -> str:
    while (heir := heirs[run_id]) is not None:
        run_id = heir
    return run_id


def everything_ended(rows: Rows, here: Hammer) -> Iterator[str]:
    if here.unsettled is not None:
        yield f"it never settled: {here.unsettled}"
    for detection in rows.detections:
        if not DetectionStatus(detection.status).ended or detection.completed_at is None or detection.delay_due_at:
            yield f"{detection.id} is {detection.status}, {detection.completed_at}, {detection.delay_due_at}"
    for run in rows.runs:
        kept = (run.due_at, run.leader_key, run.waiting_for)
        if not RunState(run.state).ended or run.ended_at is None or any(kept):
            yield f"{run.id} is {run.state}, ended {run.ended_at}, and has {kept}"
    leased: list[Any] = [*rows.detections, *rows.runs, *rows.callbacks, *rows.certificates, *rows.deliveries]
    for row in leased:
        if row.lease_token is not None:
            yield f"{row.id} is leased until {row.due_at}"


def revisions_have_no_gap_and_one_last_word_each(rows: Rows, here: Hammer) -> Iterator[str]:
    numbers, finals = defaultdict(list), defaultdict(list)
    for revision in rows.revisions:
        numbers[revision.detection_id].append(revision.n)
    for event in sorted(rows.events, key=lambda event: event.position or 0):
        if event.final_revision is not None:
            finals[event.detection_id].append((event.final_revision, event.revision, event.type))
    for detection in rows.detections:
        expected = list(range(1, detection.revision + 1))
        if not expected or sorted(numbers[detection.id]) != expected:
            yield f"{detection.id} is at revision {detection.revision} and has {sorted(numbers[detection.id])}"
        told = finals[detection.id]
        if [(final, revision) for final, revision, _ in told] != [(n, n) for n in expected]:
            yield f"{detection.id} has the final events {told}"
    for revision in rows.revisions:
        kind = next((kind for n, _, kind in finals[revision.detection_id] if n == revision.n), None)
        first = _FIRST[revision.status]
        also = [first] if revision.n == 1 or first == "detection.cancelled" else ["detection.revised"]
        if kind not in also:
            yield f"{revision.detection_id} revision {revision.n} ({revision.status}) was told as {kind}"


def the_last_revision_is_what_the_detection_says(rows: Rows, here: Hammer) -> Iterator[str]:
    last = {(one.detection_id, one.n): (one.status, one.verdict) for one in rows.revisions}
    for detection in rows.detections:
        if last.get((detection.id, detection.revision)) != (detection.status, detection.verdict):
            yield f"{detection.id} is {detection.status}, {detection.verdict}"


def each_end_of_a_run_is_told_once(rows: Rows, here: Hammer) -> Iterator[str]:
    told = Counter(event.run_id for event in rows.events if event.type == "detector.completed")
    for run in rows.runs:
        if told[run.id] > 1 or (run.state in _ANSWERED and told[run.id] != 1):
            yield f"{run.id} ({run.state}) was told {told[run.id]} times"


def observations_are_numbered_from_one(rows: Rows, here: Hammer) -> Iterator[str]:
    numbers = defaultdict(list)
    for row in rows.observations:
        numbers[row.run_id].append(row.n)
    for run_id, found in numbers.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"{run_id} has the observations {sorted(found)}"
    for run in rows.runs:
        if run.observation_n is not None and run.observation_n not in numbers[run.id]:
            yield f"{run.id} was decided by observation {run.observation_n} of {sorted(numbers[run.id])}"


def callbacks_came_to_an_end(rows: Rows, here: Hammer) -> Iterator[str]:
    for callback in rows.callbacks:
        if callback.state not in _CALLBACK_ENDS or callback.due_at is not None:
            yield f"{callback.id} is {callback.state} after {callback.tries} tries: {callback.note}"


def nothing_was_submitted_twice_unmarked(rows: Rows, here: Hammer) -> Iterator[str]:
    """And nothing more often than twice: after an unknown outcome once more, and never again."""
    marked = {rows.chains[run.id] for run in rows.runs if run.resubmitted}
    for chain, times in _taken(rows, here).items():
        if times > 1 and chain not in marked:
            yield f"{chain} was submitted {times} times, unmarked"
        if times > 2:
            yield f"{chain} was submitted {times} times"


def the_ledger_has_each_submission(rows: Rows, here: Hammer) -> Iterator[str]:
    taken, entries, doubled = _taken(rows, here), Counter[str](), Counter[str]()
    for entry in rows.ledger:
        chain = rows.chains[entry.run_id]
        entries[chain] += 1
        doubled[chain] += entry.kind == "possible_duplicate"
    for chain in {*taken, *entries}:
        # One may be marked whose forerunner turned out not to be taken after all.
        if taken[chain] != entries[chain] or not taken[chain] - 1 <= doubled[chain] <= entries[chain]:
            yield f"{chain}: {taken[chain]} submissions, {entries[chain]} entries, {doubled[chain]} of them doubled"


def _taken(rows: Rows, here: Hammer) -> Counter[str]:
    taken: Counter[str] = Counter()
    for vendor in here.vendors:
        for run_id, times in vendor.taken_of.items():
            taken[rows.chains[run_id]] += times
    return taken


def answers_are_the_ones_that_were_given(rows: Rows, here: Hammer) -> Iterator[str]:
    """A reused answer is that of a run which asked itself; a job's answer is one of those its vendor has."""
    states = {run.id: run.state for run in rows.runs}
    seen = {(row.run_id, row.n): row.body_sha256 for row in rows.observations}
    bodies = defaultdict(set)
    for row in rows.observations:
        bodies[row.body_sha256].add(row.run_id)
    for run in rows.runs:
        if run.via == "reuse":
            body = seen[run.id, run.observation_n or 0]
            if len(bodies[body]) < 2 or run.state not in states.values():
                yield f"{run.id} has an answer that no other run has"


def deliveries_end_and_are_one_for_each_event(rows: Rows, here: Hammer) -> Iterator[str]:
    tries = defaultdict(list)
    for attempt in rows.attempts:
        tries[attempt.delivery_id].append(attempt.n)
    for delivery in rows.deliveries:
        if delivery.state not in _DELIVERY_ENDS or delivery.due_at is not None or delivery.ended_at is None:
            yield f"{delivery.id} is {delivery.state}, ended {delivery.ended_at}"
        if sorted(tries[delivery.id]) != list(range(1, delivery.attempts + 1)):
            yield f"{delivery.id} counts {delivery.attempts} attempts and has {sorted(tries[delivery.id])}"
        if delivery.state == "succeeded" and (delivery.endpoint_id, delivery.event_id) not in here.target.taken:
            yield f"{delivery.id} succeeded, and its event never came"
    made = Counter((delivery.endpoint_id, delivery.event_id) for delivery in rows.deliveries)
    for name, wanted in TOLD.items():
        for event in rows.events:
            # What is about an endpoint itself is told to others, or to it alone.
            times = made[here.target.endpoints[name], event.id]
            if event.detection_id is not None and wanted(event.type) and times != 1:
                yield f"{event.id} ({event.type}) has {times} deliveries to {name}"


RULES: tuple[Callable[[Rows, Hammer], Iterator[str]], ...] = (
    everything_ended,
    revisions_have_no_gap_and_one_last_word_each,
    the_last_revision_is_what_the_detection_says,
    each_end_of_a_run_is_told_once,
    observations_are_numbered_from_one,
    callbacks_came_to_an_end,
    nothing_was_submitted_twice_unmarked,
    the_ledger_has_each_submission,
    answers_are_the_ones_that_were_given,
    deliveries_end_and_are_one_for_each_event,
)


def broken(here: Hammer) -> list[str]:
    """Return what is wrong, in words; each line begins with the rule."""
    with here.database.reading() as session:
        rows = Rows(session)
    return [f"{rule.__name__}: {line}" for rule in RULES for line in rule(rows, here)]
