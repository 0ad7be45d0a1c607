"""A request may leave later than it was charged, after its upload: the minute's limit counts it where it leaves."""

import heapq
import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from service.detectors.catalogue import Limits
from service.quotas.gates import Purpose, acquire, check_gate, leave_later
from service.quotas.models import Gate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(seconds=60)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def counts(gate: Gate) -> list[tuple[float, int]]:
    return [(second - NOW.timestamp(), count) for second, count in json.loads(gate.minute_json)]


def test_one_of_two_charged_requests_is_counted_by_the_second_it_leaves() -> None:
    gate, limits = Gate(vendor="aippim", mode="live"), Limits(per_minute=9)
    acquire(gate, limits, NOW, requests=2)
    leave_later(gate, NOW, at(50))
    assert counts(gate) == [(0, 1), (50, 1)]
    leave_later(gate, NOW, at(50))
    assert counts(gate) == [(50, 2)]
    assert gate.window_used == 2, "the day counts it once"


def test_what_was_charged_more_than_a_minute_ago_counts_anew() -> None:
    gate = Gate(vendor="aippim", mode="live")
    acquire(gate, Limits(per_minute=9), NOW)
    leave_later(gate, NOW, at(70))
    assert counts(gate) == [(70, 1)]


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 60)), max_size=60), st.integers(2, 20))
@settings(deadline=None)
def test_no_minute_sees_more_however_long_the_uploads_take(steps: list[tuple[float, float]], per_minute: int) -> None:
    limits, gate, now = Limits(per_minute=per_minute), Gate(vendor="aippim", mode="live"), NOW
    went: list[datetime] = []
    uploading: list[tuple[datetime, datetime]] = []
    for wait, upload in [*steps, (90.0, 0.0)]:
        now += timedelta(seconds=wait)
        while uploading and uploading[0][0] <= now:
            leaves_at, charged_at = heapq.heappop(uploading)
            leave_later(gate, charged_at, leaves_at)
            went.append(leaves_at)
        if check_gate(gate, limits, Purpose.SUBMIT, now, requests=2) is None:
            acquire(gate, limits, now, requests=2)
            went.append(now)
            heapq.heappush(uploading, (now + timedelta(seconds=upload), now))
    for first in went:
        assert sum(first <= when < first + MINUTE for when in went) <= per_minute
