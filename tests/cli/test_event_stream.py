"""Server-sent events, however the bytes were cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cli.client.listen import EventStream, ServerEvent


def fed(*chunks: bytes) -> tuple[EventStream, list[ServerEvent]]:
    stream = EventStream()
    return stream, [event for chunk in chunks for event in stream.feed(chunk)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_event_is_its_type_its_id_and_its_lines_of_data(end: str) -> None:
    text = end.join(["id: evt_1", "event: detection.completed", "data: a", "data:b", "", "data: c", "", ":"]) + end
    assert fed(text.encode())[1] == [
        ServerEvent("evt_1", "detection.completed", "a\nb"),
        ServerEvent("evt_1", "message", "c"),
    ]


def test_comments_are_nothing_and_an_event_cut_off_is_none() -> None:
    assert fed(b": heartbeat\n\n:\n\ndata: lost")[1] == []


def test_an_id_alone_is_remembered_and_makes_no_event() -> None:
    stream, events = fed(b"id: evt_9\n\n")
    assert (stream.last_id, events) == ("evt_9", [])


def test_an_id_with_a_null_is_ignored_and_the_wait_is_kept() -> None:
    stream, _ = fed(b"id: evt_1\nid: a\0b\nretry: 1500\nretry: soon\n\n")
    assert (stream.last_id, stream.retry_seconds) == ("evt_1", 1.5)


def test_only_line_ends_of_the_standard_end_lines() -> None:
    text = "data: a\u2028b\u0085c\x0bd\n\n"
    assert fed(text.encode())[1] == [ServerEvent("", "message", "a\u2028b\u0085c\x0bd")]


def test_a_line_without_end_is_refused() -> None:
    stream = EventStream()
    assert stream.feed(b"x" * 8_000_000) == []
    with pytest.raises(ValueError, match="too long"):
        stream.feed(b"x" * 1_000_000)


TEXT = "\ufeffid: 1\r\nevent: tick\r\ndata: ü→\r\n\r\n: beat\n\ndata: x\rdata: y\r\rid: 2\ndata\n\n:\n".encode()


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_where_the_bytes_were_cut_makes_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(TEXT)]
    chunks = [TEXT[start:end] for start, end in pairwise(edges)]
    assert fed(*chunks)[1] == [
        ServerEvent("1", "tick", "ü→"),
        ServerEvent("1", "message", "x\ny"),
        ServerEvent("2", "message", ""),
    ]
