from datetime import UTC, datetime, timedelta, timezone

from service.kit.clock import milliseconds_between, rfc3339, seconds
from service.kit.system_clock import system_clock

_AT = datetime(2026, 11, 20, 23, 41, 0, 123_999, tzinfo=UTC)


def test_the_system_clock_is_aware_and_in_utc() -> None:
    assert system_clock().utcoffset() == timedelta(0)


def test_rfc3339_is_utc_with_milliseconds_cut_off() -> None:
    assert rfc3339(_AT) == "2026-11-20T23:41:00.123Z"
    assert rfc3339(_AT.astimezone(timezone(timedelta(hours=9)))) == "2026-11-20T23:41:00.123Z"


def test_spans_are_counted_in_milliseconds_and_may_be_negative() -> None:
    assert milliseconds_between(_AT, _AT + seconds(1.5)) == 1500
    assert milliseconds_between(_AT + seconds(0.002), _AT) == -2
