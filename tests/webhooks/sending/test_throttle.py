"""No more attempts at once, and in any one second, than the endpoint is to have."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.sending.throttle import Throttle

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_so_many_at_once_and_another_when_one_has_ended() -> None:
    throttle = Throttle(most_at_once=2)
    assert [throttle.begin(None, NOW) for _ in range(3)] == [True, True, False]
    throttle.end(NOW, SECOND)
    assert [throttle.begin(None, NOW) for _ in range(2)] == [True, False]


@given(st.integers(1, 5), st.lists(st.integers(0, 700), max_size=60))
def test_no_second_wherever_it_begins_holds_more_than_the_rate(rate: int, gaps: list[int]) -> None:
    throttle, now, begun = Throttle(most_at_once=1000), NOW, []
    for gap in gaps:
        now += timedelta(milliseconds=gap)
        if throttle.begin(rate, now):
            begun.append(now)
    assert all(sum(start <= each < start + SECOND for each in begun) <= rate for start in begun)
    assert not gaps or begun[0] == NOW + timedelta(milliseconds=gaps[0])


def test_a_second_later_the_next_may_begin() -> None:
    throttle = Throttle(most_at_once=10)
    assert [throttle.begin(2, NOW + offset * SECOND) for offset in (0, 0.5, 0.999, 1, 1.4, 1.5)] == [
        True, True, False, True, False, True,
    ]  # fmt: skip


def test_those_turned_away_queue_up_one_behind_the_other() -> None:
    throttle = Throttle(most_at_once=10)
    places = [(throttle.next_slot(4, NOW) - NOW).total_seconds() for _ in range(6)]
    assert places == [1, 1.25, 1.5, 1.75, 2, 2.25]


def test_without_a_rate_the_line_moves_as_fast_as_attempts_of_a_second_would() -> None:
    throttle = Throttle(most_at_once=2)
    assert [(throttle.next_slot(None, NOW) - NOW).total_seconds() for _ in range(3)] == [1, 1.5, 2]


def attempted(seconds: float, *, most_at_once: int = 10) -> Throttle:
    throttle = Throttle(most_at_once)
    for _ in range(30):
        throttle.begin(None, NOW)
        throttle.end(NOW, seconds * SECOND)
    return throttle


def test_the_line_moves_as_fast_as_attempts_went_lately() -> None:
    slow, quick = attempted(5), attempted(0.1)
    assert [(slow.next_slot(None, NOW) - NOW).total_seconds() for _ in range(3)] == [1, 1.5, 2]
    assert [(quick.next_slot(None, NOW) - NOW).total_seconds() for _ in range(3)] == [1, 1.01, 1.02]


def test_a_quick_endpoint_has_room_soon_for_as_many_as_half_a_second_holds() -> None:
    assert [attempted(0.25).frees_soon(None, ahead) for ahead in (0, 19, 20)] == [True, True, False]
    assert [attempted(0.01).frees_soon(None, ahead) for ahead in (39, 40)] == [True, False]


def test_room_is_not_soon_where_speed_is_unknown_a_rate_is_kept_or_the_circuit_is_open() -> None:
    assert not Throttle(most_at_once=10).frees_soon(None, 0)
    assert not attempted(0.01).frees_soon(5, 0)
    failing_now = attempted(0.01)
    for _ in range(10):
        failing_now.note(NOW, succeeded=False)
    assert not failing_now.frees_soon(None, 0)


def test_nobody_waits_longer_than_a_minute_or_less_than_a_second() -> None:
    throttle = Throttle(most_at_once=10)
    places = [throttle.next_slot(1, NOW) for _ in range(200)]
    assert min(places) == NOW + SECOND
    assert max(places) == NOW + 60 * SECOND
    assert throttle.next_slot(1, NOW + 500 * SECOND) == NOW + 501 * SECOND


def test_what_nobody_waits_for_may_be_forgotten() -> None:
    throttle = Throttle(most_at_once=1)
    assert throttle.is_idle(NOW)
    throttle.begin(5, NOW)
    assert not throttle.is_idle(NOW + 9 * SECOND)
    throttle.end(NOW + SECOND, SECOND)
    assert not throttle.is_idle(NOW + 60 * SECOND)
    assert throttle.is_idle(NOW + 61 * SECOND)
    throttle.next_slot(5, NOW + 70 * SECOND)
    assert not throttle.is_idle(NOW + 71 * SECOND)
    assert throttle.is_idle(NOW + 72 * SECOND)


def failing(times: int) -> Throttle:
    throttle = Throttle(most_at_once=32)
    for _ in range(times):
        throttle.note(NOW, succeeded=False)
    return throttle


def test_after_ten_failures_in_a_row_one_at_a_time_is_tried() -> None:
    assert not failing(9).is_open
    throttle = failing(10)
    assert [throttle.begin(None, NOW) for _ in range(3)] == [True, False, False]
    throttle.end(NOW, SECOND)
    assert throttle.begin(None, NOW)


def test_one_success_closes_the_circuit_and_says_so_once() -> None:
    throttle = failing(12)
    assert [throttle.note(NOW, succeeded=True) for _ in range(2)] == [True, False]
    assert [throttle.begin(None, NOW) for _ in range(33)] == [True] * 32 + [False]


def test_at_an_open_circuit_the_line_is_longer_and_slower() -> None:
    throttle = failing(10)
    places = [(throttle.next_slot(None, NOW) - NOW).total_seconds() for _ in range(400)]
    assert places[:3] == [1, 2, 3]
    assert max(places) == 300


def test_failures_are_remembered_for_an_hour() -> None:
    assert not failing(1).is_idle(NOW + timedelta(minutes=59))
    assert failing(1).is_idle(NOW + timedelta(hours=1))
