"""The result a customer reads: one schema for every detector, JSON-ready, each field always there, in a fixed order.

Not here: what is decided (`verdict`), the costs (`cost`), the short form (`summary`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel

from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.reading import Reading, Refs
from service.kit.clock import milliseconds_between, rfc3339, rfc3339_or_none
from service.verdicts.across_detectors import Components
from service.verdicts.cost import run_cost, total_cost
from service.verdicts.display import display_text
from service.verdicts.facts import DetectionFacts, ReviewFacts, RunFacts
from service.verdicts.verdict import Decided, settle
from service.verdicts.votes import RULE_VERSION

SCHEMA_VERSION = "1.0"


def compose(
    detection: DetectionFacts,
    runs: Sequence[RunFacts],
    decided: Decided | None = None,
    *,
    review: ReviewFacts | None = None,
    base_url: str = "",
) -> dict[str, Any]:
    """Return the full result of this revision. `decided` defaults to what `settle` makes of the runs.

    `runs` stand in the order asked. A raw answer is named by its hash; the reader of the result adds its body.
    """
    decided = decided or settle(detection, runs)
    return {
        **_identity(detection, base_url),
        "track": _track(detection),
        **_outcome(decided, reviewed=review is not None),
        "review": _review(decided, review),
        "decision": {
            "rule": detection.rule.value,
            "quorum": detection.quorum,
            "detectors_expected": list(detection.detectors_expected),
            "rule_version": RULE_VERSION,
        },
        "conflicts": [conflict.model_dump(mode="json") for conflict in decided.conflicts],
        "detectors": [compose_detector(run) for run in runs],
        "totals": _totals(detection, runs, decided),
        "created_at": rfc3339(detection.created_at),
        "completed_at": _completed_at(detection, decided),
    }


def _identity(detection: DetectionFacts, base_url: str) -> dict[str, Any]:
    path = f"{base_url.rstrip('/')}/v1/detections/{detection.id}"
    return {
        "id": detection.id,
        "revision": detection.revision,
        "supersedes": detection.revision - 1 if detection.revision > 1 else None,
        "mode": detection.mode,
        "schema_version": SCHEMA_VERSION,
        "links": {"self": path, "full": f"{path}?detail=full", "timeline": f"{path}/timeline"},
        "external_id": detection.external_id,
        "metadata": dict(detection.metadata),
        "declared": dict(detection.declared) if detection.declared is not None else None,
    }


def _track(detection: DetectionFacts) -> dict[str, Any]:
    track = detection.track
    return {
        "media_id": track.media_id if track else None,
        "filename": track.filename if track else None,
        "audio_sha256": track.audio_sha256 if track else None,
        "duration_ms": track.duration_ms if track else None,
        "bytes": track.bytes if track else None,
        "source": detection.source,
    }


def _outcome(decided: Decided, *, reviewed: bool) -> dict[str, Any]:
    reason = decided.outcome_reason
    attribution = asdict(decided.attribution)
    return {
        "status": decided.status.value,
        "verdict": decided.verdict.value if decided.verdict is not None else None,
        "outcome_reason": reason.value if reason is not None else None,
        "display": display_text(decided, reviewed=reviewed),
        "agreement": decided.agreement.value,
        "votes": asdict(decided.votes),
        "components": _components(decided.components),
        "attribution": {**attribution, "candidates": list(attribution["candidates"])},
    }


def _components(components: Components) -> dict[str, Any]:
    return {
        name: {"verdict": joint.verdict.value, "detectors": list(joint.detectors)} if joint else None
        for name, joint in components.items()
    }


def _review(decided: Decided, review: ReviewFacts | None) -> dict[str, Any]:
    required = bool(decided.review_reasons)
    state = "decided" if review is not None else ("open" if required else "none")
    return {
        "required": required,
        "reasons": list(decided.review_reasons),
        "state": state,
        "decision": review.decision if review else None,
        "decided_by": review.decided_by if review else None,
        "decided_at": rfc3339(review.decided_at) if review else None,
        "note": review.note if review else None,
    }


def _totals(detection: DetectionFacts, runs: Sequence[RunFacts], decided: Decided) -> dict[str, Any]:
    """`from_cache` is true only if nothing was asked anew: every run that was needed reused an answer."""
    needed = [run for run in runs if not run.part.sat_out]
    end = detection.completed_at if decided.status.ended else None
    return {
        "cost": total_cost(runs),
        "wall_ms": milliseconds_between(detection.asked_at or detection.created_at, end) if end is not None else None,
        "detectors_called": sum(run.submitted_at is not None and not run.reused for run in runs),
        "from_cache": bool(needed) and all(run.reused for run in needed),
    }


def _completed_at(detection: DetectionFacts, decided: Decided) -> str | None:
    at = detection.completed_at if decided.status.ended else None
    return rfc3339(at) if at is not None else None


_NOTHING = Reading(status=RunStatus.PENDING)
_ANSWERED = (RunStatus.SUCCEEDED, RunStatus.NOT_APPLICABLE, RunStatus.FAILED)


def compose_detector(run: RunFacts) -> dict[str, Any]:
    """Return what this detector contributed, or why it did not. A verdict stands only beside `succeeded`."""
    # Before the end, and after a timeout, a reading is a claim that was never accepted.
    reading = run.reading if run.reading is not None and run.status in _ANSWERED else _NOTHING
    return {
        "run_id": run.run_id,
        "detector": run.detector,
        "vendor": run.vendor,
        "tier": run.tier or reading.tier,
        "engine": _plain(reading.engine),
        "status": run.status.value,
        **_reason(run, reading),
        **_finding(run, reading),
        "score": _plain(reading.score),
        "confidence": _plain(reading.confidence),
        "components": {name: _plain(component) for name, component in reading.components.items()},
        "content": _plain(reading.content),
        "attribution": _plain(reading.attribution),
        "segments": _plain_list(reading.segments),
        "sub_models": _plain_list(reading.sub_models),
        "reasons": list(reading.reasons),
        "refs": _refs(run.refs, reading.refs),
        "obtained": _obtained(run),
        "timing": _timing(run, reading),
        "cost": run_cost(run),
        "waiting_for": run.waiting_for,
        "next_look_at": rfc3339_or_none(run.next_look_at),
        "deadline_at": rfc3339_or_none(run.deadline_at),
        "possible_duplicate_charge": run.possible_duplicate_charge,
        **_raw(run),
        "extras": reading.model_dump(mode="json", include={"extras"})["extras"],
    }


def _reason(run: RunFacts, reading: Reading) -> dict[str, Any]:
    code: ReasonCode | None = run.reason_code or reading.reason_code
    return {
        "reason_code": code.value if code is not None else None,
        "reason_text": run.reason_text or reading.reason_text,
        "retryable": run.retryable,
    }


def _finding(run: RunFacts, reading: Reading) -> dict[str, Any]:
    verdict = reading.verdict if run.status is RunStatus.SUCCEEDED else None
    known = verdict is not None
    return {
        "verdict": verdict.value if verdict is not None else None,
        "verdict_raw": reading.verdict_raw,
        "verdict_derived": known and reading.verdict_derived,
        "kind": reading.kind.value if known and reading.kind is not None else None,
    }


def _refs(recorded: Refs, reading: Refs) -> dict[str, Any]:
    """Return the references; what we recorded wins for the job's id, since it is the one we asked about."""
    return {
        "job_id": recorded.job_id or reading.job_id,
        "request_id": reading.request_id or recorded.request_id,
        "other": {**recorded.other, **reading.other},
    }


def _obtained(run: RunFacts) -> dict[str, Any]:
    return {
        "via": run.via.value if run.via is not None else None,
        "authenticity": run.authenticity.value if run.authenticity is not None else None,
        "confirmed_by_fetch": run.confirmed_by_fetch,
        "callbacks_seen": run.callbacks_seen,
        "duplicates": run.duplicates,
    }


def _timing(run: RunFacts, reading: Reading) -> dict[str, Any]:
    """Our own clock, and the vendor's beside it. `wall_ms` runs from the first submission that counts to the answer."""
    left_at, until = run.submitted_at, run.received_at
    wall = milliseconds_between(left_at, until) if left_at and until else None
    return {
        "submitted_at": rfc3339_or_none(run.submitted_at),
        "vendor_submitted_at": rfc3339_or_none(reading.vendor_submitted_at or run.vendor_submitted_at),
        "vendor_completed_at": rfc3339_or_none(reading.vendor_completed_at or run.vendor_completed_at),
        "received_at": rfc3339_or_none(run.received_at),
        "ended_at": rfc3339_or_none(run.ended_at),
        "vendor_ms": reading.vendor_ms,
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


def _plain(part: BaseModel | None) -> dict[str, Any] | None:
    return part.model_dump(mode="json") if part is not None else None


def _plain_list(parts: Sequence[BaseModel]) -> list[dict[str, Any]]:
    return [part.model_dump(mode="json") for part in parts]
