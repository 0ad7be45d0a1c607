"""What must hold of a `Life` whatever happened, in whatever order."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from service.detectors.reading import Reading
from service.events.types import EventType
from service.runs.inputs import CallbackEnd, Input, VendorAccepted, VendorAnswer
from service.runs.state.lifecycle import RUN, CallbackState, RunState
from service.verdicts.verdict import DetectionStatus
from tests.runs.values import Life, Outcome


def faults(life: Life) -> Iterator[str]:
    """Yield what is wrong."""
    yield from _faults_of_revisions(life)
    yield from _faults_of_ends(life)
    yield from _faults_of_money(life)
    yield from _faults_of_answers(life)
    yield from (f"{before} cannot become {after}" for before, after in life.moves if after not in _REACHED[before])


def _faults_of_revisions(life: Life) -> Iterator[str]:
    for detection in life.detections.values():
        numbers = [row.n for row in life.revisions if row.detection_id == detection.id]
        if numbers != list(range(1, detection.revision + 1)):
            yield f"{detection.id} has the revisions {numbers}, and says {detection.revision}"
        told = [each.revision for each in life.drafts if each.final and each.detection_id == detection.id]
        if told != numbers:
            yield f"{detection.id} has the revisions {numbers}, and final events of {told}"
        firsts = [each for each in life.drafts if each.final and each.detection_id == detection.id][:1]
        if any(each.type is EventType.DETECTION_REVISED for each in firsts):
            yield f"{detection.id} is revised before it has ended"
    for row in life.revisions:
        if json.loads(row.result)["status"] != row.status:
            yield f"revision {row.n} of {row.detection_id} says another status than its result"


def _faults_of_ends(life: Life) -> Iterator[str]:
    for detection in life.detections.values():
        runs = [r for r in life.runs.values() if (r.detection_id, r.round) == (detection.id, detection.round)]
        all_ended = all(RunState(run.state).ended for run in runs)
        if all_ended != DetectionStatus(detection.status).ended or all_ended != (detection.completed_at is not None):
            yield f"{detection.id} is {detection.status}, its runs {[run.state for run in runs]}"
    for run in life.runs.values():
        state = RunState(run.state)
        if state.ended != (run.ended_at is not None):
            yield f"{run.id} is {state}, and ended at {run.ended_at}"
        if state.ended and state is not RunState.TIMED_OUT and (run.due_at or run.lease_token):
            yield f"{run.id} is {state}, and still somebody's or due"
        if not state.ended and state not in (RunState.SOURCING, RunState.RESERVED) and run.due_at is None:
            yield f"{run.id} is {state}, and never due again"


def _faults_of_money(life: Life) -> Iterator[str]:
    """A submission that may have been paid for is made again only where that is marked."""
    unmarked = Counter(row.run_id for row in life.ledger if row.kind == "charge")
    yield from (f"{run_id} was submitted {count} times unmarked" for run_id, count in unmarked.items() if count > 1)
    for run_id, rows in groupby(sorted(life.ledger, key=lambda row: row.run_id), key=lambda row: row.run_id):
        if len(list(rows)) > 1 and not life.runs[run_id].resubmitted:
            yield f"{run_id} was submitted twice, and does not say so"


def _faults_of_answers(life: Life) -> Iterator[str]:
    kept = {row.body_sha256 for row in life.seen}
    gone = {detection.id for detection in life.detections.values() if detection.erased_at is not None}
    erased_runs = {run.id for run in life.runs.values() if run.detection_id in gone}
    for each in life.outcomes:
        raw = _answer_in(each)
        if (
            raw is not None
            and hashlib.sha256(raw).hexdigest() not in kept
            and _run_of(each.happened) not in erased_runs
        ):
            yield f"{type(each.happened).__name__} brought {raw!r}, and nobody kept it"
    for row in life.seen:
        if row.run_id in erased_runs and (row.reading or row.reason_text):
            yield f"{row.run_id} is erased, and the vendor's words are kept"
    if any(row.owner_id in erased_runs for row in life.bodies):
        yield "a run is erased, and the vendor's bytes are kept"
    yield from (
        f"{run.id} decided by look {run.observation_n}, which is not there"
        for run in life.runs.values()
        if run.observation_n and not any((row.run_id, row.n) == (run.id, run.observation_n) for row in life.seen)
    )


def _answer_in(each: Outcome) -> bytes | None:
    """The bytes of an answer that must be kept: a job, or an end. A callback that is no run's is kept by itself."""
    happened, end = each.happened, each.outcome
    if isinstance(happened, VendorAccepted) and happened.attempt.raw is not None:
        return happened.attempt.raw.body
    if isinstance(end, CallbackEnd) and (end.erase or end.state not in (CallbackState.APPLIED, CallbackState.LATE)):
        return None
    heard = getattr(happened, "answer", None)
    told = isinstance(heard, VendorAnswer) and isinstance(heard.parsed, Reading) and heard.parsed.claims_an_end
    return heard.raw.body if told and isinstance(heard, VendorAnswer) else None


def _run_of(happened: Input) -> str | None:
    return getattr(happened, "run_id", None)


def _reached() -> dict[RunState, set[RunState]]:
    """From each state those that one input may lead to: a rule may make several moves of the table."""
    reached = {state: {after for (before, _), after in RUN.table.items() if before is state} for state in RunState}
    for _ in RunState:
        reached = {state: ends.union(*(reached[each] for each in ends)) for state, ends in reached.items()}
    return reached


_REACHED = _reached()
