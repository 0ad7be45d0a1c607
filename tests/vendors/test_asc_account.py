"""What ASC tells of itself, and where it is told our address."""

from datetime import UTC, datetime

import pytest

from service.detectors.enums import ReasonCode
from service.detectors.extensions import (
    CheckedCertificate,
    IssuesCertificates,
    Quota,
    RegistersCallbackUrl,
    ReportsAccount,
    Usage,
)
from service.detectors.port import Raw, Refused
from tests.vendors.asc_answers import adapter
from tests.vendors.contract import KEY, raw, sample
from tests.vendors.vendor_server import vendor_server

QUOTA, USAGE = sample("asc", "quota_reply"), sample("asc", "usage_reply")


def test_it_offers_all_three() -> None:
    vendor = adapter()
    assert isinstance(vendor, IssuesCertificates)
    assert isinstance(vendor, ReportsAccount)
    assert isinstance(vendor, RegistersCallbackUrl)


def test_the_quota_sample_reads_as_documented() -> None:
    assert adapter().parse_quota(raw(QUOTA)) == Quota("pro", 10_000, 342, 9658, datetime(2026, 3, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    ("changed", "remaining"),
    [
        ({"daily_remaining": None}, 9658),
        ({"daily_remaining": None, "daily_used": 10_001}, 0),
        ({"daily_remaining": 0}, 0),
        ({"plan": 5, "reset_at": "soon"}, 9658),
    ],
)
def test_what_is_left_is_taken_or_reckoned(changed: dict[str, object], remaining: int) -> None:
    found = adapter().parse_quota(raw({**QUOTA, **changed}))
    assert isinstance(found, Quota)
    assert found.remaining == remaining


@pytest.mark.parametrize("body", [{}, {"daily_remaining": "many"}, {"daily_remaining": -1}, {"daily_limit": 9}, []])
def test_an_answer_that_does_not_say_what_is_left_says_nothing(body: object) -> None:
    found = adapter().parse_quota(raw(body))
    assert isinstance(found, Refused)
    assert found.reason_code is ReasonCode.SCHEMA_MISMATCH


def test_the_usage_sample_reads_as_documented() -> None:
    found = adapter().parse_usage(raw(USAGE), "month")
    assert isinstance(found, Usage)
    assert (found.period, found.counts["analyses_count"], found.counts["data_processed_mb"]) == ("month", 1180, 2456.8)
    assert isinstance(adapter().parse_usage(raw({}), "today"), Refused)


def test_the_breakdown_of_what_was_used_is_kept_as_it_comes() -> None:
    more = {"endpoints": {"analyze": 7}, "note": "x"}
    found = adapter().parse_usage(raw({**USAGE, **more}), "month")
    assert isinstance(found, Usage)
    assert (found.more, found.counts) == (more, {key: value for key, value in USAGE.items() if key != "period"})


@pytest.mark.parametrize(("detailed", "query"), [(False, ""), (True, "&detailed=true")])
async def test_the_breakdown_is_asked_for_where_it_is_wanted(detailed: bool, query: str) -> None:
    async with vendor_server({f"GET /v1?action=usage&period=week{query}": ("200 OK", USAGE)}) as server:
        vendor = adapter(f"{server.url}/v1", usage_detailed=detailed)
        assert isinstance(vendor.parse_usage(await vendor.fetch_usage("week"), "week"), Usage)


def test_the_health_sample_reads_as_documented() -> None:
    assert adapter().parse_status(raw(sample("asc", "health_reply"))) == {
        "status": "operational", "version": "1.0", "engine": "v8.3", "uptime_percent": "99.98",
    }  # fmt: skip
    assert isinstance(adapter().parse_status(raw({})), Refused)


@pytest.mark.parametrize(
    ("body", "confirmed"),
    [
        (b"", False),
        (b"  ", False),
        ({}, False),
        ({"id": "wh_1"}, True),
        ({"status": "active"}, True),
        ({"success": True, "error": None}, True),
        ({"id": "wh_1", "active": False}, False),
        ({"webhook": {"enabled": False}}, False),
    ],
)
def test_a_success_registers_us_and_only_one_that_says_so_confirms_it(body: object, confirmed: bool) -> None:
    assert adapter().parse_registration(raw(body, 201)) is None
    assert adapter().confirmed(raw(body, 201)) is confirmed


@pytest.mark.parametrize(
    "answer", [raw({}, 400), raw(sample("asc", "error_unauthorized")), raw(b"<html>"), raw([], 500)]
)
def test_what_is_no_success_does_not(answer: Raw) -> None:
    assert isinstance(adapter().parse_registration(answer), Refused)


NO = [
    ({"success": False, "message": "bad url"}, "bad url"),
    ({"error": "x"}, "x"),
    ({"ok": "false", "message": f"key {KEY}"}, "key [key]"),
    ({"status": "failed", "message": "not now"}, "not now"),
    ({"data": {"error": {"code": "limit", "message": "one only"}}}, "limit: one only"),
]


@pytest.mark.parametrize(("said", "words"), NO)
def test_a_success_that_says_no_is_none_whatever_was_asked(said: dict[str, object], words: str) -> None:
    vendor = adapter()
    certificate = sample("asc", "certificate_reply")
    check = sample("asc", "certificate_check_reply")
    for found in (
        vendor.parse_registration(raw(said)),
        vendor.parse_certificate(raw({**certificate, **said})),
        vendor.parse_check(raw({**check, "valid": True, **said}), check["certificate_id"]),
        vendor.parse_quota(raw({**QUOTA, **said})),
        vendor.parse_status(raw({**sample("asc", "health_reply"), **said})),
    ):
        assert isinstance(found, Refused), found
        assert words in found.reason_text
    if "data" not in said:
        assert isinstance(vendor.parse_usage(raw({**USAGE, **said}), "month"), Refused)


def test_numbers_of_what_failed_are_no_failure_of_the_question() -> None:
    quiet = {**USAGE, "successful": 0, "failed": 3, "errors": 3, "endpoints": {"analyze": {"errors": 3}}}
    assert isinstance(adapter().parse_usage(raw(quiet), "month"), Usage)


def test_a_certificate_that_does_not_hold_is_an_answer() -> None:
    check = {**sample("asc", "certificate_check_reply"), "valid": False, "status": "invalid", "error": "revoked"}
    found = adapter().parse_check(raw(check), check["certificate_id"])
    assert isinstance(found, CheckedCertificate)
    assert found.valid is False


def test_a_success_that_wants_money_is_told_apart() -> None:
    found = adapter().parse_certificate(raw({"success": False, "message": "Insufficient credits"}))
    assert isinstance(found, Refused)
    assert found.reason_code is ReasonCode.QUOTA_EXCEEDED


async def test_every_question_has_the_action_that_is_set() -> None:
    answers = {
        "GET /v1?action=s": ("200 OK", sample("asc", "health_reply")),
        "GET /v1?action=q": ("200 OK", QUOTA),
        "GET /v1?action=u&period=today": ("200 OK", USAGE),
        "POST /v1?action=w": ("200 OK", {}),
    }
    async with vendor_server(answers) as server:
        names = {"status_action": "s", "quota_action": "q", "usage_action": "u", "webhook_action": "w"}
        vendor = adapter(f"{server.url}/v1", **names)
        assert isinstance(vendor.parse_quota(await vendor.fetch_quota()), Quota)
        assert isinstance(vendor.parse_usage(await vendor.fetch_usage("today"), "today"), Usage)
        assert not isinstance(vendor.parse_status(await vendor.fetch_status()), Refused)
        assert vendor.parse_registration(await vendor.register("https://r.example/callbacks/asc/t")) is None
    assert {asked.headers["x-api-key"] for asked in server.asked} == {KEY}
    expected = {**sample("asc", "register_request"), "url": "https://r.example/callbacks/asc/t"}
    assert server.asked[-1].json == expected
