"""What answers tell of the next request, and what the gate makes of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.detectors.answers import refusal
from service.detectors.catalogue import Limits
from service.detectors.enums import ReasonCode, RunStatus
from service.detectors.port import Raw, Refused
from service.detectors.reading import Reading
from service.quotas.feedback import GateFeedback, ReportedLimit, apply_feedback, feedback_from, reported_limit
from service.quotas.gates import Purpose, Throttled, WaitingFor, check_gate
from service.quotas.models import Gate
from service.vendors import VENDORS
from service.vendors.modulate.refusals import closed
from tests.detections.scripted import NOW, raw
from tests.vendors.contract import exchange

RESET = NOW + timedelta(hours=12)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def limits_of(remaining: object, reset: object, status: int = 200, limit: object = 100) -> Raw:
    names = {"x_ratelimit_limit": limit, "x_ratelimit_remaining": remaining, "x_ratelimit_reset": reset}
    return raw({}, status, NOW, **{name: str(value) for name, value in names.items() if value is not None})


def test_the_three_headers_are_read_as_asc_prints_them() -> None:
    assert reported_limit(limits_of(42, int(RESET.timestamp()))) == ReportedLimit(42, RESET, 100)


@pytest.mark.parametrize(
    ("remaining", "reset"),
    [
        (None, int(RESET.timestamp())),
        (5, None),
        (5, 1711929600),  # ASC's own sample
        (5, int(at(3_000_000).timestamp())),
        (5, 999_999_999_999),
        (5, int(NOW.timestamp())),
        ("-1", int(RESET.timestamp())),
        ("many", int(RESET.timestamp())),
        (5, "tomorrow"),
    ],
)
def test_what_cannot_be_is_not_taken_for_a_limit(remaining: object, reset: object) -> None:
    assert reported_limit(limits_of(remaining, reset)) is None


def told(status: int, **headers: str) -> GateFeedback:
    answer = raw({}, status, NOW, **headers)
    return feedback_from(answer, refusal(answer) if status >= 300 else None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (told(200), GateFeedback()),
        (told(402), GateFeedback(closed_for=WaitingFor.QUOTA_EXCEEDED, pause=900, unpaid=True)),
        (told(402, retry_after="60"), GateFeedback(closed_for=WaitingFor.QUOTA_EXCEEDED, pause=60, unpaid=True)),
        (told(403), GateFeedback(denied=True)),
        (told(404), GateFeedback(failed=False)),
        (told(422), GateFeedback()),
        (told(500), GateFeedback(failed=True)),
        (told(503), GateFeedback(failed=True)),
        (told(401), GateFeedback(key_refused=True)),
        (told(429), GateFeedback(closed_for=WaitingFor.RATE_LIMITED, pause=30)),
        (told(429, retry_after="7"), GateFeedback(closed_for=WaitingFor.RATE_LIMITED, pause=7)),
        (told(429, retry_after="40000"), GateFeedback(closed_for=WaitingFor.QUOTA_EXCEEDED, pause=40_000)),
        (feedback_from(None), GateFeedback(failed=True)),
    ],
)
def test_each_answer_tells_one_thing(answer: GateFeedback, expected: GateFeedback) -> None:
    assert answer == expected


def test_used_up_credit_closes_the_gate_for_a_while() -> None:
    answer = raw({"detail": "Insufficient credits."}, 429)
    assert feedback_from(answer, refusal(answer)) == GateFeedback(
        closed_for=WaitingFor.QUOTA_EXCEEDED, pause=900, unpaid=True
    )


CREDIT, BUSY = "Insufficient credits.", "Too many concurrent streams."
UNPAID = GateFeedback(closed_for=WaitingFor.QUOTA_EXCEEDED, pause=900, unpaid=True)


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (1001, None, GateFeedback(failed=True)),
        (1003, "Invalid num_channels=12.", GateFeedback()),
        (1005, None, GateFeedback(failed=True)),
        (1006, None, GateFeedback(failed=True)),
        (1006, CREDIT, UNPAID),
        (1011, "Internal server error", GateFeedback(failed=True)),
        (4001, "No such key.", GateFeedback(key_refused=True)),
        (4002, "It may be corrupted.", GateFeedback()),
        (4003, "This request is not permitted.", GateFeedback(denied=True)),
        (4003, "Unable to validate request. Please try again.", GateFeedback(failed=True)),
        (4003, "Monthly usage limit reached.", UNPAID),
        (4004, "words that no document explains", GateFeedback()),
        (4029, CREDIT, UNPAID),
        (4029, BUSY, GateFeedback(closed_for=WaitingFor.RATE_LIMITED, pause=30)),
    ],
)
def test_a_streams_close_code_is_no_http_status(code: int, words: str | None, expected: GateFeedback) -> None:
    assert feedback_from(Raw(code, {}, b"", NOW), closed(code, words, [])) == expected


@pytest.mark.parametrize("detector", ["aippim/pro", "asc", "modulate"])
@pytest.mark.parametrize("status", ["failure", "failed"])
def test_out_of_credit_told_by_a_job_that_ended_is_heard(detector: str, status: str) -> None:
    vendor = VENDORS[detector.partition("/")[0]]
    adapter = vendor.adapter(vendor.settings(), exchange())
    answer = raw({"status": status, "message": CREDIT, "error": CREDIT, "detail": CREDIT}, 200, NOW)
    said = adapter.read(answer, detector)
    assert said.reason_code is ReasonCode.QUOTA_EXCEEDED
    assert feedback_from(answer, said) == UNPAID


def test_a_job_that_failed_for_another_reason_says_nothing_of_credit() -> None:
    said = Reading(status=RunStatus.FAILED, reason_code=ReasonCode.VENDOR_ERROR, reason_text="the decoder crashed")
    assert feedback_from(raw({}, 200, NOW), said) == GateFeedback()


@pytest.mark.parametrize("code", [1000, 1005, 1006, 1011])
@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.NOT_APPLICABLE])
def test_a_stream_that_was_answered_tells_that_the_vendor_answers(code: int, status: RunStatus) -> None:
    told = feedback_from(Raw(code, {}, b"", NOW), Reading(status=status))
    assert told.plain
    assert after(*[told] * 9).circuit == "closed"


@pytest.mark.parametrize("status", [500, 503, 599])
def test_a_5xx_is_a_failure_whatever_its_words(status: int) -> None:
    said = Refused(ReasonCode.QUOTA_EXCEEDED, CREDIT, retryable=False)
    assert feedback_from(raw({}, status, NOW), said) == GateFeedback(failed=True)


def after(*answers: GateFeedback, limits: Limits | None = None, **values: Any) -> Gate:
    gate = Gate(vendor="asc", mode="live", **values)
    for answer in answers:
        apply_feedback(gate, limits or Limits(), answer, NOW)
    return gate


def test_a_429_closes_the_gate_until_retry_after_and_a_shorter_one_does_not_open_it() -> None:
    gate = after(told(429, retry_after="77"), told(429, retry_after="5"))
    assert (gate.closed_until, gate.closed_for, gate.circuit) == (at(77), "rate_limited", "closed")


def test_pressure_is_kept_where_the_vendor_wants_it() -> None:
    assert after(told(429), limits=Limits(keep_pressure=True)).closed_until is None
    assert after(told(429, retry_after="40000"), limits=Limits(keep_pressure=True)).closed_until is not None


def test_a_vendor_that_wants_money_holds_up_submissions_only_and_a_taken_one_lifts_it() -> None:
    gate = after(told(402))
    limits = Limits()
    assert check_gate(gate, limits, Purpose.SUBMIT, NOW) == Throttled(WaitingFor.QUOTA_EXCEEDED, at(900), unpaid=True)
    assert check_gate(gate, limits, Purpose.POLL, NOW) is None
    apply_feedback(gate, limits, told(200), NOW)
    assert check_gate(gate, limits, Purpose.SUBMIT, NOW) is not None, "a poll's answer says nothing of money"
    apply_feedback(gate, limits, GateFeedback(taken=True), NOW)
    assert check_gate(gate, limits, Purpose.SUBMIT, NOW) is None


def test_a_longer_pause_of_another_kind_does_not_hide_that_money_is_wanted() -> None:
    gate = after(told(429, retry_after="40000"), told(402))
    assert (gate.closed_until, gate.closed_for) == (at(40_000), "out_of_credit")


def test_a_429_is_an_answer_and_no_failure() -> None:
    gate = after(*[told(503)] * 4, told(429), *[told(503)] * 4)
    assert (gate.circuit, gate.failures) == ("closed", 4)


def test_of_one_window_the_lower_count_holds_and_a_new_window_begins_anew() -> None:
    def said(remaining: int, resets_at: datetime) -> GateFeedback:
        return GateFeedback(reported=ReportedLimit(remaining, resets_at))

    assert after(said(50, RESET), said(60, RESET)).quota_left == 50
    assert after(said(50, RESET), said(40, RESET)).quota_left == 40
    gate = after(said(1, RESET), said(90, RESET + timedelta(days=1)))
    assert (gate.quota_left, gate.resets_at) == (90, RESET + timedelta(days=1))
    assert after(said(90, RESET), said(1, at(60))).quota_left == 90, "an answer of an earlier window"


def test_times_are_utc() -> None:
    said = reported_limit(limits_of(1, int(RESET.timestamp())))
    assert said is not None
    assert said.resets_at.tzinfo is UTC


def test_the_vendors_own_limit_is_kept_beside_what_is_left() -> None:
    def said(remaining: int, limit: int | None, resets_at: datetime = RESET) -> GateFeedback:
        return GateFeedback(reported=ReportedLimit(remaining, resets_at, limit))

    assert after(said(50, 100)).quota_limit == 100
    assert after(said(50, 100), said(49, None)).quota_limit == 100
    assert after(said(50, None), said(40, None)).quota_limit == 50, "the most that was left in it"
    assert after(said(50, 100), said(20, 30)).quota_limit == 30, "the plan shrank"
    assert after(said(50, 100), said(90, None, RESET + timedelta(days=1))).quota_limit == 90
    assert reported_limit(limits_of(5, int(RESET.timestamp()), limit=999_999_999_999)) == ReportedLimit(
        5, RESET, 2**31 - 1
    )
