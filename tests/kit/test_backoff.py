from hypothesis import given
from hypothesis import strategies as st

from service.kit.backoff import growing, jittered


def test_waits_grow_by_the_factor_up_to_the_longest() -> None:
    waits = [growing(step, first=5, factor=3, longest=100) for step in range(5)]
    assert waits == [5, 15, 45, 100, 100]


def test_a_huge_step_does_not_overflow() -> None:
    assert growing(10**9, first=1, factor=10, longest=3600) == 3600


@given(st.floats(0, 1e6), st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_jitter_is_only_ever_added_and_never_beyond_its_share(wait: float, draw: float, share: float) -> None:
    assert wait <= jittered(wait, lambda: draw, share=share) <= wait * (1 + share)


def test_jitter_is_a_tenth_unless_said_otherwise() -> None:
    assert jittered(100, lambda: 0.5) == 105
