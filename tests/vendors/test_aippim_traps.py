"""What an integrator of AIPPIM must get right, each named by its number in the list of traps."""

import copy
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.detectors.enums import Authenticity, ReasonCode, RunStatus, Verdict
from service.detectors.port import Accepted, CallbackRefs, Refused
from service.detectors.reading import Reading
from tests.vendors.aippim_answers import STAMP, STANDARD, TASK, adapter, finished, read
from tests.vendors.contract import NOW, raw, sample

SECRET = "made-up secret"


def signed(text: str, stamp: str = STAMP) -> dict[str, str]:
    digest = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    return {"x-mippia-timestamp": stamp, "x-mippia-signature": digest}


def test_trap_06_a_signature_says_nothing_of_the_body() -> None:
    lie = {**STANDARD, "status": "failure"}
    headers = signed(f"{STAMP}:{TASK}")
    for body in (STANDARD, lie):
        assert adapter().verify(headers, body, [SECRET], NOW) is Authenticity.PARTIAL_HMAC, "so it is only a hint"
    assert adapter().verify(headers, {**STANDARD, "task_id": "task_other"}, [SECRET], NOW) is None


@pytest.mark.parametrize(("seconds", "taken"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_trap_06_a_signature_holds_for_five_minutes(seconds: int, taken: bool) -> None:
    found = adapter().verify(signed(f"{STAMP}:{TASK}"), STANDARD, [SECRET], NOW + timedelta(seconds=seconds))
    assert (found is not None) is taken


def test_trap_06_the_signature_over_the_body_is_not_taken_any_more() -> None:
    old = {"x-mippia-signature": hmac.new(SECRET.encode(), raw(STANDARD).body, hashlib.sha256).hexdigest()}
    assert adapter().verify(old, STANDARD, [SECRET], NOW) is None


def test_trap_07_the_unsigned_challenge_is_echoed_and_is_no_result() -> None:
    body = {"type": "url_verification", "challenge": "c0de"}
    assert adapter().challenge(body) == {"challenge": "c0de"}
    assert adapter().verify({}, body, [SECRET], NOW) is None
    found = read(body)
    assert (found.status, found.verdict) == (RunStatus.RUNNING, None)
    assert adapter().challenge(STANDARD) is None


def test_trap_08_a_sure_real_is_a_sure_human_and_its_number_is_never_turned_over() -> None:
    found = read(STANDARD)
    assert found.score is not None
    assert (found.verdict, found.score.value, found.score.polarity) == (Verdict.NO_AI_DETECTED, 0.9382, "class")


def test_trap_08_only_the_final_result_is_the_verdict() -> None:
    body: dict[str, Any] = copy.deepcopy(STANDARD)
    for each in body["result"]["audio_filename.mp3"]["model_results"][1:]:
        each["overall_analysis"]["prediction"] = "fake"
    assert read(body).verdict is Verdict.NO_AI_DETECTED, "one of its models still agrees"
    body["result"]["audio_filename.mp3"]["final_result"]["prediction"] = "fake"
    assert read(body).verdict is Verdict.AI_GENERATED


def test_trap_08_role_numbers_are_probabilities_of_being_ai() -> None:
    found = read(sample("aippim", "callback_completed_pro_v2"))
    assert {each.confidence_semantics for each in found.components.values()} == {"ai_probability"}


@pytest.mark.parametrize("name", ["audio_filename.mp3", "track.mp3", f"uploads/{TASK}.mp3", "track", "run_1.mp3"])
def test_trap_09_the_result_is_the_only_one_whatever_it_is_called(name: str) -> None:
    found = read(finished({name: STANDARD["result"]["audio_filename.mp3"]}))
    assert (found.verdict, found.refs.other) == (Verdict.NO_AI_DETECTED, {"filename": name})


def test_trap_09_a_result_may_have_no_file_name_at_all() -> None:
    found = read(finished(STANDARD["result"]["audio_filename.mp3"]))
    assert (found.verdict, found.refs.other) == (Verdict.NO_AI_DETECTED, {})


@pytest.mark.parametrize("part", ["overall_analysis", "segment_analysis"])
def test_trap_09_each_part_of_a_model_may_be_missing(part: str) -> None:
    body: dict[str, Any] = copy.deepcopy(STANDARD)
    for each in body["result"]["audio_filename.mp3"]["model_results"]:
        each.pop(part, None)
    found = read(body)
    assert (found.verdict, len(found.sub_models), found.extras) == (Verdict.NO_AI_DETECTED, 4, {})


@pytest.mark.parametrize("key", ["task_id", "taskId"])
def test_trap_10_a_task_is_known_under_either_spelling(key: str) -> None:
    assert adapter().parse_submit(raw({key: TASK}, 202)) == Accepted(TASK)
    assert adapter().refs({key: TASK}) == CallbackRefs(TASK)
    assert read({key: TASK, "status": "pending"}).refs.job_id == TASK


def test_trap_10_processing_is_no_end_even_with_a_result() -> None:
    found = read({**STANDARD, "status": "processing"})
    assert (found.status, found.verdict) == (RunStatus.RUNNING, None)


def test_trap_10_a_time_without_a_zone_is_korean() -> None:
    found = read({**STANDARD, "completed_at": "2026-04-02T14:54:14.859289"})
    assert found.vendor_completed_at == datetime(2026, 4, 2, 5, 54, 14, 859289, tzinfo=UTC)


def test_trap_10_a_404_is_an_unknown_key_at_the_door_and_no_end_at_the_poll() -> None:
    vendor, missing = adapter(), raw({}, 404)
    for found in (vendor.parse_prepare(missing), vendor.parse_submit(missing)):
        assert isinstance(found, Refused)
        assert (found.reason_code, found.retryable) == (ReasonCode.AUTH_FAILED, False)
    polled = vendor.read(missing, "aippim/pro-v2")
    assert isinstance(polled, Refused)
    assert polled.retryable


def test_all_references_of_both_envelopes_are_kept() -> None:
    body = {
        "taskResultId": 34, "musicId": "m-1", "filepath": "uploads/x.mp3", "title": "track", "ppc": 2,
        "url": "/api/v1/ai-detection/standard", "taskId": TASK, "status": "failed", "error": "too quiet",
    }  # fmt: skip
    found = adapter().read(raw(body), "aippim/standard")
    assert isinstance(found, Reading)
    assert found.refs.other == {
        "taskResultId": "34", "musicId": "m-1", "filepath": "uploads/x.mp3", "title": "track",
        "url": "/api/v1/ai-detection/standard",
    }  # fmt: skip
    assert (found.status, found.reason_text, found.extras) == (RunStatus.FAILED, "too quiet", {"ppc": 2})
