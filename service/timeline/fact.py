"""What a fact of a timeline is, and in which order facts stand."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.kit.clock import rfc3339

KINDS = (
    "detection.created",
    "detection.rechecked",
    "source.fetched",
    "source.failed",
    "run.reserved",
    "run.queued",
    "run.following",
    "run.reused",
    "run.submitted",
    "run.windows",
    "callback.received",
    "callback.rejected",
    "run.polled",
    "run.confirmed",
    "run.observed",
    "run.ended",
    "detection.decided",
    "event.recorded",
    "delivery.created",
    "delivery.blocked",
    "delivery.held",
    "delivery.attempted",
    "delivery.succeeded",
    "delivery.exhausted",
    "delivery.skipped",
    "detection.erased",
)
"""Every kind of fact; of two at one moment, the cause stands before what followed."""

_RANK = {kind: rank for rank, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened. `key` names it for good: the same fact read again has the same key."""

    at: datetime
    kind: str
    key: str
    run_id: str | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def of(self, detector: str) -> "Fact":
        """Return the same, and which detector's run it is about."""
        return replace(self, more={"detector": detector, **self.more})

    def shown(self) -> dict[str, Any]:
        """Return it as JSON: `at`, `kind`, `run_id` where it is about one run, and its own fields."""
        about = {"run_id": self.run_id} if self.run_id is not None else {}
        return {"at": rfc3339(self.at), "kind": self.kind, **about, **self.more}


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts by time, always in the same order."""
    return sorted(facts, key=lambda fact: (fact.at, _RANK[fact.kind], fact.key))
