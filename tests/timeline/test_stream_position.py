"""What a reader of a timeline had: each fact comes once, also over lost connections."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.timeline.fact import Fact, StreamPosition
from tests.detections.scripted import NOW


def _fact(n: int, seconds: float) -> Fact:
    return Fact(NOW + timedelta(seconds=seconds, microseconds=n), "run.observed", f"run/{n}")


def _again(mark: str) -> StreamPosition:
    seen = StreamPosition.read(mark)
    assert seen is not None
    return seen


def test_a_fact_that_comes_to_light_late_is_still_told() -> None:
    early, late = _fact(1, 0), _fact(2, 10)
    reader = _again(StreamPosition().take(late))
    assert reader.unseen([early, late]) == [early]


def test_what_lies_far_before_the_newest_was_had() -> None:
    old, new = _fact(1, 0), _fact(2, 301)
    reader = StreamPosition()
    reader.take(old)
    assert _again(reader.take(new)).unseen([old, new]) == []


def test_an_hours_mark_is_no_longer_than_its_last_five_minutes() -> None:
    reader = StreamPosition()
    marks = [reader.take(_fact(n, 60 * n)) for n in range(60)]
    assert max(len(mark) for mark in marks) < 80


@pytest.mark.parametrize("text", ["", "x", "evt_1", "AAAA", "é", "A" * 20_000, "AAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAA=="])
def test_a_text_that_is_no_mark_is_none(text: str) -> None:
    assert StreamPosition.read(text) is None


@given(st.lists(st.integers(0, 200), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_a_reader_that_comes_back_after_any_fact_has_each_once(ages: list[int], chance: random.Random) -> None:
    facts = [_fact(n, age) for n, age in enumerate(ages)]
    chance.shuffle(facts)
    had: list[Fact] = []
    reader = StreamPosition()
    for visible in range(1, len(facts) + 1):
        for fact in reader.unseen(facts[:visible]):
            had.append(fact)
            mark = reader.take(fact)
            reader = _again(mark) if chance.random() < 0.5 else reader
    assert sorted(fact.key for fact in had) == sorted(fact.key for fact in facts)
