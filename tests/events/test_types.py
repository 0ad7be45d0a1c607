"""Which filter takes which type of event."""

import pytest

from service.events.types import EventType, is_filter, takes, why_no_filter


@pytest.mark.parametrize(
    ("pattern", "event_type"),
    [
        ("*", "detection.completed"),
        ("detection.completed", "detection.completed"),
        ("detection.*", "detection.completed"),
        ("detection.*", "detection.revised"),
        ("detector.*", "detector.completed"),
        ("webhook_endpoint.*", "webhook_endpoint.disabled"),
    ],
)
def test_a_filter_takes_its_type_its_family_or_all(pattern: str, event_type: str) -> None:
    assert takes(pattern, event_type)


@pytest.mark.parametrize(
    ("pattern", "event_type"),
    [
        ("detection.*", "detector.completed"),
        ("detector.*", "detection.completed"),
        ("detect*", "detection.completed"),
        ("detection*", "detection.completed"),
        ("*.completed", "detection.completed"),
        ("detection.*d", "detection.completed"),
        ("detection.**", "detection.completed"),
        ("detection.", "detection.completed"),
        ("detection", "detection.completed"),
        (".*", "detection.completed"),
        ("**", "detection.completed"),
        ("", "detection.completed"),
        ("Detection.Completed", "detection.completed"),
    ],
)
def test_a_filter_takes_whole_segments_only(pattern: str, event_type: str) -> None:
    assert not takes(pattern, event_type)


def test_every_type_its_family_and_all_are_filters() -> None:
    families = {f"{event_type.partition('.')[0]}.*" for event_type in EventType}
    assert families == {"detection.*", "detector.*", "review.*", "certificate.*", "batch.*", "webhook_endpoint.*"}
    assert all(is_filter(text) for text in ["*", *EventType, *families])


@pytest.mark.parametrize("text", ["", "detection", "detection.", "detection.unheard", "run.*", "det*", "*.*", " *"])
def test_what_takes_nothing_is_no_filter(text: str) -> None:
    assert not is_filter(text)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("detection.complete", "detection.completed"),
        ("detections.*", "detection.*"),
        ("DETECTION.FAILED", "detection.failed"),
        ("webhook_endpoint.enabled", "webhook_endpoint.disabled"),
    ],
)
def test_a_filter_that_is_none_is_told_the_nearest(text: str, nearest: str) -> None:
    assert f"did you mean {nearest}?" in why_no_filter(text)


def test_a_filter_like_nothing_is_told_what_there_is() -> None:
    assert why_no_filter("xyz") == "'xyz' is not an event type. Use a type, a family such as detection.*, or * for all."
