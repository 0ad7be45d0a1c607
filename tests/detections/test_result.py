"""What a customer reads: every field, in order, JSON-ready; and a short form that stays short."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.detections.display import display_text
from service.detections.result import (
    DetectionFacts,
    RawEvent,
    ReviewFacts,
    RunFacts,
    TrackFacts,
    compose,
    settle,
    summary,
)
from service.detections.verdict import OutcomeReason, Rule, decide_cancelled
from service.detectors.reading import (
    Alternative,
    Attribution,
    Component,
    Confidence,
    Conflict,
    Content,
    Engine,
    Reading,
    Refs,
    Score,
    Segment,
    SubModel,
)
from service.detectors.words import Authenticity, ConflictKind, Kind, ReasonCode, RunStatus, Verdict, Via

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
    "obtained timing cost waiting_for possible_duplicate_charge raw raw_events extras"
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


def test_every_field_is_there_in_its_order() -> None:
    full = compose(DETECTION, [ASC, PEX])
    assert " ".join(full) == RESULT_KEYS
    assert {name: " ".join(full[name]) for name in INNER_KEYS} == INNER_KEYS
    for entry in full["detectors"]:
        assert " ".join(entry) == DETECTOR_KEYS
        assert {name: " ".join(entry[name]) for name in DETECTOR_INNER_KEYS} == DETECTOR_INNER_KEYS


def test_the_same_fields_stand_in_an_empty_result() -> None:
    waiting = replace(DETECTION, track=None, completed_at=None, declared=None, external_id=None)
    full = compose(waiting, [])
    assert " ".join(full) == RESULT_KEYS
    assert {name: " ".join(full[name]) for name in INNER_KEYS} == INNER_KEYS
    assert full["track"]["source"] == "url"
    assert (full["status"], full["declared"]) == ("queued", None)


def test_a_result_survives_json_unchanged() -> None:
    full = compose(DETECTION, [ASC, PEX])
    assert json.loads(json.dumps(full, allow_nan=False)) == full


def test_a_result_says_what_was_asked_and_found() -> None:
    full = compose(DETECTION, [ASC, PEX], base_url="https://relay.example/")
    assert full["links"] == {
        "self": "https://relay.example/v1/detections/det_1",
        "full": "https://relay.example/v1/detections/det_1?detail=full",
        "timeline": "https://relay.example/v1/detections/det_1/timeline",
    }
    assert (full["status"], full["verdict"], full["agreement"]) == ("completed_partial", "ai_generated", "single")
    assert full["display"] == "1 of 2 detectors reports AI-generated music"
    assert full["components"]["vocals"] == {"verdict": "ai_generated", "detectors": ["asc"]}
    assert full["attribution"] == {
        "family": "suno",
        "version": "5",
        "agreement": "single",
        "candidates": [{"detector": "asc", "raw_label": "suno_v5", "family": "suno", "version": "5", "score": None}],
    }
    assert full["conflicts"] == [{"kind": "declared_vs_detected", "detail": "declared no AI, detected ai_generated"}]
    assert full["decision"] == {
        "rule": "consensus", "quorum": 1, "detectors_expected": ["asc", "pex"], "rule_version": "1"
    }  # fmt: skip
    assert full["totals"] == {"cost": [], "wall_ms": 42_000, "detectors_called": 1, "from_cache": False}
    assert (full["created_at"], full["completed_at"]) == ("2026-11-20T23:41:00.123Z", "2026-11-20T23:41:42.123Z")


def test_a_detector_says_how_its_answer_was_had() -> None:
    asc = compose(DETECTION, [ASC, PEX])["detectors"][0]
    assert (asc["verdict"], asc["verdict_raw"], asc["score"]["value"]) == ("ai_generated", "ai", 93)
    assert asc["obtained"]["via"] == "poll"
    assert asc["obtained"]["authenticity"] == "tls_fetch"
    assert asc["timing"]["wall_ms"] == 2000
    assert asc["timing"]["received_at"] == "2026-11-20T23:41:03.123Z"
    assert asc["refs"] == {"job_id": "j-1", "request_id": "r-1", "other": {"certificate": "c"}}
    assert asc["raw"] == {"sha256": "cd" * 32, "content_type": "application/json"}
    assert asc["raw_events"] == [{"sha256": "cd" * 32, "received_at": "2026-11-20T23:41:00.123Z", "via": "callback"}]
    assert asc["cost"] == {"amount": None, "currency": None, "basis": "unknown", "billed": None}


def test_a_detector_without_an_answer_says_why_and_claims_no_number() -> None:
    pex = compose(DETECTION, [ASC, PEX])["detectors"][1]
    assert (pex["status"], pex["reason_code"], pex["reason_text"]) == (
        "not_applicable",
        "too_short",
        "track too short",
    )
    for name in ("verdict", "verdict_raw", "kind", "score", "confidence", "content", "attribution", "raw"):
        assert pex[name] is None
    assert (pex["timing"]["wall_ms"], pex["verdict_derived"]) == (None, False)


def test_an_inconclusive_answer_keeps_the_vendors_reason() -> None:
    reading = Reading(
        status=RunStatus.SUCCEEDED, verdict=Verdict.INCONCLUSIVE, reason_code=ReasonCode.LOW_MUSIC_CONTENT
    )
    entry = compose(DETECTION, [replace(PEX, status=RunStatus.SUCCEEDED, reason_code=None, reading=reading)])
    assert entry["detectors"][0]["reason_code"] == "low_music_content"


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.RUNNING, RunStatus.TIMED_OUT, RunStatus.SKIPPED])
def test_a_claim_that_was_not_accepted_is_not_shown(status: RunStatus) -> None:
    entry = compose(DETECTION, [replace(ASC, status=status)])["detectors"][0]
    assert (entry["verdict"], entry["verdict_raw"], entry["score"], entry["segments"]) == (None, None, None, [])
    assert entry["refs"]["job_id"] == "j-1"


def test_a_failed_run_shows_the_vendors_word_and_no_verdict() -> None:
    reading = Reading(
        status=RunStatus.FAILED,
        reason_code=ReasonCode.UNKNOWN_VERDICT,
        verdict=Verdict.NO_AI_DETECTED,
        verdict_raw="perhaps",
        verdict_derived=True,
        kind=Kind.AI_VOCALS,
    )
    entry = compose(DETECTION, [replace(ASC, status=RunStatus.FAILED, reading=reading)])["detectors"][0]
    assert (entry["verdict"], entry["verdict_derived"], entry["kind"]) == (None, False, None)
    assert (entry["verdict_raw"], entry["reason_code"]) == ("perhaps", "unknown_verdict")


@pytest.mark.parametrize(
    ("second", "status"), [(RunStatus.RUNNING, "running"), (RunStatus.PENDING, "running"), (None, "queued")]
)
def test_before_the_end_nothing_is_guessed(second: RunStatus | None, status: str) -> None:
    first = ASC if second is not None else replace(ASC, status=RunStatus.PENDING)
    full = compose(DETECTION, [first, replace(PEX, status=second or RunStatus.PENDING)])
    assert full["status"] == status
    for name in ("verdict", "outcome_reason", "display", "completed_at"):
        assert full[name] is None
    assert (full["agreement"], full["totals"]["wall_ms"]) == ("none", None)
    assert [entry["detector"] for entry in full["detectors"]] == ["asc", "pex"]


def test_a_source_that_failed_ends_the_detection() -> None:
    lost = replace(DETECTION, source_failure=OutcomeReason.SOURCE_UNREACHABLE, track=None)
    full = compose(lost, [replace(PEX, status=RunStatus.SKIPPED, reason_code=ReasonCode.SOURCE_UNREACHABLE)])
    assert (full["status"], full["verdict"], full["outcome_reason"]) == (
        "failed",
        "not_analyzed",
        "source_unreachable",
    )
    assert full["display"] == "not scanned: source could not be fetched"


def test_a_cancelled_detection_is_settled_as_such() -> None:
    runs = [ASC, replace(PEX, status=RunStatus.RUNNING)]
    full = compose(DETECTION, runs, settle(DETECTION, runs, cancelled=True))
    assert (full["status"], full["verdict"], full["outcome_reason"]) == ("cancelled", "not_analyzed", "cancelled")
    assert full["display"] == "not scanned: cancelled"
    assert settle(DETECTION, runs, cancelled=True) == decide_cancelled([run.part for run in runs])


@pytest.mark.parametrize(("revision", "supersedes"), [(1, None), (2, 1), (3, 2)])
def test_a_later_revision_names_the_one_it_supersedes(revision: int, supersedes: int | None) -> None:
    assert compose(replace(DETECTION, revision=revision), [ASC])["supersedes"] == supersedes


@pytest.mark.parametrize("declared", [None, {}, {"ai": None}, {"ai": "no"}])
def test_no_declaration_contradicts_nothing(declared: dict[str, Any] | None) -> None:
    assert compose(replace(DETECTION, declared=declared), [ASC])["conflicts"] == []


def test_reused_answers_are_nothing_called_and_an_unneeded_run_is_no_obstacle() -> None:
    unneeded = replace(PEX, status=RunStatus.SKIPPED, reason_code=ReasonCode.FALLBACK_NOT_NEEDED)
    totals = compose(DETECTION, [replace(ASC, reused=True, via=Via.REUSE), unneeded])["totals"]
    assert (totals["from_cache"], totals["detectors_called"]) == (True, 0)
    assert compose(DETECTION, [replace(ASC, reused=True), PEX])["totals"]["from_cache"] is False


def test_a_review_is_open_until_a_person_decides_and_edits_no_vote() -> None:
    no = replace(ASC, run_id="run_3", detector="x", vendor="x", reading=Reading.model_validate(
        {"status": "succeeded", "verdict": "no_ai_detected"}
    ))  # fmt: skip
    opened = compose(DETECTION, [ASC, no])
    assert (opened["review"]["state"], opened["review"]["reasons"]) == ("open", ["detector_disagreement"])
    assert opened["display"] == "detectors disagree, under review"
    person = ReviewFacts("ai_generated", "ana", END, "heard it")
    closed = compose(DETECTION, [ASC, no], review=person)
    assert closed["review"] == {
        "required": True,
        "reasons": ["detector_disagreement"],
        "state": "decided",
        "decision": "ai_generated",
        "decided_by": "ana",
        "decided_at": "2026-11-20T23:41:42.123Z",
        "note": "heard it",
    }
    assert closed["display"] == "detectors disagree, reviewed"
    assert (closed["votes"], closed["verdict"]) == (opened["votes"], opened["verdict"])
    assert compose(DETECTION, [ASC])["review"]["state"] == "none"


def run_saying(word: str, place: int) -> RunFacts:
    run = replace(PEX, run_id=f"run_{place}", detector=f"d{place}", vendor=f"d{place}", reason_text=None)
    if word == "error":
        return replace(run, status=RunStatus.FAILED, reason_code=ReasonCode.VENDOR_ERROR)
    if word == "silent":
        return replace(run, reason_code=ReasonCode.NOT_ENOUGH_MUSIC)
    if word == "too_short":
        return run
    reading = Reading.model_validate({"status": "succeeded", "verdict": word})
    return replace(run, status=RunStatus.SUCCEEDED, reason_code=None, reading=reading)


@pytest.mark.parametrize(
    ("words", "quorum", "text"),
    [
        ("ai_generated ai_generated", 1, "2 of 2 detectors report AI-generated music"),
        ("ai_generated", 1, "1 of 1 detector reports AI-generated music"),
        ("ai_partial ai_partial", 1, "2 of 2 detectors report partly AI-generated music"),
        ("no_ai_detected no_ai_detected", 1, "no AI detected by 2 of 2 (not proof of human authorship)"),
        ("no_ai_detected error", 1, "no AI detected by 1 of 2 (not proof of human authorship)"),
        ("ai_generated no_ai_detected", 1, "detectors disagree, under review"),
        ("ai_generated error", 2, "only 1 of 2 gave a vote, not enough to decide, under review"),
        ("inconclusive", 1, "no detector could tell, under review"),
        ("too_short", 1, "not scanned: file too short"),
        ("too_short silent too_short", 1, "not scanned: file too short, not enough music"),
        ("too_short error", 1, "not scanned: no detector answered"),
    ],
)
def test_the_sentence_for_people_counts_and_never_says_human_made(words: str, quorum: int, text: str) -> None:
    runs = [run_saying(word, place) for place, word in enumerate(words.split())]
    assert display_text(settle(replace(DETECTION, quorum=quorum), runs)) == text


LEFT_OUT = {"segments", "sub_models", "raw", "raw_events", "extras"}


def test_a_summary_leaves_out_the_long_fields_and_changes_nothing_else() -> None:
    full = compose(DETECTION, [ASC, PEX])
    before = copy.deepcopy(full)
    short = summary(full)
    assert full == before
    assert " ".join(short) == RESULT_KEYS
    assert {key: value for key, value in short.items() if key != "detectors"} == {
        key: value for key, value in full.items() if key != "detectors"
    }
    for entry, whole in zip(short["detectors"], full["detectors"], strict=True):
        assert entry == {key: value for key, value in whole.items() if key not in LEFT_OUT}


def test_a_summary_keeps_twenty_reasons_of_two_hundred_characters() -> None:
    assert ASC.reading is not None
    wordy = ASC.reading.model_copy(update={"reasons": ["r" * 300] * 30})
    (entry,) = summary(compose(DETECTION, [replace(ASC, reading=wordy, reason_text="t" * 900)]))["detectors"]
    assert [len(reason) for reason in entry["reasons"]] == [200] * 20
    assert len(entry["reason_text"]) == 500


def test_one_detectors_part_can_be_shortened_alone() -> None:
    full = compose(DETECTION, [ASC, PEX])
    assert summary({"detectors": full["detectors"][:1]}) == {"detectors": summary(full)["detectors"][:1]}


def hostile(place: int, letter: str) -> RunFacts:
    """A run whose every open text is as long and as many as a vendor could send."""
    long = letter * 50_000
    many = [f"{i}{long}" for i in range(40)]
    reading = Reading(
        status=RunStatus.SUCCEEDED,
        verdict=Verdict.AI_GENERATED,
        verdict_raw=long,
        reason_text=long,
        tier=long,
        engine=Engine(name=long, version=long),
        score=Score(value=0.1234567890123456, min=0, max=1, semantics="ai_likelihood", polarity="ai_high"),
        confidence=Confidence(value=0.5, label=long, semantics="label"),
        components={name: Component(verdict=Verdict.AI_GENERATED, confidence_semantics=long) for name in many},
        content=Content(vocal_pct=1, instrumental_pct=2, silence_pct=3, duration_ms=4),
        attribution=Attribution(
            raw_label=long,
            family=f"{place}{long}",
            version=long,
            score=1,
            alternatives=[Alternative(raw_label=name, score=1) for name in many],
        ),
        segments=[Segment(index=i, source=long) for i in range(40)],
        reasons=many,
        refs=Refs(job_id=long, request_id=long, other=dict.fromkeys(many, long)),
        conflicts=[Conflict(kind=ConflictKind.VENDOR_INTERNAL, detail=long)] * 40,
        extras=dict.fromkeys(many, long),
    )
    return replace(ASC, detector=f"vendor-{place}/standard", vendor=f"v{place}", reading=reading)


@pytest.mark.parametrize("letter", ["a", "é", "語", "\U0001f3b5", "\x01", '"'])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_summary_of_four_hostile_detectors_stays_under_twenty_kilobytes(letter: str, escaped: bool) -> None:
    room = 2000 // (len(json.dumps(letter, ensure_ascii=False).encode()) - 2)
    detection = replace(
        DETECTION,
        metadata={"m": letter * room},
        external_id=letter * 255,
        track=TrackFacts("med_1", letter * 50_000, "ab" * 32, 1, 1),
    )
    short = summary(compose(detection, [hostile(place, letter) for place in range(4)]))
    event = {"type": "detection.completed", "timestamp": "2026-11-20T23:41:00.123Z", "data": short}
    assert len(json.dumps(event, ensure_ascii=escaped).encode()) < 20_000
    assert [entry["verdict"] for entry in short["detectors"]] == ["ai_generated"] * 4
    assert short["track"]["audio_sha256"] == "ab" * 32
