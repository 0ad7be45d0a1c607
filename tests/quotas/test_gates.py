"""What a gate lets through: the limit of a minute, a day, a number of runs; and what it keeps for polls."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.detectors.catalogue import Limits
from service.detectors.enums import ReasonCode
from service.quotas.gates import Purpose, Throttled, WaitingFor, acquire, check_gate, left_today, step
from service.quotas.models import Gate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
SUBMIT, POLL = Purpose.SUBMIT, Purpose.POLL


def gate(**values: Any) -> Gate:
    return Gate(vendor="asc", mode="live", **values)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def taken(one: Gate, limits: Limits, purpose: Purpose, now: datetime, requests: int = 1) -> int:
    """How many go at this instant."""
    count = 0
    while check_gate(one, limits, purpose, now, requests=requests) is None:
        acquire(one, limits, now, requests=requests)
        count += 1
    return count


def test_without_limits_everything_goes() -> None:
    assert check_gate(gate(), Limits(), SUBMIT, NOW, requests=9, under_way=10_000) is None


def test_a_minute_lets_its_limit_through_and_says_when_there_is_room_again() -> None:
    one, limits = gate(), Limits(per_minute=5)
    assert taken(one, limits, SUBMIT, NOW) == 5
    hold = check_gate(one, limits, SUBMIT, at(10))
    assert hold == Throttled(WaitingFor.RATE_LIMITED, at(61))
    assert check_gate(one, limits, SUBMIT, at(60.9)) is not None
    assert check_gate(one, limits, SUBMIT, at(61)) is None


def test_a_submission_of_two_requests_takes_two() -> None:
    assert taken(gate(), Limits(per_minute=9), SUBMIT, NOW, requests=2) == 4


def test_a_limit_below_one_submission_lets_one_through_at_a_time() -> None:
    one, limits = gate(), Limits(per_minute=1)
    assert taken(one, limits, SUBMIT, NOW, requests=2) == 1
    assert check_gate(one, limits, SUBMIT, at(60.9), requests=2) is not None
    assert taken(one, limits, SUBMIT, at(61), requests=2) == 1


@pytest.mark.parametrize("limits", [Limits(per_minute=100), Limits(daily_quota=100)])
def test_a_tenth_is_kept_for_what_is_under_way(limits: Limits) -> None:
    one = gate()
    assert taken(one, limits, SUBMIT, NOW) == 90
    assert taken(one, limits, POLL, NOW) == 10


def test_a_day_begins_at_midnight_utc() -> None:
    one, limits = gate(), Limits(daily_quota=9)
    assert taken(one, limits, SUBMIT, NOW) == 9
    assert check_gate(one, limits, POLL, at(3600)) == Throttled(WaitingFor.QUOTA_EXCEEDED, MIDNIGHT)
    assert left_today(one, limits, NOW) == 0
    assert left_today(one, limits, MIDNIGHT) == 9
    assert taken(one, limits, SUBMIT, MIDNIGHT) == 9


def test_the_vendors_own_count_holds_beside_ours() -> None:
    one, limits = gate(quota_left=20, resets_at=at(7200), quota_limit=200), Limits(daily_quota=100)
    assert left_today(one, limits, NOW) == 20
    assert taken(one, limits, SUBMIT, NOW) == 10
    assert check_gate(one, limits, SUBMIT, NOW) == Throttled(WaitingFor.QUOTA_EXCEEDED, at(7200))
    assert taken(one, limits, POLL, NOW) == 10
    assert check_gate(one, limits, SUBMIT, at(7200)) is None


def test_a_count_that_is_reset_within_two_minutes_is_a_rate() -> None:
    hold = check_gate(gate(quota_left=0, resets_at=at(40)), Limits(), SUBMIT, NOW)
    assert hold == Throttled(WaitingFor.RATE_LIMITED, at(40))


def test_places_at_the_vendor_are_counted_for_submissions_only() -> None:
    limits = Limits(concurrency=3)
    assert check_gate(gate(), limits, SUBMIT, NOW, under_way=2) is None
    full = check_gate(gate(), limits, SUBMIT, NOW, under_way=3)
    assert full is not None
    assert (full.waiting_for, full.until > NOW) == (WaitingFor.CONCURRENCY, True)
    assert check_gate(gate(), limits, POLL, NOW, under_way=3) is None


def test_a_closed_gate_lets_nothing_through_until_it_opens() -> None:
    one = gate(closed_until=at(30), closed_for="quota_exceeded")
    assert check_gate(one, Limits(), POLL, at(29)) == Throttled(WaitingFor.QUOTA_EXCEEDED, at(30))
    assert check_gate(one, Limits(), POLL, at(30)) is None


def test_one_probe_goes_through_a_circuit_that_may_close() -> None:
    one = gate(circuit="open", circuit_until=at(30))
    assert check_gate(one, Limits(), SUBMIT, at(29)) == Throttled(WaitingFor.CIRCUIT_OPEN, at(30))
    assert taken(one, Limits(), SUBMIT, at(30)) == 1
    assert one.circuit == "half_open"
    assert taken(one, Limits(), POLL, at(60)) == 0
    assert taken(one, Limits(), POLL, at(30 + 240)) == 1, "the first probe is lost"


@pytest.mark.parametrize(("word", "reason"), [(word, word) for word in WaitingFor if word != "concurrency"])
def test_what_holds_until_the_deadline_is_why_it_failed(word: WaitingFor, reason: str) -> None:
    assert word.reason == reason
    assert WaitingFor.CONCURRENCY.reason is ReasonCode.RATE_LIMITED


def test_steps_follow_the_tightest_limit() -> None:
    assert step(gate(), Limits(per_minute=60), NOW) == pytest.approx(60 / 54)
    assert step(gate(), Limits(per_minute=100, concurrency=2), NOW, 2) == 15
    assert step(gate(), Limits(), NOW) == 0.25


_CLAIMS = st.lists(
    st.tuples(
        st.one_of(st.floats(0, 3), st.floats(0, 90), st.sampled_from([0.0, 1.0, 59.0, 59.999999, 60.0, 61.0])),
        st.sampled_from([1, 2]),
        st.sampled_from([SUBMIT, POLL]),
    ),
    max_size=120,
)


@given(_CLAIMS, st.integers(2, 30), st.integers(2, 60), st.floats(0, 86_400))
@settings(deadline=None)
def test_no_minute_and_no_day_ever_sees_more_than_its_limit(
    claims: list[tuple[float, int, Purpose]], per_minute: int, daily: int, start: float
) -> None:
    limits, one, now = Limits(per_minute=per_minute, daily_quota=daily), gate(), at(start)
    went: list[tuple[datetime, int]] = []
    for wait, requests, purpose in claims:
        now += timedelta(seconds=wait)
        hold = check_gate(one, limits, purpose, now, requests=requests)
        assert hold is None or hold.until > now
        if hold is None:
            acquire(one, limits, now, requests=requests)
            went.append((now, requests))
    for first, _ in went:
        minute = sum(count for when, count in went if first <= when < first + timedelta(seconds=60))
        assert minute <= per_minute
        assert sum(count for when, count in went if when.date() == first.date()) <= daily


@given(_CLAIMS, st.integers(2, 30))
@settings(deadline=None)
def test_whoever_comes_when_told_to_gets_through_if_nobody_else_came(
    claims: list[tuple[float, int, Purpose]], per_minute: int
) -> None:
    limits, one, now = Limits(per_minute=per_minute), gate(), NOW
    for wait, requests, purpose in claims:
        now += timedelta(seconds=wait)
        hold = check_gate(one, limits, purpose, now, requests=requests)
        if hold is not None:
            assert check_gate(one, limits, purpose, hold.until, requests=requests) is None
        else:
            acquire(one, limits, now, requests=requests)


def test_no_more_is_kept_than_a_tenth_of_what_the_vendor_says_it_allows() -> None:
    limits = Limits(daily_quota=1_000_000)
    one = gate(quota_left=9_999, resets_at=at(7200), quota_limit=10_000)
    assert check_gate(one, limits, SUBMIT, NOW) is None
    assert taken(one, limits, SUBMIT, NOW) == 9_999 - 1_000
    assert left_today(one, limits, NOW) == 1_000


def test_where_the_plan_shrinks_in_mid_day_the_smaller_tenth_is_kept() -> None:
    one, limits = gate(window_started_at=NOW.replace(hour=0), window_used=5_000), Limits(daily_quota=10_000)
    one.quota_left, one.quota_limit, one.resets_at = 120, 200, at(7200)
    assert taken(one, limits, SUBMIT, NOW) == 100
    assert taken(one, limits, POLL, NOW) == 20


@given(
    configured=st.one_of(st.none(), st.integers(1, 100_000)),
    said=st.one_of(st.none(), st.integers(0, 100_000)),
    left=st.integers(0, 100_000),
    used=st.integers(0, 100_000),
    requests=st.sampled_from([1, 2]),
)
@settings(deadline=None)
def test_a_submission_goes_whenever_a_tenth_of_the_smaller_limit_stays(
    configured: int | None, said: int | None, left: int, used: int, requests: int
) -> None:
    limits = Limits(daily_quota=configured)
    one = gate(quota_left=left, quota_limit=said, resets_at=at(7200))
    one.window_started_at, one.window_used = NOW.replace(hour=0), used
    smaller = min(limit for limit in (configured, left if said is None else said) if limit is not None)
    stays = min(left, left if configured is None else configured - used) - requests
    assert (check_gate(one, limits, SUBMIT, NOW, requests=requests) is None) == (stays >= smaller // 10)
    assert (left_today(one, limits, NOW) or 0) <= max(0, min(left, said or left))


def test_a_minutes_limit_that_the_vendor_says_sets_the_step() -> None:
    limits = Limits(per_minute=600)
    assert step(gate(quota_left=5, quota_limit=60, resets_at=at(40)), limits, NOW) == pytest.approx(60 / 54)
    assert step(gate(quota_left=5, quota_limit=60, resets_at=at(7200)), limits, NOW) == 0.25


def test_a_clock_that_is_behind_at_midnight_moves_no_day_back() -> None:
    limits = Limits(daily_quota=20)
    one = gate(window_started_at=NOW.replace(hour=0), window_used=20)
    ahead, behind = MIDNIGHT + timedelta(seconds=1), MIDNIGHT - timedelta(seconds=1)
    for _ in range(5):
        acquire(one, limits, ahead)
        acquire(one, limits, behind)
    assert left_today(one, limits, ahead) == 10
