"""Quantiles of waits: each one that really was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.detectors.latency import ENOUGH, Latency, latency_of


def test_without_a_sample_there_are_no_quantiles() -> None:
    assert latency_of([]) == Latency(None, None, 0)


@pytest.mark.parametrize(
    ("waits", "p50", "p95"), [([7], 7, 7), ([30, 10], 10, 30), (range(1, 101), 50, 95), (range(1, 21), 10, 19)]
)
def test_quantiles_are_by_nearest_rank(waits: list[int], p50: int, p95: int) -> None:
    assert latency_of(list(waits)) == Latency(p50, p95, len(waits))


@given(st.lists(st.integers(0, 10**9), min_size=1))
def test_a_quantile_is_one_of_the_waits_and_the_higher_is_not_shorter(waits: list[int]) -> None:
    found = latency_of(waits)
    assert {found.p50_ms, found.p95_ms} <= set(waits)
    assert (found.p50_ms or 0) <= (found.p95_ms or 0)


def test_a_plan_wants_fifty() -> None:
    assert [latency_of([1] * count).is_enough for count in (ENOUGH - 1, ENOUGH)] == [False, True]
