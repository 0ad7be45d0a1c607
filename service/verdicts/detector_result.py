"""One detector's part of a result, JSON-ready, every field present and in a fixed order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.reading import Reading, Refs
from service.kit.clock import milliseconds_between, rfc3339
from service.verdicts.cost import run_cost
from service.verdicts.facts import RunFacts

_NOTHING = Reading(status=RunStatus.PENDING)
_ANSWERED = (RunStatus.SUCCEEDED, RunStatus.NOT_APPLICABLE, RunStatus.FAILED)


def compose_detector(run: RunFacts) -> dict[str, Any]:
    """Return what this detector contributed, or why it did not. A verdict stands only beside `succeeded`."""
    # Before the end, and after a timeout, a reading is a claim that was never accepted.
    said = run.reading if run.reading is not None and run.status in _ANSWERED else _NOTHING
    return {
        "run_id": run.run_id,
        "detector": run.detector,
        "vendor": run.vendor,
        "tier": run.tier or said.tier,
        "engine": _plain(said.engine),
        "status": run.status.value,
        **_reason(run, said),
        **_finding(run, said),
        "score": _plain(said.score),
        "confidence": _plain(said.confidence),
        "components": {name: _plain(component) for name, component in said.components.items()},
        "content": _plain(said.content),
        "attribution": _plain(said.attribution),
        "segments": _plain_list(said.segments),
        "sub_models": _plain_list(said.sub_models),
        "reasons": list(said.reasons),
        "refs": _refs(run.refs, said.refs),
        "obtained": _obtained(run),
        "timing": _timing(run, said),
        "cost": run_cost(run),
        "waiting_for": run.waiting_for,
        "next_look_at": _time(run.next_look_at),
        "deadline_at": _time(run.deadline_at),
        "possible_duplicate_charge": run.possible_duplicate_charge,
        **_raw(run),
        "extras": said.model_dump(mode="json", include={"extras"})["extras"],
    }


def _reason(run: RunFacts, said: Reading) -> dict[str, Any]:
    code: ReasonCode | None = run.reason_code or said.reason_code
    return {
        "reason_code": code.value if code is not None else None,
        "reason_text": run.reason_text or said.reason_text,
        "retryable": run.retryable,
    }


def _finding(run: RunFacts, said: Reading) -> dict[str, Any]:
    verdict = said.verdict if run.status is RunStatus.SUCCEEDED else None
    known = verdict is not None
    return {
        "verdict": verdict.value if verdict is not None else None,
        "verdict_raw": said.verdict_raw,
        "verdict_derived": known and said.verdict_derived,
        "kind": said.kind.value if known and said.kind is not None else None,
    }


def _refs(recorded: Refs, said: Refs) -> dict[str, Any]:
    """Return the references; what we recorded wins for the job's id, since it is the one we asked about."""
    return {
        "job_id": recorded.job_id or said.job_id,
        "request_id": said.request_id or recorded.request_id,
        "other": {**recorded.other, **said.other},
    }


def _obtained(run: RunFacts) -> dict[str, Any]:
    return {
        "via": run.via.value if run.via is not None else None,
        "authenticity": run.authenticity.value if run.authenticity is not None else None,
        "confirmed_by_fetch": run.confirmed_by_fetch,
        "callbacks_seen": run.callbacks_seen,
        "duplicates": run.duplicates,
    }


def _timing(run: RunFacts, said: Reading) -> dict[str, Any]:
    """Our own clock, and the vendor's beside it. `wall_ms` runs from the first submission that counts to the answer."""
    left_at, until = run.submitted_at, run.received_at
    wall = milliseconds_between(left_at, until) if left_at and until else None
    return {
        "submitted_at": _time(run.submitted_at),
        "vendor_submitted_at": _time(said.vendor_submitted_at or run.vendor_submitted_at),
        "vendor_completed_at": _time(said.vendor_completed_at or run.vendor_completed_at),
        "received_at": _time(run.received_at),
        "ended_at": _time(run.ended_at),
        "vendor_ms": said.vendor_ms,
        "wall_ms": wall,
    }


def _raw(run: RunFacts) -> dict[str, Any]:
    stored = run.raw_sha256 is not None
    events = [
        {"sha256": event.sha256, "received_at": rfc3339(event.received_at), "via": event.via.value}
        for event in run.raw_events
    ]
    anchor = {"sha256": run.raw_sha256, "content_type": run.raw_content_type}
    return {"raw": anchor if stored else None, "raw_events": events}


def _time(at: datetime | None) -> str | None:
    return rfc3339(at) if at is not None else None


def _plain(part: BaseModel | None) -> dict[str, Any] | None:
    return part.model_dump(mode="json") if part is not None else None


def _plain_list(parts: Sequence[BaseModel]) -> list[dict[str, Any]]:
    return [part.model_dump(mode="json") for part in parts]
