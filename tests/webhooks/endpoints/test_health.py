"""When an endpoint is warned of and disabled: five days without a success, and twenty failures at least."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.endpoints.health import DisablePolicy, FailureStreak, after_attempts, percent_due

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY = DisablePolicy()
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("hours", "failures", "warned", "due"),
    [
        (59.9, 500, 0, None),
        (60, 20, 0, 50),
        (60, 3, 0, 50),
        (60, 20, 50, None),
        (89.9, 20, 50, None),
        (90, 20, 50, 75),
        (108, 20, 75, 90),
        (110, 20, 0, 90),
        (119.9, 500, 90, None),
        (120, 20, 90, 100),
        (120, 20, 0, 100),
        (120, 19, 90, None),
        (240, 19, 0, 90),
        (2400, 20, 90, 100),
    ],
)
def test_what_is_due_after_so_many_hours_and_failures(
    hours: float, failures: int, warned: int, due: int | None
) -> None:
    assert percent_due(FailureStreak(NOW - hours * HOUR, failures, warned), POLICY, NOW) == due


def test_an_endpoint_that_does_not_fail_is_left_alone() -> None:
    assert percent_due(FailureStreak(), POLICY, NOW) is None


def test_failures_are_counted_from_the_first() -> None:
    outcomes = [(NOW + n * HOUR, False) for n in range(3)]
    assert after_attempts(FailureStreak(), outcomes) == FailureStreak(NOW, 3)
    assert after_attempts(FailureStreak(NOW - HOUR, 5, 50), outcomes) == FailureStreak(NOW - HOUR, 8, 50)


def test_one_success_wipes_all_out_and_what_fails_afterwards_begins_anew() -> None:
    outcomes = [(NOW, False), (NOW + HOUR, True), (NOW + 2 * HOUR, False)]
    assert after_attempts(FailureStreak(NOW - HOUR, 90, 75), outcomes[:2]) == FailureStreak()
    assert after_attempts(FailureStreak(NOW - HOUR, 90, 75), outcomes) == FailureStreak(NOW + 2 * HOUR, 1)


@given(st.lists(st.booleans(), max_size=30))
def test_the_count_is_of_those_after_the_last_success(successes: list[bool]) -> None:
    outcomes = [(NOW + n * HOUR, succeeded) for n, succeeded in enumerate(successes)]
    streak = after_attempts(FailureStreak(), outcomes)
    tail = len(successes) - (max((n for n, each in enumerate(successes) if each), default=-1) + 1)
    assert streak.failures == tail
    assert (streak.failing_since is None) == (tail == 0)
