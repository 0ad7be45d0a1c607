import pytest

from service.kit.clock import seconds
from service.sandbox.counters import Concurrency
from tests.sandbox.serving import Hands


def test_without_a_capacity_all_are_taken() -> None:
    clock, concurrency = Hands(), Concurrency(0)
    with concurrency.slot(clock()) as one, concurrency.slot(clock()) as two:
        assert (one, two) == (True, True)


def test_room_is_free_again_after_the_block_also_if_it_breaks() -> None:
    clock, concurrency = Hands(), Concurrency(1)
    with pytest.raises(ZeroDivisionError), concurrency.slot(clock()):
        _ = 1 // 0
    with concurrency.slot(clock()) as one, concurrency.slot(clock()) as two, concurrency.slot(clock()) as three:
        assert (one, two, three) == (True, False, False)
    with concurrency.slot(clock()) as later:
        assert later


def test_load_that_grows_makes_room_with_each_refusal_and_forgets_it_in_a_quiet_minute() -> None:
    now, concurrency = Hands().now, Concurrency(1, grows=True)
    with (
        concurrency.slot(now),
        concurrency.slot(now) as refused,
        concurrency.slot(now) as taken,
        concurrency.slot(now) as again,
    ):
        assert (refused, taken, again) == (False, True, False)
    later = now + seconds(61)
    with concurrency.slot(later), concurrency.slot(later) as after_quiet:
        assert not after_quiet
