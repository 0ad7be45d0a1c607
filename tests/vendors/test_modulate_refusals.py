"""Why Modulate gives no verdict: HTTP statuses whose words decide, and close codes that decide over their words."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detectors.enums import ReasonCode
from service.detectors.port import Raw, Refused
from service.vendors.modulate.refusals import closed, is_refusal
from tests.vendors.contract import JSON, KEY, NOW, SHARED, raw
from tests.vendors.test_modulate import adapter

MISSING_FILE = [{"loc": ["body", "upload_file"], "msg": "Field required", "type": "missing"}]
MISSING_KEY = [{"loc": ["header", "X-API-Key"], "msg": "Field required", "type": "missing"}]
RETRYABLE = {ReasonCode.RATE_LIMITED, ReasonCode.VENDOR_TIMEOUT, ReasonCode.VENDOR_ERROR}


def refused(status: int, detail: Any) -> Refused:
    found = adapter().parse_submit(raw({"detail": detail}, status))
    assert isinstance(found, Refused)
    assert found == adapter().read(raw({"detail": detail}, status), "modulate/streaming")
    return found


@pytest.mark.parametrize(
    ("status", "detail", "code"),
    [
        (400, "The uploaded file is empty.", ReasonCode.BAD_REQUEST),
        (401, "Invalid API key.", ReasonCode.AUTH_FAILED),
        (403, "This request is not permitted.", ReasonCode.ACCESS_DENIED),
        (403, "Monthly usage limit reached for this model.", ReasonCode.QUOTA_EXCEEDED),
        (413, "File too large.", ReasonCode.FILE_TOO_LARGE),
        (415, "Unsupported.", ReasonCode.UNSUPPORTED_FORMAT),
        (422, "Invalid request.", ReasonCode.BAD_REQUEST),  # documented for a missing key, but ours is always sent
        (422, "Missing X-API-Key header.", ReasonCode.AUTH_FAILED),
        (422, MISSING_KEY, ReasonCode.AUTH_FAILED),
        (422, MISSING_FILE, ReasonCode.BAD_REQUEST),
        (429, "Insufficient credits.", ReasonCode.QUOTA_EXCEEDED),
        (429, "Monthly quota exceeded.", ReasonCode.QUOTA_EXCEEDED),
        (429, "Concurrency limit reached.", ReasonCode.RATE_LIMITED),
        (429, "Something else.", ReasonCode.RATE_LIMITED),
        (500, "Internal server error", ReasonCode.VENDOR_ERROR),
        (502, "Unable to validate request. Please try again.", ReasonCode.VENDOR_ERROR),
        (503, "Overloaded", ReasonCode.VENDOR_ERROR),
        (504, "Timed out", ReasonCode.VENDOR_TIMEOUT),
    ],
)
def test_trap_13_modulate_a_status_with_two_meanings_is_told_apart_by_its_detail(
    status: int, detail: Any, code: ReasonCode
) -> None:
    found = refused(status, detail)
    assert (found.reason_code, found.retryable) == (code, code in RETRYABLE)
    assert found.reason_text == ("Field required" if isinstance(detail, list) else detail)


def test_trap_13_modulate_what_is_over_for_the_moment_is_soon_asked_again_and_what_is_spent_is_not() -> None:
    assert refused(429, "Concurrency limit reached.").retry_after_seconds == 3
    assert refused(429, "Insufficient credits.").retry_after_seconds is None
    asked_to_wait = adapter().parse_submit(raw({"detail": "Too many"}, 429, retry_after="0"))
    assert isinstance(asked_to_wait, Refused)
    assert asked_to_wait.retry_after_seconds == 0


@pytest.mark.parametrize(
    ("code", "text", "reason_code", "retryable"),
    [
        (1003, "Invalid audio_format='mp4'. Valid values: [...]", ReasonCode.BAD_REQUEST, False),
        (1003, "words nobody knows yet", ReasonCode.BAD_REQUEST, False),
        (1011, "Internal server error", ReasonCode.VENDOR_ERROR, True),
        (1003, "Audio data does not match the declared audio_format.", ReasonCode.INVALID_FILE, False),
        (1011, "Unsupported audio.", ReasonCode.UNSUPPORTED_FORMAT, False),
        (1011, "Your request could not be processed.", ReasonCode.VENDOR_ERROR, True),
        (4001, "The audio could not be processed.", ReasonCode.AUTH_FAILED, False),
        (4003, "The audio could not be processed.", ReasonCode.ACCESS_DENIED, False),
        (4001, "No such key.", ReasonCode.AUTH_FAILED, False),
        (4002, "Audio data does not match the declared audio_format.", ReasonCode.INVALID_FILE, False),
        (4003, "This request is not permitted.", ReasonCode.ACCESS_DENIED, False),
        (4003, "Insufficient credits.", ReasonCode.QUOTA_EXCEEDED, False),
        (4003, "Unable to validate request. Please try again.", ReasonCode.VENDOR_ERROR, True),
        (4029, "Insufficient credits.", ReasonCode.QUOTA_EXCEEDED, False),
        (4029, "Too many concurrent streams.", ReasonCode.RATE_LIMITED, True),
        (4029, "Audio data does not match the declared audio_format.", ReasonCode.RATE_LIMITED, True),
        # The code was lost: the documented words stand for it.
        (1006, "Insufficient credits.", ReasonCode.QUOTA_EXCEEDED, False),
        (1006, "This request is not permitted.", ReasonCode.ACCESS_DENIED, False),
        (1000, "The audio could not be processed. It may be corrupted.", ReasonCode.INVALID_FILE, False),
        (1000, "Invalid num_channels=12. Must be between 1 and 8", ReasonCode.BAD_REQUEST, False),
        (1001, "Internal server error", ReasonCode.VENDOR_ERROR, True),
    ],
)
def test_trap_13_modulate_a_key_or_a_permission_is_told_by_the_code_and_the_audio_by_words(
    code: int, text: str, reason_code: ReasonCode, retryable: bool
) -> None:
    found = closed(code, text, [])
    assert (found.reason_code, found.retryable, found.reason_text) == (reason_code, retryable, text)


@pytest.mark.parametrize("code", [4000, 4004, 4030, 4031, 4999])
def test_trap_13_modulate_a_close_code_nobody_explains_is_named_and_final(code: int) -> None:
    found = closed(code, "no", [])
    assert (found.reason_code, found.retryable) == (ReasonCode.VENDOR_ERROR, False)
    assert found.reason_text == f"closed with {code}: no"


def test_a_close_without_words_names_its_code() -> None:
    assert closed(4001, None, []).reason_text == "the vendor closed the stream with 4001"


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1006, 1012])
def test_an_end_that_says_nothing_is_no_answer(code: int) -> None:
    assert not is_refusal(code)


@SHARED
@given(st.integers(1000, 4999), st.none() | st.text())
def test_no_close_makes_a_read_raise(code: int, text: str | None) -> None:
    found = closed(code, text, [])
    assert 0 < len(found.reason_text) <= 500


@settings(SHARED, max_examples=30)
@given(st.integers(300, 599), JSON)
def test_no_detail_makes_a_refusal_raise_or_shows_the_key(status: int, detail: object) -> None:
    for said in (detail, f"no such key: {KEY}", [{"msg": KEY, "loc": ["header", KEY]}]):
        found = adapter().parse_submit(raw({"detail": said}, status))
        assert isinstance(found, Refused)
        assert KEY not in found.reason_text


def test_words_of_a_close_never_show_the_key() -> None:
    body = b'{"type": "error", "error": "bad key ' + KEY.encode() + b'"}'
    found = adapter().parse_submit(Raw(4001, {"content-type": "application/x-ndjson"}, body, NOW))
    assert found == Refused(ReasonCode.AUTH_FAILED, "bad key [key]", retryable=False)
