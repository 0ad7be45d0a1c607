"""Facts of runs: sent, asked, seen, ended. From rows to facts, pure."""

import json
from collections.abc import Iterable
from typing import Any

from service.detections.lifecycle import RunState
from service.detections.models import Observation, Run
from service.detections.votes import Rule
from service.detectors.words import Via
from service.timeline.fact import Fact
from service.timeline.waits import Span


def run_facts(run: Run, rule: str) -> Iterable[Fact]:
    """How the run came, left and ended."""
    yield _begun(run, rule)
    if submitted := _submitted(run):
        yield submitted
    if run.ended_at is not None:
        ending = {
            "detector": run.detector,
            "status": RunState(run.state).status.value,
            "reason_code": run.reason_code,
            "reason_text": run.reason_text,
            "via": run.via,
            "confirmed_by_fetch": run.confirmed_by_fetch,
            "polls": run.polls,
            "confirmations": run.confirmations,
        }
        yield Fact(run.ended_at, "run.ended", f"{run.id}/ended/{run.state}", run.id, ending)


def at_vendor(run: Run) -> Span | None:
    """From the submission to the answer, or to the end; `None` for a run that never left."""
    left = run.submit_started_at or run.submitted_at
    return (left, run.answered_at or run.ended_at) if left is not None else None


def observed(run_id: str, rows: Iterable[Observation]) -> Iterable[Fact]:
    """What was seen of the run; where we had asked, that too. A poll that brought no answer is only counted."""
    for row in rows:
        asked = _asked(row)
        if asked is not None:
            yield Fact(row.at, asked, f"{run_id}/asked/{row.n}", run_id, {"http_status": row.http_status})
        told = {
            "via": row.via,
            "effect": row.effect,
            **_said(row.reading),
            "refusal": row.refusal,
            "callback_id": row.callback_id,
        }
        yield Fact(row.at, "run.observed", f"{run_id}/observed/{row.n}", run_id, told)


def _begun(run: Run, rule: str) -> Fact:
    """Queued; a run behind a cascade's first is reserved, and when its turn came is seen by its submission."""
    kind = "run.reserved" if rule == Rule.CASCADE.value and run.place > 0 else "run.queued"
    return Fact(run.created_at, kind, f"{run.id}/begun", run.id, {"detector": run.detector, "round": run.round})


def _submitted(run: Run) -> Fact | None:
    at = run.submitted_at or run.submit_started_at
    in_flight = run.state == RunState.QUEUED.value and run.submitted_at is None
    if at is None or in_flight:
        return None  # what is in flight may yet turn out not to have left
    told = {
        "detector": run.detector,
        "prepared_ref": run.prepared_ref,
        "job_id": run.vendor_job_id,
        "tries": run.submit_tries,
        "outcome": "unknown" if run.state == RunState.UNKNOWN.value else "taken",
        "possible_duplicate_charge": run.resubmitted,
    }
    return Fact(at, "run.submitted", f"{run.id}/submitted/{told['outcome']}", run.id, told)


def _asked(row: Observation) -> str | None:
    if row.via == Via.POLL.value:
        return "run.polled"
    # A callback's own look names it; one without was our fetch, because of a callback.
    return "run.confirmed" if row.via == Via.CALLBACK.value and row.callback_id is None else None


def _said(reading: str | None) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(reading) if reading else {}
    return {name: said.get(name) for name in ("status", "verdict", "verdict_raw")}
