"""No more attempts at once, and in any one second, than the endpoint is to have."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.sending.throttle import Throttle

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def proven(most_at_once: int) -> Throttle:
    """The throttle of an endpoint that has answered so often that it may have all of its attempts at once."""
    throttle = Throttle(most_at_once)
    for _ in range(most_at_once):
        throttle.note(NOW, succeeded=True)
    return throttle


def at_once(throttle: Throttle, now: datetime = NOW, *, spare: bool = False) -> int:
    """Return how many attempts may be under way now."""
    found = 0
    while throttle.begin(None, now, spare=spare):
        found += 1
    throttle.under_way -= found
    return found


def test_so_many_at_once_and_another_when_one_has_ended() -> None:
    throttle = Throttle(most_at_once=2)
    assert [throttle.begin(None, NOW) for _ in range(3)] == [True, True, False]
    throttle.end(NOW, SECOND)
    assert [throttle.begin(None, NOW) for _ in range(2)] == [True, False]


@given(st.integers(1, 5), st.lists(st.integers(0, 700), max_size=60))
def test_no_second_wherever_it_begins_holds_more_than_the_rate(rate: int, gaps: list[int]) -> None:
    throttle, now, begun = proven(1000), NOW, []
    for gap in gaps:
        now += timedelta(milliseconds=gap)
        if throttle.begin(rate, now):
            begun.append(now)
    assert all(sum(start <= each < start + SECOND for each in begun) <= rate for start in begun)
    assert not gaps or begun[0] == NOW + timedelta(milliseconds=gaps[0])


def test_a_second_later_the_next_may_begin() -> None:
    throttle = proven(10)
    assert [throttle.begin(2, NOW + offset * SECOND) for offset in (0, 0.5, 0.999, 1, 1.4, 1.5)] == [
        True, True, False, True, False, True,
    ]  # fmt: skip


def test_those_turned_away_queue_up_one_behind_the_other() -> None:
    throttle = proven(10)
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
        throttle.note(NOW, succeeded=True)
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


def test_after_ten_failures_in_a_row_one_at_a_time_is_tried_a_second_after_the_last() -> None:
    assert not failing(9).is_open
    throttle = failing(10)
    assert [throttle.begin(None, NOW + part * SECOND) for part in (0, 0.999, 1, 2)] == [False, False, True, False]
    throttle.note(NOW + 2 * SECOND, succeeded=False)
    throttle.end(NOW + 2 * SECOND, SECOND)
    assert [throttle.begin(None, NOW + part * SECOND) for part in (2.9, 3)] == [False, True]


def test_one_success_closes_the_circuit_and_says_so_once() -> None:
    throttle = failing(12)
    assert [throttle.note(NOW, succeeded=True) for _ in range(2)] == [True, False]
    assert at_once(throttle) == 3


def test_an_endpoint_earns_its_attempts_at_once_by_answering() -> None:
    throttle = Throttle(most_at_once=32)
    earned = [at_once(throttle)]
    for _ in range(5):  # as many as may, again and again: as quick as TCP's slow start
        for _ in range(earned[-1]):
            throttle.note(NOW, succeeded=True)
        earned.append(at_once(throttle))
    assert earned == [2, 4, 8, 16, 32, 32]


def test_each_failure_halves_what_was_earned_and_a_few_among_many_hardly_matter() -> None:
    throttle = proven(32)
    found = []
    for _ in range(6):
        throttle.note(NOW, succeeded=False)
        found.append(at_once(throttle))
    assert found == [16, 8, 4, 2, 1, 1]
    unsteady = proven(32)
    for n in range(400):
        unsteady.note(NOW, succeeded=n % 20 != 0)
    assert at_once(unsteady) > 24


def test_places_to_spare_need_not_be_earned_but_an_open_circuit_stays_open() -> None:
    assert at_once(Throttle(most_at_once=32), spare=True) == 32
    assert at_once(failing(9), spare=True) == 32
    assert at_once(failing(10), NOW + SECOND, spare=True) == 1


def test_all_silent_endpoints_of_an_account_together_leave_it_places() -> None:
    places, spare, endpoints, taken = 128, 32, [Throttle(most_at_once=32) for _ in range(40)], 0
    while any(endpoint.begin(None, NOW, spare=taken < spare) for endpoint in endpoints):
        taken = sum(endpoint.under_way for endpoint in endpoints)
    assert taken <= places - 2


def test_what_waits_for_a_silent_endpoint_asks_again_seldom_and_comes_at_its_first_success() -> None:
    throttle = Throttle(most_at_once=32)
    assert [(throttle.next_slot(None, NOW) - NOW).total_seconds() for _ in range(3)] == [1, 1.5, 2]
    throttle.note(NOW, succeeded=False)
    assert [(throttle.next_slot(9, NOW) - NOW).total_seconds() for _ in range(3)] == [2.5, 3.5, 4.5]
    assert [throttle.note(NOW, succeeded=True) for _ in range(2)] == [True, False]
    assert [(throttle.next_slot(None, NOW) - NOW).total_seconds() for _ in range(2)] == [1, 1 + 1 / 32]
    assert not Throttle(most_at_once=32).note(NOW, succeeded=True)  # nothing waits for it


def test_at_an_open_circuit_the_line_is_longer_and_slower() -> None:
    throttle = failing(10)
    places = [(throttle.next_slot(None, NOW) - NOW).total_seconds() for _ in range(400)]
    assert places[:3] == [1, 2, 3]
    assert max(places) == 300


def test_how_it_answered_is_remembered_for_an_hour() -> None:
    assert not proven(1).is_idle(NOW + timedelta(minutes=59))
    assert proven(1).is_idle(NOW + timedelta(hours=1))
    assert not failing(1).is_idle(NOW + timedelta(minutes=59))
    assert failing(1).is_idle(NOW + timedelta(hours=1))
