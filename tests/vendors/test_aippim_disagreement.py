"""AIPPIM's models against its own final result: what is doubted, what is only reported."""

from typing import Any

import pytest

from service.detectors.words import ConflictKind, Verdict
from tests.vendors.aippim_answers import binary, finished, model, read, three_class

AI, NO_AI, UNSURE = Verdict.AI_GENERATED, Verdict.NO_AI_DETECTED, Verdict.INCONCLUSIVE
LABELS = ["real", "suno_v4", "suno_v5", "other"]


def source(label: str, labels: list[str] | None = None) -> dict[str, Any]:
    return model(label, "Detailed Fake Source Classification", labels or LABELS)


def result(final: object, members: list[dict[str, Any]]) -> dict[str, object]:
    return finished({"a.mp3": {"final_result": {"prediction": final, "confidence": 0.9}, "model_results": members}})


@pytest.mark.parametrize(
    ("final", "members", "verdict", "conflicts"),
    [
        ("real", [binary("fake")] * 4, UNSURE, 1),
        ("real", [binary("FAKE "), binary(" Fake")], UNSURE, 1),
        ("real", [binary("real"), three_class("fake"), three_class("fake"), source("suno_v4")], UNSURE, 1),
        ("real", [binary("real"), three_class("Ai_Cover")], UNSURE, 1),
        ("real", [binary("fake"), three_class("ai_cover")], UNSURE, 1),
        ("real", [model("fake"), model("fake")], UNSURE, 1),
        ("real", [binary("real"), source("suno_v4")], NO_AI, 1),
        ("real", [binary("fake"), binary("real")], NO_AI, 0),
        ("real", [binary("real"), three_class("real"), source("real")], NO_AI, 0),
        ("real", [binary("real"), source("suno", ["suno", "udio"])], NO_AI, 0),
        ("fake", [binary("real"), binary("real"), three_class("real")], AI, 1),
        ("fake", [binary("real"), three_class("fake")], AI, 0),
        ("fake", [source("real")], AI, 0),
    ],
)
def test_no_ai_against_its_own_models_is_doubted_and_ai_keeps_its_word(
    final: str, members: list[dict[str, Any]], verdict: Verdict, conflicts: int
) -> None:
    found = read(result(final, members))
    assert (found.verdict, found.verdict_raw, found.verdict_derived) == (verdict, final, verdict is UNSURE)
    assert [each.kind for each in found.conflicts] == [ConflictKind.VENDOR_INTERNAL] * conflicts
    trusting = read(result(final, members), doubt=False)
    assert (trusting.verdict, trusting.verdict_derived) == (AI if final == "fake" else NO_AI, False)
    assert trusting.conflicts == found.conflicts


def test_what_models_say_of_segments_contradicts_nothing() -> None:
    parts = {"segment_analysis": {"prediction": ["fake", "fake"], "confidence": [0.9, 0.9]}}
    found = read(result("real", [binary("real") | parts]))
    assert (found.verdict, found.conflicts) == (NO_AI, [])


def test_where_the_real_or_fake_models_make_the_verdict_another_that_hears_fake_is_only_reported() -> None:
    found = read(finished({"a.mp3": [binary("real"), three_class("fake")]}))
    assert (found.verdict, found.verdict_derived) == (NO_AI, True)
    assert [each.kind for each in found.conflicts] == [ConflictKind.VENDOR_INTERNAL]


def test_a_pass_without_any_model_is_not_taken_while_their_contradiction_would_be_doubted() -> None:
    final = {"final_result": {"prediction": "real", "confidence": 0.9}}
    lacking: list[dict[str, Any]] = [{}, {"model_results": None}, {"model_results": []}, {"model_results": "none"}]
    for more in lacking:
        body = finished({"a.mp3": {**final, **more}})
        assert read(body).verdict is None
        assert read(body, doubt=False).verdict is NO_AI
    assert read(result("fake", [])).verdict is AI
