from service.sandbox.counters import CallCounter
from service.sandbox.script import Obstacle


def test_turns_are_counted_by_key() -> None:
    calls = CallCounter()
    assert [calls.count("a"), calls.count("b"), calls.count("a"), calls.count("a")] == [0, 0, 1, 2]


def test_only_so_many_keys_are_kept_and_the_oldest_goes_first() -> None:
    calls = CallCounter(kept=2)
    for key in ("a", "b", "a", "c"):
        calls.count(key)
    assert [calls.count("a"), calls.count("c")] == [2, 1]
    assert calls.count("b") == 0


def test_obstacles_come_in_turn_and_again_after_the_last() -> None:
    calls = CallCounter()
    met = [calls.obstacle("song.rate-limited.wav") for _ in range(4)]
    assert met == [Obstacle.THROTTLED_BRIEFLY, Obstacle.THROTTLED, None, Obstacle.THROTTLED_BRIEFLY]


def test_nothing_is_in_the_way_of_a_name_without_such_a_word() -> None:
    assert [CallCounter().obstacle("song.ai.wav") for _ in range(2)] == [None, None]
