"""The types of events, which filters take them, and a fact that is about to be written."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """Every type of fact a customer can hear of."""

    DETECTION_COMPLETED = "detection.completed"
    DETECTION_FAILED = "detection.failed"
    DETECTION_DELAYED = "detection.delayed"
    DETECTION_REVISED = "detection.revised"
    DETECTION_CANCELLED = "detection.cancelled"
    DETECTOR_COMPLETED = "detector.completed"
    REVIEW_REQUIRED = "review.required"
    CERTIFICATE_READY = "certificate.ready"
    BATCH_COMPLETED = "batch.completed"
    ENDPOINT_FAILING = "webhook_endpoint.failing"
    ENDPOINT_DISABLED = "webhook_endpoint.disabled"
    ENDPOINT_RECOVERED = "webhook_endpoint.recovered"
    ENDPOINT_PING = "webhook_endpoint.ping"


FAMILIES = sorted({f"{kind.partition('.')[0]}.*" for kind in EventType})
"""The filters that take all types of one kind, such as `detection.*`."""


def is_filter(text: str) -> bool:
    """Return True if `text` is a type, or a family of types such as `detection.*`, or `*` for all."""
    return text == "*" or any(takes(text, known) for known in EventType)


def why_no_filter(text: str) -> str:
    """Return the error text for a `text` that is not a filter, with the nearest valid filter."""
    nearest = get_close_matches(text.strip().lower()[:100], [*EventType, *FAMILIES], n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    return f"{text[:100]!r} is not an event type{hint} Use a type, a family such as detection.*, or * for all."


def takes(pattern: str, event_type: str) -> bool:
    """Return True if the filter takes the type. Whole segments: `detection.*` does not take `detector.completed`."""
    if pattern in ("*", event_type):
        return True
    family, star, rest = pattern.partition("*")
    return bool(star) and not rest and family.endswith(".") and event_type.startswith(family)


@dataclass(frozen=True, slots=True)
class Draft:
    """A fact about to be written. `final` marks the one last word on a revision.

    `not_to` is an endpoint that is not told: the fact is about it, and meant for the account's others. `only_to` is
    the one endpoint that is told, whatever its filters.
    """

    account_id: str
    mode: str
    type: EventType
    data: Mapping[str, Any]
    detection_id: str | None = None
    run_id: str | None = None
    revision: int | None = None
    final: bool = False
    not_to: str | None = None
    only_to: str | None = None
