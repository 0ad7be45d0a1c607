"""Places that no owner may take all of."""

from hypothesis import given
from hypothesis import strategies as st

from service.kit.concurrency.shares import Shares


def _all_for(shares: Shares, owner: str) -> int:
    taken = 0
    while shares.take(owner):
        taken += 1
    return taken


def test_an_owner_holds_as_many_places_as_it_leaves_free() -> None:
    shares = Shares(16)
    assert shares.left_for("a") == 8
    assert [_all_for(shares, owner) for owner in "abcd"] == [8, 4, 2, 2]
    assert shares.room == 0
    assert shares.refused == {"a", "b", "c", "d"}


@given(st.integers(0, 40), st.lists(st.sampled_from("abc"), max_size=40))
def test_what_is_left_is_what_can_be_taken(capacity: int, held: list[str]) -> None:
    shares = Shares(capacity)
    for owner in held:
        shares.take(owner)
    left = shares.left_for("a")
    assert _all_for(shares, "a") == left
    assert shares.room >= 0


def test_one_that_was_refused_is_told_when_it_can_go_on_with_a_good_many() -> None:
    shares = Shares(16)
    _all_for(shares, "a")
    assert [shares.release("a") for _ in range(8)] == [False, False, False, True] + [False] * 4
    assert shares.left_for("a") == 8


def test_a_copy_is_counted_apart() -> None:
    shares = Shares(8)
    shares.hold("a")
    twin = shares.copy()
    assert _all_for(twin, "a") == 3
    assert (shares.room, shares.refused) == (7, set())
