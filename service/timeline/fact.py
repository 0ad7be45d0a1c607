"""A fact of a timeline, the order in which facts stand, and the mark of those that a reader has had.

The mark is small enough for the id of a server-sent event. A fact can come to light later than one that happened after
it: an attempt begins before it is on record. So the mark is more than a time. It holds the newest time had, and a short
hash of each fact of the five minutes before it.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from service.kit.clock import rfc3339

Span = tuple[datetime, datetime | None]
"""From a moment to another; `None`: still going on."""

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


_WINDOW = timedelta(minutes=5)
_START = datetime(1970, 1, 1, tzinfo=UTC)
_HASH_BYTES, _TIME_BYTES = 5, 8
_MOST_CHARACTERS = 16_000


class StreamPosition:
    """The facts that one reader has had so far."""

    def __init__(self, newest: datetime = _START, hashes: Iterable[bytes] = ()) -> None:
        self._newest = newest
        self._horizon = newest - _WINDOW if newest > _START else newest
        self._had = dict.fromkeys(hashes, newest)

    @classmethod
    def read(cls, mark: str) -> "StreamPosition | None":
        """Return what the reader with this mark had; `None` for a text that is not a mark of ours."""
        try:
            raw = base64.b64decode(mark, altchars=b"-_", validate=True) if len(mark) <= _MOST_CHARACTERS else b""
            newest = _START + timedelta(milliseconds=int.from_bytes(raw[:_TIME_BYTES]))
        except (binascii.Error, ValueError, OverflowError):
            return None
        hashes = raw[_TIME_BYTES:]
        if len(raw) <= _TIME_BYTES or len(hashes) % _HASH_BYTES or newest <= _START + _WINDOW:
            return None
        return cls(newest, (hashes[at : at + _HASH_BYTES] for at in range(0, len(hashes), _HASH_BYTES)))

    def unseen(self, facts: Iterable[Fact]) -> list[Fact]:
        """Return the facts that the reader has not had."""
        return [fact for fact in facts if fact.at >= self._horizon and _hash(fact) not in self._had]

    def take(self, fact: Fact) -> str:
        """Return the mark after this fact, which the reader has now."""
        at = fact.at.replace(microsecond=fact.at.microsecond // 1000 * 1000)
        self._newest = max(self._newest, at)
        self._had[_hash(fact)] = fact.at
        return self._mark()

    def _mark(self) -> str:
        recent = [had for had, at in self._had.items() if at >= self._newest - _WINDOW]
        since = (self._newest - _START) // timedelta(milliseconds=1)
        return base64.b64encode(since.to_bytes(_TIME_BYTES) + b"".join(recent), altchars=b"-_").decode()


def _hash(fact: Fact) -> bytes:
    return hashlib.blake2s(f"{fact.kind}/{fact.key}".encode(), digest_size=_HASH_BYTES).digest()
