"""What HTTP refusals mean, and what the strict reader of JSON takes."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.answers import (
    error_text,
    json_object,
    name_of,
    number_of,
    refusal,
    retry_after_seconds,
    time_of,
)
from service.detectors.enums import ReasonCode
from service.detectors.port import Raw

NOW = datetime(2026, 4, 1, 12, 0, 0, tzinfo=UTC)
DAY = 86_400


def raw(status: int = 200, body: bytes = b"{}", **headers: str) -> Raw:
    return Raw(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, NOW)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, ReasonCode.BAD_REQUEST, False),
        (401, ReasonCode.AUTH_FAILED, False),
        (403, ReasonCode.ACCESS_DENIED, False),
        (413, ReasonCode.FILE_TOO_LARGE, False),
        (415, ReasonCode.UNSUPPORTED_FORMAT, False),
        (422, ReasonCode.BAD_REQUEST, False),
        (429, ReasonCode.RATE_LIMITED, True),
        (500, ReasonCode.VENDOR_ERROR, True),
        (503, ReasonCode.VENDOR_ERROR, True),
        (599, ReasonCode.VENDOR_ERROR, True),
        (101, ReasonCode.VENDOR_ERROR, False),
        (302, ReasonCode.VENDOR_ERROR, False),
        (404, ReasonCode.VENDOR_ERROR, False),
        (418, ReasonCode.VENDOR_ERROR, False),
    ],
)
def test_a_status_means_its_reason(status: int, code: ReasonCode, retryable: bool) -> None:
    refused = refusal(raw(status))
    assert (refused.reason_code, refused.retryable) == (code, retryable)
    assert refused.reason_text == f"HTTP {status}"
    assert refused.retry_after_seconds is None


def test_spent_credits_are_not_worth_another_try() -> None:
    refused = refusal(raw(429, b'{"detail": "Insufficient credits."}', retry_after="1"))
    assert (refused.reason_code, refused.retryable) == (ReasonCode.QUOTA_EXCEEDED, False)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("999999", DAY),
        ("9" * 5000, None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
        ("Wed, 01 Apr 2026 12:00:30 GMT", 30),
        ("Wed, 01 Apr 2026 12:00:30 -0000", 30),
        ("Wed, 01 Apr 2026 11:00:00 GMT", 0),
        ("Fri, 01 Apr 2033 11:00:00 GMT", DAY),
        ("Wed, 99 Foo 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_a_day(value: str, seconds: int | None) -> None:
    assert retry_after_seconds(raw(429, retry_after=value)) == seconds
    assert refusal(raw(503, retry_after=value)).retry_after_seconds == seconds
    assert refusal(raw(400, retry_after=value)).retry_after_seconds is None


@given(st.text())
def test_any_retry_after_is_none_or_within_a_day(value: str) -> None:
    seconds = retry_after_seconds(raw(429, retry_after=value))
    assert seconds is None or 0 <= seconds <= DAY


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": "unauthorized", "message": "Invalid key", "status": 401}, "unauthorized: Invalid key"),
        (
            {"error": {"code": "invalid_request", "message": "no", "details": {}}},
            "invalid_request: no",
        ),
        ({"status": "error", "message": "later"}, "later"),
        ({"detail": "Insufficient credits."}, "Insufficient credits."),
        ({"detail": [{"msg": "field required"}, {"msg": "too long"}, 3]}, "field required: too long"),
        ({"error": 5, "message": None}, None),
        ({}, None),
    ],
)
def test_error_envelopes_are_put_into_words(body: dict[str, object], text: str | None) -> None:
    assert error_text(body) == text


def test_the_words_of_a_refusal_are_one_short_clean_line_without_the_key() -> None:
    body = b'{"message": "bad\\u0000\\n\\u202ekey asc_secret ' + b"x" * 1000 + b'"}'
    refused = refusal(raw(400, body), hide=["asc_secret"])
    assert refused.reason_text.startswith("bad\ufffd key [key] xxx")
    assert len(refused.reason_text) == 500


def test_an_empty_key_hides_nothing() -> None:
    assert refusal(raw(400, b'{"message": "abc"}'), hide=[""]).reason_text == "abc"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"x"',
        b"{",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"prediction": "human", "prediction": "ai"}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a": "\xff"}',
    ],
)
def test_what_is_not_one_clear_object_is_nothing(body: bytes) -> None:
    assert json_object(body) is None


def test_what_no_database_stores_is_replaced() -> None:
    found = json_object(b'{"a": ["\\u0000", "\\ud800", "\\ud83d\\ude00"], "\\u0000": 1}')
    assert found == {"a": ["\ufffd", "\ufffd", "\U0001f600"], "\ufffd": 1}


def test_references_are_always_strings() -> None:
    assert name_of(859978972511678465) == "859978972511678465"
    others: list[object] = [True, None, "", 1.5, []]
    assert [name_of(value) for value in others] == [None] * 5


def test_a_number_is_neither_a_truth_value_nor_outside_its_range() -> None:
    assert number_of(0, 0, 1) == 0
    assert [number_of(value, 0, 1) for value in (True, "1", 1.01, -1, None)] == [None] * 5


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2025-12-04T05:30:15Z", datetime(2025, 12, 4, 5, 30, 15, tzinfo=UTC)),
        ("2025-12-04T05:30:15+09:00", datetime(2025, 12, 3, 20, 30, 15, tzinfo=UTC)),
        ("2025-12-04T05:30:15", datetime(2025, 12, 3, 20, 30, 15, tzinfo=UTC)),
        ("2025-12-04", None),
        ("0001-01-01T00:00:00", None),
        ("Tuesday", None),
        (5, None),
    ],
)
def test_a_time_is_aware_utc_or_nothing(value: object, at: datetime | None) -> None:
    assert time_of(value, zoneless=timezone(timedelta(hours=9))) == at
    if isinstance(value, str) and not value.endswith(("Z", "+09:00")):
        assert time_of(value) is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (402, ""),
        (402, "unauthorized: Invalid key"),
        (403, "insufficient_credits: Buy more"),
        (403, "Your account balance is negative"),
        (403, "Payment required"),
        (403, "Prepaid plan: no funds left"),
        (429, "INSUFFICIENT BALANCE"),
        (429, "You have no credits left"),
        (429, "Too many requests: you are out of credit"),
    ],
)
def test_a_vendor_that_wants_money_first_is_told_apart(status: int, words: str) -> None:
    refused = refusal(raw(status, json.dumps({"message": words}).encode(), retry_after="60"))
    assert (refused.reason_code, refused.retryable) == (ReasonCode.QUOTA_EXCEEDED, False)


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (403, "Forbidden by the load balancer", ReasonCode.ACCESS_DENIED),
        (403, "accredited customers only", ReasonCode.ACCESS_DENIED),
        (429, "Rate limit exceeded. Buy credits for a higher one.", ReasonCode.RATE_LIMITED),
        (429, "Too many concurrent requests for your balance", ReasonCode.RATE_LIMITED),
        (400, "The field credit is unknown", ReasonCode.BAD_REQUEST),
        (500, "payment service down", ReasonCode.VENDOR_ERROR),
    ],
)
def test_words_of_money_elsewhere_mean_what_the_status_says(status: int, words: str, code: ReasonCode) -> None:
    assert refusal(raw(status, json.dumps({"message": words}).encode())).reason_code is code
