"""When the next attempt is due: the schedule, the endpoint's own wish, the floor."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.sending.attempt import Outcome, class_of_status
from service.webhooks.sending.finish import explain
from service.webhooks.sending.retry import RetryPolicy, hint_seconds, next_attempt_at

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SCHEDULE = (0.0, 5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
POLICY = RetryPolicy(SCHEDULE, throttled_floor=60)
DAY = 86_400


def wait(
    attempts: int = 1,
    status: int | None = 500,
    error: str | None = "http_5xx",
    hint: str | None = None,
    random: float = 0,
    policy: RetryPolicy = POLICY,
) -> float | None:
    at = next_attempt_at(
        policy,
        attempts=attempts,
        status_code=status,
        error_class=error,
        retry_after=hint,
        now=NOW,
        random=lambda: random,
    )
    return None if at is None else (at - NOW).total_seconds()


def test_the_schedule_is_followed_to_its_end() -> None:
    assert [wait(attempts) for attempts in range(1, 12)] == [*SCHEDULE[1:], None, None]


def test_the_standards_advice_spans_ten_tries_and_75_hours() -> None:
    assert len(SCHEDULE) == 10
    assert timedelta(seconds=sum(SCHEDULE)) == timedelta(hours=75, minutes=35, seconds=5)


def test_jitter_adds_at_most_a_tenth() -> None:
    assert wait(2, random=0.999) == pytest.approx(300 * 1.0999)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_overloaded_endpoint_has_a_minute_although_the_schedule_says_less(status: int) -> None:
    assert wait(1, status) == 60
    assert wait(2, status) == 300


def test_a_timeout_too_has_its_minute_and_other_failures_have_not() -> None:
    assert wait(1, None, "timeout") == 60
    assert [wait(1, None, error) for error in ("reset", "refused", "dns", "tls", "blocked", "internal")] == [5] * 6
    assert [wait(1, status, class_of_status(status)) for status in (301, 400, 500, 501)] == [5] * 4


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
def test_the_endpoints_wish_counts_at_any_status_if_it_is_later(status: int) -> None:
    assert wait(1, status, "any", "120") == 120
    assert wait(3, status, "any", "120") == 1800


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("86400", DAY),
        ("86401", DAY),
        ("9" * 5000, DAY),
        ("0000000000120", 120),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        ("Friday, 20-Nov-26 12:01:30 GMT", 90),
        ("Fri Nov 20 12:01:30 2026", 90),
        (format_datetime(NOW - timedelta(days=3), usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
    ],
)
def test_a_wish_is_read_as_seconds_or_a_date_and_capped_at_a_day(text: str, seconds: float) -> None:
    assert hint_seconds(text, NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "soon",
        "0x10",
        "٣",
        "12 0",
        "nan",
        "inf",
        "Fri, 99 Nov 2026 12:00:00 GMT",
        "\0",
    ],
)
def test_junk_is_no_wish(text: str) -> None:
    assert hint_seconds(text, NOW) is None
    assert wait(1, hint=text) == 5


def test_no_header_is_no_wish() -> None:
    assert hint_seconds(None, NOW) is None


@given(st.text(max_size=60))
def test_whatever_stands_in_the_header_the_wish_is_sane(text: str) -> None:
    assert 0 <= (hint_seconds(text, NOW) or 0) <= DAY


@given(
    schedule=st.lists(st.floats(0, 1e6), min_size=1, max_size=12),
    floor=st.floats(0, 1000),
    attempts=st.integers(1, 15),
    status=st.sampled_from([None, 301, 404, 410, 429, 500, 502, 503, 504]),
    hint=st.none() | st.integers(0, 10**6).map(str),
    random=st.floats(0, 1, exclude_max=True),
)
def test_no_try_is_early_and_none_is_beyond_the_schedule(
    schedule: list[float], floor: float, attempts: int, status: int | None, hint: str | None, random: float
) -> None:
    policy = RetryPolicy(tuple(schedule), floor)
    waited = wait(attempts, status, "timeout" if status is None else "any", hint, random, policy)
    assert (waited is None) == (attempts >= len(schedule))
    if waited is not None:
        floored = max(schedule[attempts], floor if status in (None, 429, 502, 503, 504) else 0)
        asked = min(int(hint or 0), DAY)
        assert max(floored, asked) - 1e-5 <= waited <= max(floored * 1.1, asked) + 1e-5


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, class_of_status(status)) for status in (200, 299, 301, 400, 410, 429, 500, 599, 999)),
        *((None, error) for error in ("dns", "refused", "reset", "tls", "timeout", "blocked", "internal")),
    ],
)
def test_every_outcome_has_a_sentence(status: int | None, error: str | None) -> None:
    sentence = explain(Outcome(status, error, {"total": 12}))
    assert sentence.endswith(".")
    assert "None" not in sentence
    assert status is None or str(status) in sentence
