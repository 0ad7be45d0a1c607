"""The party that the customer waited for: the time from request to answer, in three parts without overlap. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

_MILLISECOND = timedelta(milliseconds=1)
Span = tuple[datetime, datetime | None]
"""From a moment to another; `None`: still going on."""


@dataclass(frozen=True, slots=True)
class Course:
    """The moments that matter.

    `at_vendors`: from submission to answer, a span a run. `told_at`: the first final event was recorded. `taken_at`:
    the last endpoint has it, or will never have it; `None` while a delivery is under way.
    """

    created_at: datetime
    at_vendors: Sequence[Span] = ()
    told_at: datetime | None = None
    taken_at: datetime | None = None


def waits(course: Course, now: datetime) -> dict[str, int]:
    """Return `vendor_ms`, `relay_ms`, `customer_ms`: together the wait from creation until it was taken, or until now.

    The vendors' part is what at least one of them took; the customer's is from the final event on; ours is the rest.
    """
    begin = course.created_at
    end = max(begin, now if course.told_at is None or course.taken_at is None else course.taken_at)
    told = end if course.told_at is None else min(max(course.told_at, begin), end)
    vendor = _covered(course.at_vendors, begin, told) // _MILLISECOND
    customer = (end - told) // _MILLISECOND
    return {
        "vendor_ms": vendor,
        "relay_ms": (end - begin) // _MILLISECOND - vendor - customer,
        "customer_ms": customer,
    }


def _covered(spans: Iterable[Span], begin: datetime, end: datetime) -> timedelta:
    """Return how much of the time from `begin` to `end` lies in at least one span."""
    total, reached = timedelta(), begin
    for start, stop in sorted((start, stop or end) for start, stop in spans):
        start, stop = max(start, reached), min(stop, end)  # noqa: PLW2901 - the part that is new
        if stop > start:
            total += stop - start
            reached = stop
    return total
