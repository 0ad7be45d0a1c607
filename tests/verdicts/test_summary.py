"""The short form: what webhooks and lists carry."""

import copy
import json
from dataclasses import replace

import pytest

from service.detectors.enums import ConflictKind, RunStatus, Verdict
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
)
from service.verdicts.facts import RunFacts, TrackFacts
from service.verdicts.result import compose
from service.verdicts.summary import summary
from tests.verdicts.result_samples import (
    ASC,
    DETECTION,
    PEX,
    RESULT_KEYS,
)

LEFT_OUT = {"segments", "sub_models", "raw", "raw_events", "extras", "next_look_at", "deadline_at"}


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
