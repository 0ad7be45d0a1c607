"""What must be true of the rows once a hammered deployment has settled: each rule yields what breaks it."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from sqlmodel import Session

from service.callbacks.models import Callback
from service.runs.state.lifecycle import RunState
from service.runs.state.models import Detection, Run
from service.verdicts.verdict import DetectionStatus
from tests.journeys.hammer import Hammer
from tests.journeys.hammer_answers import ANSWERS
from tests.journeys.hammer_rows import KEPT_PARKED, Rows, all_of
from tests.journeys.hammer_target import TOLD

_FIRST = {
    "completed": "detection.completed",
    "completed_partial": "detection.completed",
    "failed": "detection.failed",
    "expired": "detection.failed",
    "cancelled": "detection.cancelled",
}
_ANSWERED = ("succeeded", "not_applicable", "failed", "timed_out")
# Not "stuck", but for one whose five claims were all overtaken by the clock: tests/callbacks/test_turns.py.
_CALLBACK_ENDS = ("applied", "late", "conflict", "ignored")
_DELIVERY_ENDS = ("succeeded", "exhausted", "skipped")


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
        if row.lease_token is not None and getattr(row, "state", "") != "stuck":
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
    last = {(one.detection_id, one.n): one for one in rows.revisions}
    for detection in rows.detections:
        row = last.get((detection.id, detection.revision))
        if row is None or (row.status, row.verdict) != (detection.status, detection.verdict):
            yield f"{detection.id} is {detection.status}, {detection.verdict}"
            continue
        result = json.loads(row.result)
        if (result["revision"], result["status"], result["verdict"]) != (row.n, row.status, row.verdict):
            yield f"{detection.id} has a result of {result['revision']}, {result['status']}, {result['verdict']}"
        parts = [(part["run_id"], part["status"]) for part in result["detectors"]]
        runs = [one for one in rows.runs if (one.detection_id, one.round) == (detection.id, detection.round)]
        states = [(run.id, run.state) for run in sorted(runs, key=lambda run: run.position)]
        if parts != states:
            yield f"{detection.id} says {parts}, and its runs are {states}"


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
    looks = Counter(row.callback_id for row in rows.observations)
    for callback in rows.callbacks:
        is_over = callback.state in _CALLBACK_ENDS or (callback.state == "stuck" and callback.tries > 4)
        if not is_over or callback.due_at is not None:
            yield f"{callback.id} is {callback.state} after {callback.tries} tries: {callback.note}"
        # One that comes after its run was erased is no observation any more.
        had_effect = callback.state in ("applied", "late")
        least = had_effect and rows.erased_at(callback.run_id) is None
        if not least <= looks[callback.id] <= had_effect:
            yield f"{callback.id} ({callback.state}) is {looks[callback.id]} observations of {callback.run_id}"


def callbacks_are_not_put_aside_while_their_run_knows_them(rows: Rows, here: Hammer) -> Iterator[str]:
    runs = {(run.vendor, run.vendor_job_id): run for run in rows.runs}
    accepted_at = {row.run_id: row.at for row in rows.observations if row.outcome == "accepted"}
    for callback in rows.callbacks:
        run = runs.get((callback.vendor, callback.job_id))
        if callback.state != "ignored" or run is None or run.id not in accepted_at:
            continue
        named = rows.chains.get(callback.subject) == run.id or callback.subject == callback.job_id
        # One whose run knew its job only after that: tests/callbacks/test_two_processes.py.
        if named and accepted_at[run.id] < callback.received_at + KEPT_PARKED:
            yield f"{callback.id} was put aside, though {run.id} has its job {callback.job_id}"


def audio_that_nobody_needs_may_go(rows: Rows, here: Hammer) -> Iterator[str]:
    # Audio that came after its detection's end: tests/detections/test_audio_kept.py.
    late = {one.media_id for one in rows.detections if _ended_before_its_audio_came(one)}
    for media in rows.media:
        if media.delete_after is None and media.erased_at is None and media.id not in late:
            yield f"{media.id} is kept for ever"


def _ended_before_its_audio_came(one: Detection) -> bool:
    return bool(one.source_ended_at and one.completed_at and one.completed_at <= one.source_ended_at)


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
    callbacks_are_not_put_aside_while_their_run_knows_them,
    audio_that_nobody_needs_may_go,
    deliveries_end_and_are_one_for_each_event,
    *ANSWERS,
)


def broken(here: Hammer) -> list[str]:
    """Return what is wrong, in words; each line begins with the rule."""
    with here.database.reading() as session:
        rows = Rows(session)
    return [f"{rule.__name__}: {line}" for rule in RULES for line in rule(rows, here)]


def run_ends(session: Session) -> Counter[str]:
    """Return how the runs ended, to see that there was something of each."""
    runs = all_of(session, Run)
    return Counter(f"{run.state} {run.via or run.reason_code or ''}".strip() for run in runs)


def callback_ends(session: Session) -> Counter[str]:
    """Return what became of the callbacks."""
    return Counter(callback.state for callback in all_of(session, Callback))
