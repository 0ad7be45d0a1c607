"""Facts of runs: begun, submitted, polled, observed, ended; and the time at the vendor. From rows to facts, pure."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from service.detectors.answers import UNKNOWN_STATUS, unknown_status
from service.detectors.enums import ReasonCode, Via
from service.detectors.reading import Reading
from service.kit.clock import rfc3339, rfc3339_or_none
from service.runs.inputs import SubmissionOutcome, SubmissionStep
from service.runs.reporting.facts import PARTIAL, REREAD
from service.runs.state.lifecycle import RunState
from service.runs.state.models import Observation, Run
from service.timeline.fact import Fact, Span
from service.verdicts.votes import Rule


def run_facts(run: Run, rule: str) -> Iterable[Fact]:
    """Yield how the run began and ended."""
    yield _begun(run, rule)
    yield from _shared(run)
    if run.ended_at is not None:
        ending = {
            "status": RunState(run.state).status.value,
            "reason_code": run.reason_code,
            "reason_text": run.reason_text,
            "via": run.via,
            "confirmed_by_fetch": run.confirmed_by_fetch,
            "polls": run.polls,
            "confirmations": run.confirmations,
        }
        yield Fact(run.ended_at, "run.ended", f"{run.id}/ended/{run.state}", run.id, ending)


def observed(run_id: str, rows: Iterable[Observation]) -> Iterable[Fact]:
    """Yield the run's observations, and the polls before them. A poll that brought no answer is only counted."""
    for row in rows:
        if row.effect == PARTIAL:
            yield Fact(row.at, "run.windows", f"{run_id}/windows/{row.n}", run_id, _windows(row))
            continue
        kind = _request_kind(row)
        if kind is not None:
            yield Fact(row.at, kind, f"{run_id}/asked/{row.n}", run_id, {"http_status": row.http_status})
        data = {
            "via": row.via,
            "effect": row.effect,
            **_meaning(row),
            "callback_id": row.callback_id,
        }
        yield Fact(row.at, "run.observed", f"{run_id}/observed/{row.n}", run_id, data)


def _begun(run: Run, rule: str) -> Fact:
    """Return the beginning: queued, or reserved behind a cascade's first, whose turn its submission will show."""
    kind = "run.reserved" if rule == Rule.CASCADE.value and run.position > 0 else "run.queued"
    return Fact(run.created_at, kind, f"{run.id}/begun", run.id, {"round": run.round})


def _shared(run: Run) -> Iterable[Fact]:
    """Yield that another run asked, or had asked, the same."""
    refs: dict[str, str] = json.loads(run.refs_json)
    if run.followed_at is not None:
        data = {"leader": refs.get("followed_run_id") or run.follows_run_id}
        yield Fact(run.followed_at, "run.following", f"{run.id}/following", run.id, data)
    if run.via == Via.REUSE.value and run.ended_at is not None:
        data = {"from_run_id": refs.get("reused_run_id")}
        yield Fact(run.ended_at, "run.reused", f"{run.id}/reused", run.id, data)


def _request_kind(row: Observation) -> str | None:
    if row.effect == REREAD:
        return None
    if row.via == Via.POLL.value:
        return "run.polled"
    # A callback's own look names it; one without was our fetch, because of a callback.
    return "run.confirmed" if row.via == Via.CALLBACK.value and row.callback_id is None else None


def _windows(row: Observation) -> dict[str, Any]:
    """Return a partial answer's windows of audio that the vendor has analysed by then, as a result has them."""
    reading = Reading.model_validate_json(row.reading) if row.reading else None
    return {"segments": [segment.model_dump(mode="json") for segment in reading.segments] if reading else []}


def _meaning(row: Observation) -> dict[str, Any]:
    """Return what it meant. A state that no document names counts as still running, and is shown with its reason."""
    reading: dict[str, Any] = json.loads(row.reading) if row.reading else {}
    word = unknown_status(reading.get("extras", {}))
    code, text = (None, None) if word is None else (ReasonCode.SCHEMA_MISMATCH.value, UNKNOWN_STATUS)
    return {
        **{name: reading.get(name) for name in ("status", "verdict", "verdict_raw")},
        "reason_code": row.refusal or reading.get("reason_code") or code,
        "reason_text": row.reason_text or reading.get("reason_text") or text,
        "unknown_status": word,
    }


_MAY_BE_ACCEPTED = (SubmissionOutcome.ACCEPTED.value, SubmissionOutcome.ANSWERED.value, SubmissionOutcome.UNKNOWN.value)
_STAYS = (SubmissionOutcome.ACCEPTED.value, SubmissionOutcome.UNKNOWN.value)
_IN_FLIGHT = "in_flight"


def submitted(run: Run, tries: Sequence[Observation]) -> Iterable[Fact]:
    """Yield each try, at the moment it left; the last one also while it is in flight, as a fact beside its outcome."""
    doubtful = False  # an earlier submission may have been taken
    for number, row in enumerate(tries, 1):
        submits = row.via == SubmissionStep.SUBMIT.value
        data = {
            "try": number,
            "step": row.via,
            "outcome": row.outcome,
            "http_status": row.http_status,
            "reason_code": row.refusal,
            "reason_text": row.reason_text,
            "retry_after_seconds": row.retry_after_seconds,
            "next_attempt_at": rfc3339_or_none(row.next_at),
            "prepared_ref": run.prepared_ref if submits else None,
            "job_id": run.vendor_job_id if row.outcome == SubmissionOutcome.ACCEPTED.value else None,
            "recorded_at": rfc3339(row.at),
            "possible_duplicate_charge": doubtful and row.outcome in _MAY_BE_ACCEPTED,
        }
        yield Fact(row.left_at or row.at, "run.submitted", f"{run.id}/submitted/{row.n}", run.id, data)
        doubtful |= submits and row.outcome == SubmissionOutcome.UNKNOWN.value
    if _is_unrecorded(run, tries):
        yield _unrecorded(run, len(tries) + 1)


def at_vendor(run: Run, tries: Sequence[Observation]) -> Iterable[Span]:
    """Yield when the vendor had work of this run: each request until its answer, and the work until it ended.

    What was accepted, or may have been, is there until the run's answer or end. What was not sent never was. The work
    for a run that this one followed was for this one too.
    """
    # An answer that was taken over may have come to us before this run was asked for.
    until = run.ended_at if run.via == Via.REUSE.value else run.answered_at or run.ended_at
    if run.followed_at is not None:
        yield run.followed_at, until
    for row in tries:
        if row.left_at is not None and row.outcome != SubmissionOutcome.NOT_SENT.value:
            stays = row.via == SubmissionStep.SUBMIT.value and row.outcome in _STAYS
            yield row.left_at, until if stays else row.at
    if run.submit_started_at is not None and _is_unrecorded(run, tries):
        yield run.submit_started_at, until


def _is_unrecorded(run: Run, tries: Sequence[Observation]) -> bool:
    """Return True if the latest submission has no row: it is in flight, or the run ended while it was."""
    known = {row.left_at for row in tries if row.via == SubmissionStep.SUBMIT.value}
    return run.submit_started_at is not None and run.submit_started_at not in known


def _unrecorded(run: Run, number: int) -> Fact:
    """Return what is known of a submission in flight, or of one whose answer came after the run's end."""
    outcome = _IN_FLIGHT
    if run.state != RunState.QUEUED.value:
        outcome = SubmissionOutcome.UNKNOWN.value if run.vendor_job_id is None else SubmissionOutcome.ACCEPTED.value
    data: dict[str, Any] = {
        "try": number,
        "step": SubmissionStep.SUBMIT.value,
        "outcome": outcome,
        "http_status": None,
        "reason_code": None,
        "reason_text": None,
        "retry_after_seconds": None,
        "next_attempt_at": None,
        "prepared_ref": run.prepared_ref,
        "job_id": run.vendor_job_id,
        "recorded_at": None,
        "possible_duplicate_charge": run.resubmitted,
    }
    # Its end is a fact of its own: a reader of the stream gets both.
    key = f"{run.id}/submitted/{outcome}/{number}" if outcome == _IN_FLIGHT else f"{run.id}/submitted/untold"
    return Fact(run.submit_started_at or run.created_at, "run.submitted", key, run.id, data)
