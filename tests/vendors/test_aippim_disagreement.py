"""AIPPIM's models against its own final result: what is doubted, what is only reported."""

from typing import Any

import pytest

from service.detectors.enums import ConflictKind, ReasonCode, RunStatus, Verdict
from tests.vendors.aippim_answers import STANDARD, binary, finished, model, read, three_class
from tests.vendors.contract import sample

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


def silent(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in entry.items() if name != "overall_analysis"}


SEGMENTS = {"segment_analysis": {"prediction": ["real", "real"], "confidence": [0.9, 0.9]}}
ROLES = model(["real"], "Per-agent AI Classification", ["composer", "vocalist", "engineer"])
NOTHING_TO_READ: list[list[Any]] = [
    [{}],
    [silent(binary("real")), silent(three_class("real"))],
    [silent(binary("real")) | {"segment_analysis": {"prediction": ["fake", "fake"], "confidence": [0.9, 0.9]}}],
    [silent(binary("real")), silent(three_class("real")) | SEGMENTS],
    [source(""), model(["none"], None, ["composer", "vocalist"])],
    [binary("real"), three_class(None)],
    [binary("real"), three_class(["ai_cover"])],
    [binary("real"), binary(None)],
    [binary("real"), model({"a": 1})],
    [binary("real"), three_class(" ")],
    [binary("real"), {"overall_analysis": {}}],
    [binary("real"), {"overall_analysis": "fake"}],
    [binary("real"), "fake"],
]


@pytest.mark.parametrize("members", NOTHING_TO_READ)
def test_a_pass_is_not_taken_where_a_model_that_could_contradict_it_cannot_be_read(members: list[Any]) -> None:
    found = read(result("real", members))
    assert (found.status, found.verdict, found.reason_code) == (RunStatus.FAILED, None, ReasonCode.SCHEMA_MISMATCH)
    assert "model_results" in (found.reason_text or "")
    assert read(result("real", members), doubt=False).verdict is NO_AI
    assert read(result("fake", members)).verdict is AI, "a hit needs no other word"


@pytest.mark.parametrize(
    "members",
    [
        [binary("real"), silent(binary("real")) | SEGMENTS],
        [silent(binary("real")) | SEGMENTS],
        [binary("real"), silent(three_class("real"))],
        [binary("real"), {"overall_analysis": None, **SEGMENTS}],
        [binary("real"), ROLES],
        [binary("real"), model(["composer"], None, ["composer", "vocalist"])],
        [binary("real"), {"overall_analysis": {"prediction": ["real"], "confidence": {"composer": 0.1}}}],
        [binary("real"), source("real")],
        [binary("real"), model(None, "Fake Model Classification", ["suno", "udio"])],
        [ROLES],
        [source("real")],
        [model("real")],
    ],
)
def test_what_the_documents_leave_out_takes_no_pass_away(members: list[dict[str, Any]]) -> None:
    assert read(result("real", members)).verdict is NO_AI


def test_a_documented_pass_with_one_model_of_segments_only_is_one() -> None:
    [content] = STANDARD["result"].values()
    for left_out in range(1, 4):
        models = [silent(each) if index == left_out else each for index, each in enumerate(content["model_results"])]
        assert read(finished({"a.mp3": {**content, "model_results": models}})).verdict is NO_AI


def test_a_doubt_that_is_heard_is_told_though_another_model_cannot_be_read() -> None:
    assert read(result("real", [binary("real"), three_class("ai_cover"), three_class(None)])).verdict is UNSURE


def test_in_quick_starts_envelope_the_models_are_looked_at_too() -> None:
    body = sample("aippim", "callback_quick_start_completed")
    assert read(body).verdict is NO_AI
    body["result"]["result"]["track.mp3"]["model_0"]["overall_analysis"]["prediction"] = None
    assert read(body).verdict is None


@pytest.mark.parametrize("word", ["real", "fake"])
def test_without_a_final_result_a_described_model_that_says_nothing_of_the_whole_has_not_agreed(word: str) -> None:
    for quiet in (binary(None), silent(binary(word)), silent(binary(word)) | {"segment_analysis": {}}):
        members = [binary(word), binary(word), quiet]
        named: dict[str, Any] = {f"model_{index}": each for index, each in enumerate(members)}
        apart = {f"{key}_config": each["config"] for key, each in named.items()}
        bare = {key: {part: each[part] for part in each if part != "config"} for key, each in named.items()}
        for shape in (members, {"model_results": members}, bare | apart):
            found = read(finished({"a.mp3": shape}))
            assert (found.verdict, found.verdict_derived) == (UNSURE, True)


def test_without_a_final_result_a_model_of_segments_only_agrees_if_all_of_them_do() -> None:
    quiet = silent(binary("real"))
    assert read(finished({"a.mp3": [binary("real"), quiet | SEGMENTS]})).verdict is NO_AI
    mixed = {"segment_analysis": {"prediction": ["real", "fake"], "confidence": [0.9, 0.9]}}
    for parts, word in ((mixed, "real"), (SEGMENTS, "fake")):
        assert read(finished({"a.mp3": [binary(word), quiet | parts]})).verdict is UNSURE
