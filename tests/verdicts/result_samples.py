"""Facts that results are composed of in the tests."""

from datetime import UTC, datetime, timedelta

from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Verdict, Via
from service.detectors.reading import (
    Attribution,
    Component,
    Engine,
    Reading,
    Refs,
    Score,
    Segment,
    SubModel,
)
from service.verdicts.facts import DetectionFacts, RawEvent, RunFacts, TrackFacts
from service.verdicts.votes import Rule

START = datetime(2026, 11, 20, 23, 41, 0, 123_000, UTC)
END = START + timedelta(seconds=42)

RESULT_KEYS = (
    "id revision supersedes mode schema_version links external_id metadata declared track status verdict "
    "outcome_reason display agreement votes components attribution review decision conflicts detectors totals "
    "created_at completed_at"
)
DETECTOR_KEYS = (
    "run_id detector vendor tier engine status reason_code reason_text retryable verdict verdict_raw "
    "verdict_derived kind score confidence components content attribution segments sub_models reasons refs "
    "obtained timing cost waiting_for next_look_at deadline_at possible_duplicate_charge raw raw_events extras"
)
INNER_KEYS = {
    "links": "self full timeline",
    "track": "media_id filename audio_sha256 duration_ms bytes source",
    "votes": "ai no_ai abstained no_answer",
    "components": "vocals instrumental composition engineering",
    "attribution": "family version agreement candidates",
    "review": "required reasons state decision decided_by decided_at note",
    "decision": "rule quorum detectors_expected rule_version",
    "totals": "cost wall_ms detectors_called from_cache",
}
DETECTOR_INNER_KEYS = {
    "engine": "name version",
    "refs": "job_id request_id other",
    "obtained": "via authenticity confirmed_by_fetch callbacks_seen duplicates",
    "timing": "submitted_at vendor_submitted_at vendor_completed_at received_at ended_at vendor_ms wall_ms",
    "cost": "amount currency basis billed",
}

DETECTION = DetectionFacts(
    id="det_1",
    mode="live",
    rule=Rule.CONSENSUS,
    quorum=1,
    detectors_expected=["asc", "pex"],
    created_at=START,
    completed_at=END,
    source="url",
    external_id="catalogue-42",
    metadata={"isrc": "X"},
    declared={"ai": False},
    track=TrackFacts("med_1", "song.mp3", "ab" * 32, 1000, 210_000),
)
ASC = RunFacts(
    run_id="run_1",
    detector="asc",
    vendor="asc",
    status=RunStatus.SUCCEEDED,
    reading=Reading(
        status=RunStatus.SUCCEEDED,
        verdict=Verdict.AI_GENERATED,
        verdict_raw="ai",
        engine=Engine(version="v6"),
        score=Score(value=93, min=0, max=100, semantics="ai_likelihood", polarity="ai_high"),
        reasons=["steady phase"],
        refs=Refs(request_id="r-1", other={"certificate": "c"}),
        vendor_completed_at=END,
        vendor_ms=900,
        segments=[Segment(index=0)],
        sub_models=[SubModel(id="m")],
        extras={"surplus": END},
        components={"vocals": Component(verdict=Verdict.AI_GENERATED)},
        attribution=Attribution(raw_label="suno_v5", family="suno", version="5"),
    ),
    submitted_at=START + timedelta(seconds=1),
    received_at=START + timedelta(seconds=3),
    ended_at=START + timedelta(seconds=4),
    via=Via.POLL,
    authenticity=Authenticity.TLS_FETCH,
    raw_sha256="cd" * 32,
    raw_content_type="application/json",
    raw_events=[RawEvent("cd" * 32, START, Via.CALLBACK)],
    refs=Refs(job_id="j-1"),
)
PEX = RunFacts(
    run_id="run_2",
    detector="pex",
    vendor="pex",
    status=RunStatus.NOT_APPLICABLE,
    reason_code=ReasonCode.TOO_SHORT,
    reason_text="track too short",
)
