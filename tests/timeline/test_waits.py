"""On whom the customer waited: three parts that never overlap and always sum to the whole."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.timeline.assemble import Course, waits
from tests.detections.scripted import NOW


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _split(course: Course, now: datetime) -> tuple[int, int, int]:
    found = waits(course, now)
    assert list(found) == ["vendor_ms", "relay_ms", "customer_ms"]
    return found["vendor_ms"], found["relay_ms"], found["customer_ms"]


def test_before_anything_left_the_wait_is_ours() -> None:
    assert _split(Course(NOW), _at(3)) == (0, 3000, 0)


def test_vendors_asked_at_the_same_time_are_waited_for_once() -> None:
    course = Course(NOW, [(_at(1), _at(5)), (_at(2), _at(4)), (_at(4), _at(7)), (_at(8), None)])
    assert _split(course, _at(10)) == (8000, 2000, 0)


def test_from_the_final_event_on_the_wait_is_the_customers() -> None:
    course = Course(NOW, [(_at(1), _at(5))], told_at=_at(6), taken_at=_at(9))
    assert _split(course, _at(1000)) == (4000, 2000, 3000)


def test_while_a_delivery_is_under_way_the_customers_wait_grows() -> None:
    assert _split(Course(NOW, [(_at(1), _at(5))], told_at=_at(6)), _at(16)) == (4000, 2000, 10_000)


def test_an_answer_after_the_final_event_is_nobodys_wait() -> None:
    course = Course(NOW, [(_at(1), _at(50))], told_at=_at(6), taken_at=_at(6))
    assert _split(course, _at(60)) == (5000, 1000, 0)


def test_a_clock_that_went_back_makes_no_wait() -> None:
    assert _split(Course(NOW, [(_at(-5), _at(-1))]), _at(-3)) == (0, 0, 0)


_MOMENT = st.integers(-3_600_000_000, 86_400_000_000).map(lambda us: NOW + timedelta(microseconds=us))
_SPANS = st.lists(st.tuples(_MOMENT, st.none() | _MOMENT), max_size=6)


@given(_SPANS, st.none() | _MOMENT, st.none() | _MOMENT, _MOMENT)
def test_the_parts_sum_to_the_whole_and_none_is_negative(
    spans: list[tuple[datetime, datetime | None]], told: datetime | None, taken: datetime | None, now: datetime
) -> None:
    parts = _split(Course(NOW, spans, told, taken), now)
    over = told is not None and taken is not None
    end = max(NOW, taken if over and taken is not None else now)
    assert min(parts) >= 0
    assert sum(parts) == (end - NOW) // timedelta(milliseconds=1)


@given(_SPANS, _MOMENT)
def test_vendors_take_no_longer_than_their_spans_together(
    spans: list[tuple[datetime, datetime | None]], now: datetime
) -> None:
    longest = sum(((stop or now) - start for start, stop in spans if (stop or now) > start), timedelta())
    assert _split(Course(NOW, spans), now)[0] <= longest // timedelta(milliseconds=1)
