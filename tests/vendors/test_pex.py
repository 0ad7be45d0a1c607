"""Pex's words in ours. What is sent, and the token, are in `test_pex_token`."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.enums import ReasonCode, RunStatus, Verdict
from service.detectors.port import Needs, Refused
from service.detectors.reading import Attribution, Reading
from service.vendors.pex import VENDOR, PexSettings
from service.vendors.pex.results import FAMILIES
from tests.vendors.contract import JSON, KEY, NOW, SHARED, DetectorContract, exchange, raw, sample
from tests.vendors.pex_answers import REFUSALS, REPLY, STATUSES, adapter, read, refused

ANALYSES = ("detect_reply", "detect_reply_human", "detect_reply_no_model")
FIELDS = ("request_id", "status", "message", "is_ai", "ai_score", "predicted_model", "predicted_model_score")


class TestContract(DetectorContract):
    adapter = adapter()
    synchronous = True
    words = frozenset({"true", "false"})  # not as texts: see below
    words_are_texts = False
    a_pass = sample("pex", "detect_reply_human")
    required = ("is_ai", "status")
    states = frozenset(STATUSES)
    junk = JSON.filter(lambda value: not isinstance(value, bool))  # true and false are its words for a verdict
    answers = {  # noqa: RUF012 - read only
        name: sample("pex", name) for name in (*ANALYSES, *(f"reply_{word}" for word in REFUSALS))
    }
    fields = frozenset(FIELDS)

    def body_with_word(self, word: object) -> Mapping[str, Any]:
        return {**REPLY, "is_ai": word}

    def body_with_state(self, word: object) -> Mapping[str, Any]:
        return {**REPLY, "status": word}

    def failed_body(self) -> Mapping[str, Any]:
        return {**REPLY, "status": "error", "message": f"worker lost, key {KEY}"}

    @pytest.mark.parametrize("word", [None, 0, 1, 1.0, [], [True], {"is_ai": True}])
    def test_what_is_no_word_is_never_a_verdict(self, word: object) -> None:
        found = self.reading(self.body_with_word(word))
        assert (found.status, found.verdict) == (RunStatus.FAILED, None)
        assert found.reason_code is ReasonCode.SCHEMA_MISMATCH

    def test_a_failure_is_never_a_verdict_even_beside_a_result(self) -> None:
        found = refused(self.failed_body())
        assert (found.reason_code, found.retryable) == (ReasonCode.VENDOR_ERROR, True)
        assert found.reason_text == "worker lost, key [key] (request_id 806957142976735233)"

    def _words(self) -> st.SearchStrategy[str]:
        return st.sampled_from(STATUSES)


@pytest.mark.parametrize("word", ["true", "false", "True", "yes", "ok", "1"])
def test_true_or_false_written_as_a_text_is_an_unknown_verdict(word: str) -> None:
    found = read({**REPLY, "is_ai": word})
    assert (found.status, found.verdict, found.verdict_raw) == (RunStatus.FAILED, None, word)
    assert found.reason_code is ReasonCode.UNKNOWN_VERDICT


def test_it_takes_an_upload_and_what_the_vendor_names() -> None:
    capabilities = adapter().capabilities("pex")
    assert (capabilities.needs, capabilities.takes_link, capabilities.prepares) == (Needs.UPLOAD, True, False)
    assert capabilities.formats == {"mp3", "m4a", "wav", "flac", "aac", "ogg", "webm"}
    assert (capabilities.max_bytes, capabilities.callbacks) == (100_000_000, None)
    assert (capabilities.min_duration_ms, capabilities.max_duration_ms) == (None, None)


def test_the_documented_sample_reads_as_documented() -> None:
    found = read(REPLY)
    assert (found.status, found.verdict, found.verdict_raw) == (RunStatus.SUCCEEDED, Verdict.AI_GENERATED, "true")
    assert (found.kind, found.verdict_derived, found.reason_text) == (None, False, None)
    assert found.score is not None
    assert (found.score.value, found.score.min, found.score.max) == (0.9992, 0, 1)
    assert (found.score.semantics, found.score.polarity) == ("ai_likelihood", "ai_high")
    assert found.attribution == Attribution(raw_label="suno", family="suno", score=0.9723)
    assert (found.engine.name, found.engine.version, found.confidence) == (None, None, None)
    assert (found.refs.request_id, found.refs.job_id) == ("806957142976735233", None)


def test_not_ai_is_no_ai_detected() -> None:
    found = read(sample("pex", "detect_reply_human"))
    assert (found.verdict, found.verdict_raw, found.attribution) == (Verdict.NO_AI_DETECTED, "false", None)
    assert found.score is not None
    assert found.score.value == 0.0188


@pytest.mark.parametrize("word", REFUSALS)
def test_trap_01_pex_http_200_is_not_success(word: str) -> None:
    for body in (sample("pex", f"reply_{word}"), {**REPLY, "status": word}):
        found = read(body)
        content = word != "not_found"
        assert found.status is (RunStatus.NOT_APPLICABLE if content else RunStatus.FAILED)
        assert found.reason_code is (ReasonCode(word) if content else ReasonCode.SOURCE_UNREACHABLE)
        assert (found.verdict, found.score, found.attribution, found.retryable) == (None, None, None, False)
        assert found.reason_text == (body["message"] or None)
        assert found.refs.request_id


def test_trap_01_pex_fields_beside_a_failure_are_kept_but_not_used() -> None:
    beside = {"is_ai": True, "ai_score": 0.9992, "predicted_model": "suno", "predicted_model_score": 0.9723}
    assert read({"status": "too_short", **beside}).extras == beside
    assert read({"status": "too_short", "is_ai": None, "predicted_model": None}).extras == {}


def test_trap_01_pex_an_error_is_tried_again_after_the_advised_pause() -> None:
    for status in (200, 500, 503):
        found = refused(sample("pex", "error_reply"), status)
        assert (found.reason_code, found.retryable) == (ReasonCode.VENDOR_ERROR, True)
        assert found.retry_after_seconds == 30
        assert "Service temporarily unavailable. Please retry later." in found.reason_text


@pytest.mark.parametrize("body", [{}, {"message": "ok"}, {"is_ai": False}, {"status": None, "is_ai": False}])
def test_an_answer_without_a_status_is_a_schema_mismatch(body: dict[str, object]) -> None:
    found = read(body)
    assert (found.status, found.reason_code) == (RunStatus.FAILED, ReasonCode.SCHEMA_MISMATCH)
    assert (found.verdict, found.retryable) == (None, False)


def test_ok_without_a_decision_is_a_schema_mismatch() -> None:
    found = read({key: value for key, value in REPLY.items() if key != "is_ai"})
    assert (found.status, found.reason_code) == (RunStatus.FAILED, ReasonCode.SCHEMA_MISMATCH)
    assert (found.verdict, found.retryable) == (None, False)
    assert found.score is not None


@pytest.mark.parametrize(("is_ai", "score"), [(False, 0.9999), (True, 0.0001), (True, 0), (False, None)])
def test_trap_02_pex_is_ai_decides_and_the_score_only_ranks(*, is_ai: bool, score: float | None) -> None:
    found = read({**REPLY, "is_ai": is_ai, "ai_score": score})
    assert found.verdict is (Verdict.AI_GENERATED if is_ai else Verdict.NO_AI_DETECTED)
    assert (found.score and found.score.value) == score
    assert found.extras == {}


def test_trap_03_pex_an_ai_track_may_have_no_model() -> None:
    whole = sample("pex", "detect_reply_no_model")
    bare = {key: value for key, value in whole.items() if key != "predicted_model"}
    for body in (whole, bare, {**whole, "predicted_model": "", "predicted_model_score": None}):
        found = read(body)
        assert (found.verdict, found.attribution, found.extras) == (Verdict.AI_GENERATED, None, {})


def test_trap_03_pex_a_models_score_may_be_missing() -> None:
    body = {key: value for key, value in REPLY.items() if key != "predicted_model_score"}
    assert read(body).attribution == Attribution(raw_label="suno", family="suno")


@pytest.mark.parametrize("label", [*sorted(FAMILIES), "Suno", "suno_v9", "next-big-thing"])
def test_trap_03_pex_the_names_of_models_are_an_open_set(label: str) -> None:
    found = read({**REPLY, "predicted_model": label}).attribution
    assert found is not None
    assert found.raw_label == label
    assert found.family == (label.lower() if label.lower() in FAMILIES else None)


def test_trap_03_pex_a_model_of_a_track_that_is_not_ai_is_kept_and_claims_nothing() -> None:
    found = read({**REPLY, "is_ai": False})
    assert found.verdict is Verdict.NO_AI_DETECTED
    assert found.attribution == Attribution(raw_label="suno", score=0.9723)


@pytest.mark.parametrize("number", [9007199254740993, 859978972511678465, 2**64 - 1])
def test_trap_04_pex_a_request_id_above_2_53_is_exact(number: int) -> None:
    for body in (b'{"status":"ok","is_ai":true,"request_id":%d}' % number, {"status": "ok", "request_id": str(number)}):
        assert read(body).refs.request_id == str(number)
    assert f"request_id {number}" in refused({"status": "error", "request_id": number}).reason_text


def test_trap_04_pex_a_request_id_may_be_absent_and_is_never_a_rounded_one() -> None:
    assert read({**REPLY, "request_id": None}).refs.request_id is None
    found = read({**REPLY, "request_id": 8.06957142976735233e17})
    assert (found.refs.request_id, found.extras) == (None, {"request_id": 8.06957142976735233e17})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524])
def test_trap_05_pex_every_failure_that_may_pass_is_tried_again(status: int) -> None:
    for seconds, wait in (("5", 30), ("90", 90), ("soon", 30)):
        found = refused(sample("pex", "error_reply"), status, retry_after=seconds)
        assert (found.retryable, found.retry_after_seconds) == (True, wait)


def test_the_advised_pause_is_a_setting_and_the_vendor_may_ask_for_more() -> None:
    hasty = VENDOR.adapter(PexSettings(retry_floor_seconds=2.5), exchange())
    waits = []
    for seconds in ("0", "9"):
        found = hasty.parse_submit(raw(sample("pex", "error_reply"), 503, retry_after=seconds))
        assert isinstance(found, Refused)
        waits.append(found.retry_after_seconds)
    assert waits == [3, 9]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ReasonCode.BAD_REQUEST),
        (401, ReasonCode.AUTH_FAILED),
        (403, ReasonCode.ACCESS_DENIED),
        (404, ReasonCode.VENDOR_ERROR),
        (413, ReasonCode.FILE_TOO_LARGE),
    ],
)
def test_every_other_refusal_is_final(status: int, code: ReasonCode) -> None:
    found = refused(b"", status, retry_after="5")
    assert (found.reason_code, found.retryable, found.retry_after_seconds) == (code, False, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ai_score", 1.2),
        ("ai_score", "0.9"),
        ("predicted_model", 5),
        ("predicted_model_score", "high"),
        ("message", ["ok"]),
        ("request_id", {"id": 1}),
    ],
)
def test_a_value_of_another_kind_is_kept_but_not_used(field: str, value: object) -> None:
    found = read({**REPLY, "predicted_model_score": None, field: value})
    assert found.verdict is Verdict.AI_GENERATED
    assert found.extras == {field: value}


def test_the_vendors_words_beside_a_verdict_are_kept_if_they_say_more_than_ok() -> None:
    assert read({**REPLY, "message": f"model retrained {KEY}"}).reason_text == "model retrained [key]"


@SHARED
@given(st.fixed_dictionaries({}, optional={name: JSON | st.sampled_from(STATUSES) for name in FIELDS}))
def test_there_is_no_verdict_without_ok_and_a_true_or_false(body: dict[str, object]) -> None:
    found = adapter().read(raw(body), "pex")
    verdict = found.verdict if isinstance(found, Reading) else None
    is_ai = body.get("is_ai")
    decided = body.get("status") == "ok" and isinstance(is_ai, bool)
    assert (verdict is not None) == decided
    assert verdict is None or (verdict is Verdict.AI_GENERATED) == is_ai


def test_there_are_no_callbacks() -> None:
    vendor = adapter()
    assert vendor.verify({"x-signature": "1"}, REPLY, ["secret"], NOW) is None
    assert vendor.challenge({"type": "url_verification", "challenge": "x"}) is None
