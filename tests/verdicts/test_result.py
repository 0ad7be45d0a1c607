"""What a customer reads: every field, in order, JSON-ready; and a short form that stays short."""

import json
from dataclasses import replace
from typing import Any

import pytest

from service.detectors.enums import Kind, ReasonCode, RunStatus, Verdict, Via
from service.detectors.reading import (
    Reading,
)
from service.verdicts.display import display_text
from service.verdicts.facts import ReviewFacts, RunFacts
from service.verdicts.result import compose
from service.verdicts.verdict import decide_cancelled, settle
from service.verdicts.votes import OutcomeReason
from tests.verdicts.result_samples import (
    ASC,
    DETECTION,
    DETECTOR_INNER_KEYS,
    DETECTOR_KEYS,
    END,
    INNER_KEYS,
    PEX,
    RESULT_KEYS,
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
