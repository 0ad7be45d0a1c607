"""AIPPIM's words in ours, for every documented envelope and shape."""

from datetime import UTC, datetime
from typing import Any

import pytest

from service.detectors.enums import ConflictKind, Kind, ReasonCode, RunStatus, Verdict
from service.detectors.port import Refused
from tests.vendors.aippim_answers import PRO, STANDARD, TASK, adapter, binary, finished, model, read, three_class
from tests.vendors.contract import KEY, raw, sample


def test_the_standard_sample_reads_as_documented() -> None:
    found = read(STANDARD)
    assert (found.status, found.verdict, found.verdict_raw) == (
        RunStatus.SUCCEEDED,
        Verdict.NO_AI_DETECTED,
        "real",
    )
    assert not found.verdict_derived
    assert found.score is not None
    assert (found.score.value, found.score.semantics, found.score.polarity) == (
        0.9382,
        "predicted_class_confidence",
        "class",
    )
    assert (found.tier, found.engine.name) == ("standard", "standard")
    assert found.refs.job_id == TASK
    assert found.refs.other == {"filename": "audio_filename.mp3"}
    assert found.vendor_completed_at == datetime(2025, 12, 4, 5, 30, 15, tzinfo=UTC)
    assert [(each.id, each.votes_in_final, len(each.segments)) for each in found.sub_models] == [
        ("model_0", True, 0),
        ("model_1", True, 4),
        ("model_2", True, 4),
        ("model_3", True, 4),
    ]
    last = found.sub_models[3].segments[3]
    assert (last.index, last.source, last.labels, last.scores) == (3, "model_3", ["real"], {"real": 0.921})
    assert (last.start_ms, last.end_ms) == (None, None)
    assert (found.attribution, found.kind, found.components, found.conflicts) == (None, None, {}, [])


def test_the_pro_sample_reads_as_documented() -> None:
    found = read(PRO)
    assert (found.verdict, found.verdict_raw, found.kind) == (Verdict.AI_GENERATED, "fake", None)
    assert found.attribution is not None
    assert (found.attribution.raw_label, found.attribution.family, found.attribution.version) == (
        "suno_v4",
        "suno",
        "4",
    )
    assert found.attribution.score == 0.634
    cover, source = found.sub_models[1], found.sub_models[2]
    assert [segment.labels for segment in cover.segments] == [["fake"], ["fake"], ["ai_cover"], ["fake"]]
    assert (cover.votes_in_final, source.votes_in_final) == (False, False)
    assert (cover.focus, cover.verdict_raw, cover.score) == ("Mixing & Audio Effects", "fake", 0.823)
    assert found.conflicts == []


def test_the_reply_to_a_submission_reads_as_pending() -> None:
    found = read(sample("aippim", "submit_reply"))
    assert found.status is RunStatus.PENDING
    assert found.refs.other == {"filepath": f"uploads/{TASK}.mp3"}
    assert found.vendor_submitted_at == datetime(2025, 12, 4, 5, 29, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("pending", RunStatus.PENDING),
        ("processing", RunStatus.RUNNING),
        ("success", RunStatus.SUCCEEDED),
        ("completed", RunStatus.SUCCEEDED),
        ("failure", RunStatus.FAILED),
        ("failed", RunStatus.FAILED),
    ],
)
def test_old_and_new_state_words_are_known(word: str, status: RunStatus) -> None:
    found = read({**STANDARD, "status": word})
    assert found.status is status
    assert (found.verdict is not None) == (status is RunStatus.SUCCEEDED)


def test_processing_with_a_filled_result_is_not_the_end() -> None:
    found = read({**STANDARD, "status": "processing", "completed_at": None})
    assert (found.status, found.verdict, found.score) == (RunStatus.RUNNING, None, None)


def test_a_failure_gives_the_vendors_reason_without_the_key() -> None:
    body = {"task_id": TASK, "task_name": "t", "status": "failure", "error": f"no audio, {KEY}", "status_code": 5}
    found = read(body)
    assert (found.reason_code, found.reason_text) == (ReasonCode.VENDOR_ERROR, "no audio, [key]")
    assert found.refs.other == {"task_name": "t"}
    assert found.extras == {"status_code": 5}


@pytest.mark.parametrize("result", [None, {}, [], "x", {"a.mp3": {}}, {"a.mp3": []}, {"a.mp3": 1}, {"a": {}, "b": {}}])
def test_a_success_without_a_documented_result_is_a_schema_mismatch(result: object) -> None:
    found = read(finished(result))
    assert (found.status, found.reason_code) == (RunStatus.FAILED, ReasonCode.SCHEMA_MISMATCH)


def test_two_files_in_one_result_are_a_schema_mismatch() -> None:
    content = next(iter(STANDARD["result"].values()))
    assert read(finished({"a.mp3": content, "b.mp3": content})).reason_code is ReasonCode.SCHEMA_MISMATCH


def test_the_quick_starts_envelope_is_read_and_unwrapped() -> None:
    outer = {
        "taskResultId": 34,
        "title": "track",
        "aiModelName": "standard",
        "url": "/api/v1/ai-detection/standard",
        "taskId": TASK,
        "requestedAt": "2026-04-02T14:53:20",
        "completedAt": "2026-04-02T14:54:14.859289",
        "status": "success",
    }
    for result in (STANDARD["result"], {**STANDARD}):
        found = read({**outer, "result": result})
        assert (found.verdict, found.refs.job_id, found.tier) == (Verdict.NO_AI_DETECTED, TASK, "standard")
        assert found.refs.other["taskResultId"] == "34"
        assert found.vendor_submitted_at == datetime(2026, 4, 2, 5, 53, 20, tzinfo=UTC)
        assert found.vendor_completed_at == datetime(2026, 4, 2, 5, 54, 14, 859289, tzinfo=UTC)
        assert found.extras == {}


@pytest.mark.parametrize(
    ("outer", "inner", "status"),
    [
        ("success", "success", RunStatus.SUCCEEDED),
        ("processing", "success", RunStatus.RUNNING),
        ("success", "processing", RunStatus.RUNNING),
        ("success", "failure", RunStatus.FAILED),
        ("failure", "success", RunStatus.FAILED),
        (None, "success", RunStatus.SUCCEEDED),
    ],
)
def test_of_two_states_the_worse_one_counts(outer: str | None, inner: str, status: RunStatus) -> None:
    found = read({"taskId": TASK, "status": outer, "result": {**STANDARD, "status": inner}})
    assert found.status is status


def test_two_tasks_in_one_answer_are_a_contradiction() -> None:
    found = adapter().read(raw({**STANDARD, "taskId": "task_other"}), "aippim/standard")
    assert isinstance(found, Refused)
    assert (found.reason_code, found.retryable) == (ReasonCode.SCHEMA_MISMATCH, True)


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ([binary("fake"), binary("fake")], Verdict.AI_GENERATED),
        ([binary("real"), three_class("fake")], Verdict.NO_AI_DETECTED),
        ([binary("real"), binary("fake")], Verdict.INCONCLUSIVE),
        ([binary("real"), binary("maybe")], Verdict.INCONCLUSIVE),
        ([binary("real"), three_class("ai_cover")], Verdict.INCONCLUSIVE),
        ([model("real"), model("real")], Verdict.NO_AI_DETECTED),
        ([model("real"), model("ai_cover")], Verdict.INCONCLUSIVE),
    ],
)
def test_without_a_final_result_the_binary_models_must_agree(members: list[dict[str, Any]], verdict: Verdict) -> None:
    named = {f"model_{index}": {**each} for index, each in enumerate(members)}
    configs = {f"{key}_config": each.pop("config") for key, each in named.items() if "config" in each}
    for result in ({"a.mp3": members}, {"a.mp3": named | configs}, {"a.mp3": {"model_results": members}}):
        found = read(finished(result))
        assert (found.verdict, found.verdict_derived, found.verdict_raw) == (verdict, True, None)
        assert found.extras == {}


@pytest.mark.parametrize("members", [[three_class("fake")], [binary("maybe")], [{"segment_analysis": {}}]])
def test_without_any_binary_answer_there_is_no_verdict(members: list[dict[str, Any]]) -> None:
    assert read(finished({"a.mp3": members})).reason_code is ReasonCode.SCHEMA_MISMATCH


def test_real_beside_an_overall_ai_cover_is_inconclusive() -> None:
    result = {
        "a.mp3": {"final_result": {"prediction": "real", "confidence": 0.9}, "model_results": [three_class("ai_cover")]}
    }
    found = read(finished(result))
    assert (found.verdict, found.verdict_raw, found.verdict_derived) == (Verdict.INCONCLUSIVE, "real", True)
    assert (found.kind, found.components["vocals"].verdict) == (Kind.AI_COVER, Verdict.AI_GENERATED)
    assert [conflict.kind for conflict in found.conflicts] == [ConflictKind.VENDOR_INTERNAL]
    trusting = read(finished(result), doubt=False)
    assert (trusting.verdict, trusting.verdict_derived, trusting.kind) == (Verdict.NO_AI_DETECTED, False, None)
    assert (trusting.components, len(trusting.conflicts)) == ({}, 1)


def test_fake_beside_an_overall_ai_cover_is_an_ai_cover() -> None:
    result = {"a.mp3": {"final_result": {"prediction": "fake"}, "model_results": [three_class("ai_cover")]}}
    found = read(finished(result))
    assert (found.verdict, found.verdict_derived, found.kind) == (Verdict.AI_GENERATED, False, Kind.AI_COVER)
    assert found.conflicts == []


def test_ai_cover_is_no_word_of_the_final_result() -> None:
    found = read(finished({"a.mp3": {"final_result": {"prediction": "ai_cover"}}}))
    assert (found.reason_code, found.verdict_raw) == (ReasonCode.UNKNOWN_VERDICT, "ai_cover")


@pytest.mark.parametrize(
    ("label", "family", "version"),
    [
        ("suno_v4", "suno", "4"),
        ("suno_v4_5", "suno", "4.5"),
        ("suno_v4_5_plus", "suno", "4.5+"),
        ("suno_v5", "suno", "5"),
        ("other", None, None),
    ],
)
def test_source_labels_name_family_and_version(label: str, family: str | None, version: str | None) -> None:
    labels = ["real", "suno_v4", "suno_v4_5", "suno_v4_5_plus", "suno_v5", "other"]
    source = model(label, "Detailed Fake Source Classification", labels)
    found = read(finished({"a": {"final_result": {"prediction": "fake"}, "model_results": [source]}}))
    assert found.attribution is not None
    assert (found.attribution.raw_label, found.attribution.family, found.attribution.version) == (
        label,
        family,
        version,
    )


def test_a_source_model_that_says_real_names_no_generator() -> None:
    source = model("real", "Detailed Fake Source Classification", ["real", "suno_v4"])
    found = read(finished({"a": {"final_result": {"prediction": "real"}, "model_results": [source]}}))
    assert found.attribution is None


def test_segment_lists_of_unequal_length_are_kept_and_reported() -> None:
    odd = {"segment_analysis": {"prediction": ["real", "fake"], "confidence": [0.1]}}
    found = read(finished({"a": {"final_result": {"prediction": "real"}, "model_results": [odd]}}))
    assert [(each.labels, each.scores) for each in found.sub_models[0].segments] == [
        (["real"], {"real": 0.1}),
        (["fake"], {}),
    ]
    assert [conflict.kind for conflict in found.conflicts] == [ConflictKind.VENDOR_INTERNAL]


def test_a_class_count_that_differs_from_the_labels_is_kept() -> None:
    odd = binary("real")
    odd["config"]["num_classes"] = 3
    found = read(finished({"a": {"final_result": {"prediction": "real"}, "model_results": [odd]}}))
    assert found.extras == {"model_x.config.num_classes": 3}


@pytest.mark.parametrize("confidence", [1.2, -0.1, "0.9", True])
def test_a_confidence_off_its_scale_is_no_score_but_is_kept(confidence: object) -> None:
    found = read(finished({"a": {"final_result": {"prediction": "fake", "confidence": confidence}}}))
    assert (found.verdict, found.score) == (Verdict.AI_GENERATED, None)
    assert found.extras == {"final_result.confidence": confidence}


def test_a_result_without_a_file_name_is_read() -> None:
    roles = {
        "config": {"model_id": "agent_classifier", "labels": ["composer", "vocalist", "engineer"]},
        "segment_analysis": {
            "prediction": [["composer", "vocalist"], ["real"]],
            "confidence": [{"composer": 0.9, "vocalist": 0.8}, {"composer": 0.1}],
        },
        "overall_analysis": {"prediction": ["composer"], "confidence": {"composer": 0.9}},
    }
    sources = model("suno", "Fake Model Classification", ["suno", "udio"])
    sources["overall_analysis"]["all_probs"] = {"suno": 0.9, "udio": "?"}
    result = {"final_result": {"prediction": "fake", "confidence": 0.9}, "model_results": [roles, sources]}
    found = read(finished(result))
    assert (found.verdict, found.refs.other) == (Verdict.AI_GENERATED, {})
    assert found.sub_models[0].verdict_raw == ["composer"]
    assert found.sub_models[0].segments[0].scores == {"composer": 0.9, "vocalist": 0.8}
    assert found.attribution is not None
    assert [(each.raw_label, each.score) for each in found.attribution.alternatives] == [
        ("suno", 0.9),
        ("udio", None),
    ]


def test_an_unreadable_time_is_kept_as_it_came() -> None:
    found = read({"task_id": TASK, "status": "pending", "created_at": "yesterday"})
    assert (found.vendor_submitted_at, found.extras) == (None, {"created_at": "yesterday"})
