from service.sandbox.script import Obstacle
from service.sandbox.turns import Turns


def test_turns_are_counted_by_key() -> None:
    turns = Turns()
    assert [turns.turn("a"), turns.turn("b"), turns.turn("a"), turns.turn("a")] == [0, 0, 1, 2]


def test_only_so_many_keys_are_kept_and_the_oldest_goes_first() -> None:
    turns = Turns(kept=2)
    for key in ("a", "b", "a", "c"):
        turns.turn(key)
    assert [turns.turn("a"), turns.turn("c")] == [2, 1]
    assert turns.turn("b") == 0


def test_obstacles_come_in_turn_and_again_after_the_last() -> None:
    turns = Turns()
    met = [turns.obstacle("song.rate-limited.wav") for _ in range(4)]
    assert met == [Obstacle.THROTTLED_BRIEFLY, Obstacle.THROTTLED, None, Obstacle.THROTTLED_BRIEFLY]


def test_nothing_is_in_the_way_of_a_name_without_such_a_word() -> None:
    assert [Turns().obstacle("song.ai.wav") for _ in range(2)] == [None, None]
