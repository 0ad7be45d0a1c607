import pytest

from service.kit.clock import seconds
from service.sandbox.load import Load
from tests.sandbox.serving import Hands


def test_without_a_capacity_all_are_taken() -> None:
    clock, load = Hands(), Load(0)
    with load.taken(clock()) as one, load.taken(clock()) as two:
        assert (one, two) == (True, True)


def test_room_is_free_again_after_the_block_also_if_it_breaks() -> None:
    clock, load = Hands(), Load(1)
    with pytest.raises(ZeroDivisionError), load.taken(clock()):
        _ = 1 // 0
    with load.taken(clock()) as one, load.taken(clock()) as two, load.taken(clock()) as three:
        assert (one, two, three) == (True, False, False)
    with load.taken(clock()) as later:
        assert later


def test_load_that_grows_makes_room_with_each_refusal_and_forgets_it_in_a_quiet_minute() -> None:
    now, load = Hands().now, Load(1, grows=True)
    with load.taken(now), load.taken(now) as refused, load.taken(now) as taken, load.taken(now) as again:
        assert (refused, taken, again) == (False, True, False)
    later = now + seconds(61)
    with load.taken(later), load.taken(later) as after_quiet:
        assert not after_quiet
