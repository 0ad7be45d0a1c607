"""The result a customer reads: one schema for every detector, JSON-ready, each field always there.

Not here: what is decided (`verdict`), one detector's part (`detector_result`), the short form (`summary`).
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from service.kit.clock import milliseconds_between, rfc3339
from service.verdicts.components import Components
from service.verdicts.cost import total_cost
from service.verdicts.detector_result import compose_detector
from service.verdicts.display import display_text
from service.verdicts.facts import DetectionFacts, RawEvent, ReviewFacts, RunFacts, TrackFacts
from service.verdicts.settle import settle
from service.verdicts.summary import summary
from service.verdicts.verdict import Decided
from service.verdicts.votes import RULE_VERSION

__all__ = [
    "SCHEMA_VERSION",
    "DetectionFacts",
    "RawEvent",
    "ReviewFacts",
    "RunFacts",
    "TrackFacts",
    "compose",
    "settle",
    "summary",
]

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

    `runs` stand in the order asked. A raw answer is named by its hash; whoever reads the result adds its body.
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
